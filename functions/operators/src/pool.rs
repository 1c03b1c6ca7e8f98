//! Pools: the largest number of a window, or their sum.

use samara_kernels::places;
use samara_kernels::quantized::Quantization;
use tract_core::internal::*;

use crate::geometry::Geometry;
use crate::image::Images;
use crate::quantized::{by_rows, datum_type};

/// What a pool gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The largest number.
    Max,
    /// The sum.
    Sum,
    /// The mean of what is inside of the image.
    MeanInside,
    /// The sum by the size of the window.
    Mean,
}

/// A pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Where what is.
    pub geometry: Geometry,
    /// What the bytes that it takes and makes stand for, where they are no floats.
    pub bytes: Option<Quantization>,
    /// What it gives.
    pub kind: Kind,
}

impl Eq for Pool {}

impl Op for Pool {
    fn name(&self) -> StaticName {
        format!("Pool<{:?}>", self.kind).into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.geometry)])
    }

    op_as_typed_op!();
}

impl EvalOp for Pool {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (items, channels, window) = self.geometry.window(inputs[0].shape());
        let [height, width] = window.output;
        let steps = window.kernel[0] * window.kernel[1];
        let mut room = Images::room(self.bytes.is_some(), &window, channels)?;
        let mut room = room.try_as_plain_ram_mut()?;
        let size = [items, window.input[0], window.input[1] * channels];
        let mut images = Images::of(&inputs[0], self.bytes, size, room.as_slice_mut()?)?;
        let mut write = |row: usize, part: &mut [f32]| {
            let (item, row) = (row / height, row % height);
            let (image, part) = (images.rows(item, window.needed(0, &(row..row + 1))), part.as_mut_ptr());
            // SAFETY: what the window needs of the image is there, and the row is as long as one of the result.
            unsafe {
                match self.kind {
                    Kind::Max => places::largest(&window, row, channels, image, part),
                    Kind::Sum => places::sum(&window, row, channels, image, part, |_| 1.0),
                    Kind::Mean => places::sum(&window, row, channels, image, part, |_| 1.0 / steps as f32),
                    Kind::MeanInside => {
                        places::sum(&window, row, channels, image, part, |inside| 1.0 / inside as f32);
                    }
                }
            }
        };
        let shape = self.geometry.shape_over(items, &window);
        ensure!(
            shape.iter().product::<usize>() == items * height * width * channels,
            "as many channels as the image has"
        );
        let output = by_rows(self.bytes, &shape, width * channels, &mut write)?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Pool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let made = self.bytes.map_or(f32::datum_type(), |quantization| datum_type(quantization.kind));
        Ok(tvec!(made.fact(&*self.geometry.shape(&inputs[0].shape.to_tvec()))))
    }

    as_op!();
}
