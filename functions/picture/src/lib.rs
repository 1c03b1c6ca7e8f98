//! Pictures that functions are sent.
//!
//! [`Picture::of`] takes one from a request: a JPEG, PNG or WebP file as it is, or one in base64 within JSON. What comes
//! out is what Pillow gives for `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`: three bytes a pixel, turned
//! the way the EXIF orientation says, without alpha and without regard to colour profiles.
//!
//! A picture's extent is read from its header and checked before anything of that extent is set aside.

mod jpeg;
mod orientation;
mod png;
mod source;
mod webp;

use samara_function::{Problem, Request};

use crate::orientation::Orientation;
use crate::source::Format;

/// The media types that a picture may come in.
pub const TYPES: &[&str] = &["image/jpeg", "image/png", "image/webp", "application/json"];

/// How many pixels a picture may have.
pub const MAX_PIXELS: u64 = 50_000_000;

/// How large a request's body may be, in bytes: a JPEG of as many pixels as are allowed, at high quality.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// A picture in RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// A picture as its file has it, with the EXIF data (TIFF) that is in there.
struct Decoded {
    picture: Picture,
    exif: Option<Vec<u8>>,
}

/// A checked extent, in pixels.
#[derive(Clone, Copy)]
struct Extent {
    width: u32,
    height: u32,
}

// === impl Picture ===

impl Picture {
    /// The picture in the body of a request. The body's type has to be one of [`TYPES`], of which JSON has the form
    /// `{"image": "<base64>"}`; which kind of picture it is, its first bytes say.
    ///
    /// # Errors
    ///
    /// 400 for malformed JSON or base64, 413 for more than [`MAX_PIXELS`], 415 for another type, and 422 for what is none
    /// of the three kinds, or broken, or cut off.
    pub fn of(request: &Request) -> Result<Picture, Problem> {
        Picture::decode(&source::file_in(request)?)
    }

    /// Decodes the file of a picture.
    ///
    /// # Errors
    ///
    /// 413 for more than [`MAX_PIXELS`], and 422 for what is no JPEG, PNG or WebP, or broken, or cut off.
    pub fn decode(file: &[u8]) -> Result<Picture, Problem> {
        let Decoded { picture, exif } = match Format::of(file)? {
            Format::Jpeg => jpeg::decode(file)?,
            Format::Png => png::decode(file)?,
            Format::Webp => webp::decode(file)?,
        };
        let orientation = exif.map_or(Orientation::default(), |exif| Orientation::of(&exif));
        Ok(orientation.apply(picture))
    }

    /// The number of columns, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The number of rows, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Red, green and blue of each pixel, row by row from the top, 3 × width × height bytes.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

// === impl Extent ===

impl Extent {
    /// The extent that a header declares, if it is allowed.
    fn checked(width: u64, height: u64) -> Result<Extent, Problem> {
        if width == 0 || height == 0 {
            return Err(Problem::unprocessable(format!("the picture is {width} x {height} pixels, which is empty")));
        }
        if width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
            let most = MAX_PIXELS / 1_000_000;
            let detail = format!("the picture is {width} x {height} pixels, where at most {most} megapixels are taken");
            return Err(Problem::too_large(detail));
        }
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(width), Ok(height)) => Ok(Extent { width, height }),
            _ => Err(Problem::too_large(format!("the picture is {width} x {height} pixels"))),
        }
    }

    /// The number of pixels.
    fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Makes a picture of samples that have `channels` bytes a pixel: grey, grey and alpha, RGB, or RGB and alpha.
    fn picture(self, mut samples: Vec<u8>, channels: usize) -> Result<Picture, Problem> {
        let expected = self.pixels().checked_mul(channels);
        if expected != Some(samples.len()) || !(1..=4).contains(&channels) {
            let detail = format!("the picture's {} bytes are not {channels} for each pixel", samples.len());
            return Err(Problem::unprocessable(detail));
        }
        let pixels = match channels {
            1 => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
            2 => samples.chunks_exact(2).filter_map(|pixel| pixel.first()).flat_map(|&grey| [grey; 3]).collect(),
            3 => samples,
            _ => {
                // In place: a picture of the largest extent has 200 MB.
                let mut index = 0;
                samples.retain(|_| {
                    index += 1;
                    index % 4 != 0
                });
                samples
            }
        };
        Ok(Picture { width: self.width, height: self.height, pixels })
    }
}

/// 422: a file that does not hold what its beginning promises.
fn broken(format: &str, error: impl std::fmt::Display) -> Problem {
    Problem::unprocessable(format!("the picture is no whole {format}: {error}"))
}

#[cfg(test)]
mod tests;
