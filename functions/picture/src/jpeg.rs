//! JPEG.

use samara_function::Problem;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::{Decoded, Extent, broken};

/// Decodes a JPEG, baseline or progressive; grey, YCbCr, RGB, CMYK or YCCK.
pub(crate) fn decode(file: &[u8]) -> Result<Decoded, Problem> {
    // Strict, as otherwise the part that is missing of a file is grey.
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(|error| broken("JPEG", error))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let extent = Extent::checked(width as u64, height as u64)?;
    let exif = decoder.exif().cloned();
    let pixels = decoder.decode().map_err(|error| broken("JPEG", error))?;
    Ok(Decoded { picture: extent.picture(pixels, 3)?, exif })
}
