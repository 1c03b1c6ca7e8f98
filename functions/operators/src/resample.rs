//! Axes of another size: interpolation, as in ONNX's `Resize`.

use samara_kernels::resample::{Taps, resample};
use tract_core::internal::*;
use tract_core::ops::nn::resize::Resize;

/// The size that an axis becomes.
#[derive(Clone, Debug, PartialEq)]
pub enum Becomes {
    /// So many times as large.
    Times(f32),
    /// So large.
    Size(TDim),
}

/// One axis of a tensor, resampled.
#[derive(Clone, Debug, PartialEq)]
pub struct Resample {
    /// How: which places of the input a place of the result is made of.
    pub how: Resize,
    /// The axis.
    pub axis: usize,
    /// What becomes of its size.
    pub becomes: Becomes,
}

impl Eq for Resample {}

/// A size, so many times as large.
fn times(size: usize, scale: f32) -> usize {
    if scale.fract() == 0.0 { size * scale as usize } else { (size as f32 * scale) as usize }
}

impl Op for Resample {
    fn name(&self) -> StaticName {
        "Resample".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?} of axis {}, by {:?}", self.becomes, self.axis, self.how)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Resample {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let size = shape[self.axis];
        let (becomes, scale) = match &self.becomes {
            Becomes::Times(scale) => (times(size, *scale), *scale),
            Becomes::Size(becomes) => {
                let becomes = becomes.eval(context.symbols).to_usize()?;
                (becomes, becomes as f32 / size as f32)
            }
        };
        if becomes == size && scale == 1.0 {
            return Ok(inputs);
        }
        shape[self.axis] = becomes;
        let inner: usize = shape[self.axis + 1..].iter().product();
        let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        // SAFETY: all of it is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        if output.len() > 0 {
            ensure!(size > 0, "an axis of size 0 becomes one of {becomes}");
            let plan = self.how.plan_axis(scale, size, becomes);
            let taps = Taps { window: plan.window, places: &plan.indices, weights: &plan.weights };
            let mut plain = output.try_as_plain_ram_mut()?;
            let parts = plain.as_slice_mut::<f32>()?.chunks_exact_mut(becomes * inner);
            from.chunks_exact(size * inner).zip(parts).for_each(|(from, to)| resample(from, inner, &taps, to));
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Resample {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        shape[self.axis] = match &self.becomes {
            Becomes::Size(size) => size.clone(),
            Becomes::Times(scale) if scale.fract() == 0.0 => shape[self.axis].clone() * (*scale as i64),
            Becomes::Times(scale) => times(shape[self.axis].to_usize()?, *scale).to_dim(),
        };
        Ok(tvec!(f32::fact(&*shape)))
    }

    as_op!();
}
