//! From a photo to the model's input.

use std::fmt::Display;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use samara_function::{Problem, Tensor};
use samara_picture::Picture;

/// The side of the square that the model takes, in pixels.
pub const SIDE: u32 = 224;

/// Which part of the photo's shorter side the square covers.
const CROP_SHARE: f64 = 224.0 / 256.0;

/// What is subtracted from a value of 0 to 255, and what the difference is divided by.
const MEAN: f32 = 127.0;
const SCALE: f32 = 128.0;

/// The model's input, `FP32[1,3,224,224]`: (value - 127) / 128 of the red, the green and the blue plane of
/// [`centre`]. As in the reference implementation of EfficientNet-Lite
/// (<https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite>).
///
/// # Errors
///
/// See [`centre`].
pub fn input(photo: &Picture) -> Result<Tensor, Problem> {
    let square = centre(photo)?;
    let (pixels, _) = square.as_chunks::<3>();
    let mut values = Vec::with_capacity(square.len());
    for channel in 0..3 {
        values.extend(pixels.iter().map(|pixel| (f32::from(pixel[channel]) - MEAN) / SCALE));
    }
    Ok(Tensor::fp32("input", &[1, 3, SIDE.into(), SIDE.into()], &values)?)
}

/// The centred square whose side is 224/256 of the photo's shorter side, as 224 x 224 pixels in RGB, row by row.
///
/// As Pillow's `resize` with `BICUBIC` does it: Catmull-Rom, stretched where the photo shrinks, in fixed point; first along
/// the rows, then along the columns, with what is in between clipped to 0..255.
///
/// # Errors
///
/// 422 if the photo cannot be resized.
pub fn centre(photo: &Picture) -> Result<Vec<u8>, Problem> {
    let (width, height) = (f64::from(photo.width()), f64::from(photo.height()));
    let side = width.min(height) * CROP_SHARE;
    let (left, top) = ((width - side) / 2.0, (height - side) / 2.0);
    let refused = |error: &dyn Display| Problem::unprocessable(format!("the picture cannot be resized: {error}"));

    let source = TypedImageRef::<U8x3>::from_buffer(photo.width(), photo.height(), photo.pixels())
        .map_err(|error| refused(&error))?;
    let mut narrow = TypedImage::<U8x3>::new(SIDE, photo.height());
    let mut square = TypedImage::<U8x3>::new(SIDE, SIDE);
    let filter = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    let mut resizer = Resizer::new();
    // Both ways at once, the resizer would begin with the columns.
    resizer
        .resize_typed(&source, &mut narrow, &filter.crop(left, 0.0, side, height))
        .map_err(|error| refused(&error))?;
    resizer
        .resize_typed(&narrow, &mut square, &filter.crop(0.0, top, SIDE.into(), side))
        .map_err(|error| refused(&error))?;
    Ok(square.pixels().iter().map(|pixel| pixel.0).collect::<Vec<_>>().into_flattened())
}
