//! PNG.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};
use samara_function::Problem;

use crate::{Decoded, Extent, broken};

/// What the decoder may set aside for metadata and rows, in bytes. The picture itself is set aside here.
const DECODER_BYTES: usize = 16 << 20;

/// Decodes a PNG. Of 16 bits, the upper 8 are taken, as Pillow does in colour; in grey it clips the values at 255, which
/// gives no picture, so that those are refused. Of an animation, the default image.
pub(crate) fn decode(file: &[u8]) -> Result<Decoded, Problem> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), Limits { bytes: DECODER_BYTES });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(|error| broken("PNG", error))?;
    let extent = Extent::checked(header.width.into(), header.height.into())?;
    if (header.color_type, header.bit_depth) == (ColorType::Grayscale, BitDepth::Sixteen) {
        return Err(Problem::unprocessable("the picture is a PNG in grey with 16 bits, where 8 bits are taken"));
    }
    let mut reader = decoder.read_info().map_err(|error| broken("PNG", error))?;
    let (color_type, _) = reader.output_color_type();
    let bytes =
        reader.output_buffer_size().ok_or_else(|| Problem::too_large("the picture does not fit into memory"))?;
    let mut samples = vec![0; bytes];
    reader.next_frame(&mut samples).map_err(|error| broken("PNG", error))?;
    // The EXIF data may come after the pixels.
    reader.finish().map_err(|error| broken("PNG", error))?;
    let exif = reader.info().exif_metadata.as_ref().map(|exif| exif.to_vec());
    Ok(Decoded { picture: extent.picture(samples, color_type.samples())?, exif })
}
