//! From a picture of a line to the model's input, as RapidOCR does it
//! (`TextRecognizer.resize_norm_img`, <https://github.com/RapidAI/RapidOCR>), which follows PaddleOCR.

use std::fmt::Display;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use samara_function::{Problem, Tensor};
use samara_picture::Picture;

/// The height that a line is brought to, in pixels.
pub const HEIGHT: u32 = 48;

/// The width that the model was trained with, in pixels. A shorter line is filled up to it.
pub const USUAL_WIDTH: u32 = 320;

/// The greatest width that a model is given, in pixels.
pub const MAX_WIDTH: u32 = 4096;

/// How wide the model's input can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// As wide as the line needs it, up to [`MAX_WIDTH`].
    AsNeeded,
    /// Always as many pixels.
    Fixed(u32),
}

/// A line of text, 48 pixels high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Red, green and blue of each pixel, row by row.
    pixels: Vec<u8>,
    width: u32,
    input_width: u32,
    squeezed: bool,
}

// === impl Line ===

impl Line {
    /// Brings a picture to the model's height. Its proportions stay, unless it is too wide for a room of fixed width.
    ///
    /// The filter is OpenCV's `INTER_LINEAR`, which takes the two nearest pixels in each direction, however much the
    /// picture shrinks.
    ///
    /// # Errors
    ///
    /// 422 for a line that is longer than any model is given.
    pub fn of(picture: &Picture, room: Room) -> Result<Line, Problem> {
        let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
        let scaled = width * u64::from(HEIGHT);
        let (wanted, whole) = (scaled.div_ceil(height), scaled / height);
        let input_width = match room {
            Room::Fixed(width) => width,
            Room::AsNeeded => u32::try_from(whole).unwrap_or(u32::MAX).max(USUAL_WIDTH),
        };
        if input_width > MAX_WIDTH {
            let most = MAX_WIDTH / HEIGHT;
            let detail = format!(
                "the picture is {width} x {height} pixels, where a line up to {most} times as wide as high is read"
            );
            return Err(Problem::unprocessable(detail));
        }
        // The reference rounds up, but its input has the width rounded down.
        let line_width = u32::try_from(wanted).unwrap_or(u32::MAX).min(input_width);
        let squeezed = whole > u64::from(input_width);
        Ok(Line { pixels: resized(picture, line_width)?, width: line_width, input_width, squeezed })
    }

    /// How many columns the line takes.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// How many columns the model's input has.
    pub fn input_width(&self) -> u32 {
        self.input_width
    }

    /// Whether the line lost its proportions, as it was too long.
    pub fn is_squeezed(&self) -> bool {
        self.squeezed
    }

    /// Red, green and blue of each pixel, row by row from the top: 3 × [`Line::width`] × 48 bytes.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The model's input, FP32[1,3,48,[`Line::input_width`]]: value / 127.5 - 1 of the blue, the green and the red plane,
    /// with zeros to the right of the line.
    ///
    /// # Errors
    ///
    /// None that a line can have.
    pub fn tensor(&self, name: &str) -> Result<Tensor, Problem> {
        let (columns, padding) = (self.width as usize, self.input_width.saturating_sub(self.width) as usize);
        let mut values = Vec::with_capacity(3 * HEIGHT as usize * self.input_width as usize);
        for channel in [2, 1, 0] {
            for row in self.pixels.chunks_exact(3 * columns.max(1)) {
                let plane = row.iter().skip(channel).step_by(3);
                values.extend(plane.map(|&value| (f32::from(value) / 255.0 - 0.5) / 0.5));
                values.extend(std::iter::repeat_n(0.0, padding));
            }
        }
        Ok(Tensor::fp32(name, &[1, 3, HEIGHT.into(), self.input_width.into()], &values)?)
    }
}

/// The picture as `width` x 48 pixels in RGB, row by row.
fn resized(picture: &Picture, width: u32) -> Result<Vec<u8>, Problem> {
    let refused = |error: &dyn Display| Problem::unprocessable(format!("the picture cannot be resized: {error}"));
    let source = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.pixels())
        .map_err(|error| refused(&error))?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    let mut line = TypedImage::<U8x3>::new(width, HEIGHT);
    Resizer::new().resize_typed(&source, &mut line, &options).map_err(|error| refused(&error))?;
    Ok(line.pixels().iter().flat_map(|pixel| pixel.0).collect())
}
