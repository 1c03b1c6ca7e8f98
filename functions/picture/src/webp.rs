//! WebP.

use std::io::Cursor;

use image_webp::WebPDecoder;
use samara_function::Problem;

use crate::{Decoded, Extent, MAX_PIXELS, broken};

/// Decodes a WebP, lossy or lossless. Of an animation, the first frame.
pub(crate) fn decode(file: &[u8]) -> Result<Decoded, Problem> {
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(|error| broken("WebP", error))?;
    let (width, height) = decoder.dimensions();
    let extent = Extent::checked(width.into(), height.into())?;
    decoder.set_memory_limit(usize::try_from(4 * MAX_PIXELS).unwrap_or(usize::MAX));
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let bytes =
        decoder.output_buffer_size().ok_or_else(|| Problem::too_large("the picture does not fit into memory"))?;
    let mut samples = vec![0; bytes];
    decoder.read_image(&mut samples).map_err(|error| broken("WebP", error))?;
    // Metadata that cannot be read is treated like none.
    let exif = decoder.exif_metadata().ok().flatten();
    Ok(Decoded { picture: extent.picture(samples, channels)?, exif })
}
