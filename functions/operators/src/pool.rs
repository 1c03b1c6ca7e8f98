//! Pools: the largest number of a window, or their sum.

use samara_kernels::places;
use tract_core::internal::*;

use crate::geometry::Geometry;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Where what is.
    pub geometry: Geometry,
    /// What it gives.
    pub kind: Kind,
}

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
        let (_, channels, window) = self.geometry.window(inputs[0].shape());
        let [height, width] = window.output;
        let numbers = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        // SAFETY: each row is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.geometry.shape(inputs[0].shape()))? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        let image_size = window.input[0] * window.input[1] * channels;
        let steps = window.kernel[0] * window.kernel[1];
        for (row, part) in to.chunks_exact_mut((width * channels).max(1)).enumerate() {
            let image = numbers[row / height * image_size..][..image_size].as_ptr();
            let (row, part) = (row % height, part.as_mut_ptr());
            // SAFETY: the image is as large as the window says, and so is the row.
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
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Pool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.geometry.shape(&inputs[0].shape.to_tvec()))))
    }

    as_op!();
}
