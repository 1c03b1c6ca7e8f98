//! Windows that are folded in the middle, for filters that are symmetric about it.
//!
//! The filters of a discrete Fourier transform are: a cosine is the same at n and N - n, a sine the opposite, whatever window they have
//! been multiplied with that is the same at both too, as a periodic Hann window is. So a convolution that is a short-time Fourier transform needs half of the multiplications:
//! what lies at n and at N - n is added, or subtracted, first. See Oppenheim and Schafer, *Discrete-Time Signal Processing*, on the
//! symmetries of the transform.

use tract_core::internal::*;

use crate::geometry::Geometry;

/// The halves of the windows over one row of numbers, of which none reaches beyond its ends: of N numbers, the sums of those at n
/// and N - n for n from 1 on, with those at 0 and N / 2 before and behind them; or the differences, without these.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Fold {
    /// How windows go over the row. Its channels are the numbers of half a window.
    geometry: Geometry,
    /// Whether differences are taken.
    odd: bool,
}

impl Fold {
    /// The halves of such windows, with differences or with sums.
    pub fn new(geometry: Geometry, odd: bool) -> Fold {
        let mut fold = Fold { geometry, odd };
        fold.geometry.channels = fold.half();
        fold
    }

    /// Numbers of half a window.
    pub fn half(&self) -> usize {
        let steps = self.geometry.kernel[1];
        if self.odd { steps / 2 - 1 } else { steps / 2 + 1 }
    }

    /// Which step of the window the first of them is.
    pub fn first(&self) -> usize {
        usize::from(self.odd)
    }
}

impl Op for Fold {
    fn name(&self) -> StaticName {
        "Fold".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.geometry)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Fold {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (items, _, window) = self.geometry.window(inputs[0].shape());
        let (steps, stride, length) = (window.kernel[1], window.stride[1], window.input[1]);
        let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        ensure!(from.len() == items * length, "{} numbers are not {items} rows of {length}", from.len());
        // SAFETY: each half is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.geometry.shape_over(items, &window))? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        let (half, places) = (self.half(), window.output[1]);
        ensure!(to.len() == items * places * half, "{} numbers for {items} times {places} windows", to.len());
        for (index, to) in to.chunks_exact_mut(half).enumerate() {
            let (item, place) = (index / places, index % places);
            let window = &from[item * length + place * stride..][..steps];
            let (before, after) = window.split_at(steps / 2);
            // From 1 on, and from the last on backwards.
            let pairs = before[1..].iter().zip(after[1..].iter().rev());
            if self.odd {
                for (to, (x, y)) in to.iter_mut().zip(pairs) {
                    *to = x - y;
                }
            } else {
                to[0] = before[0];
                to[half - 1] = after[0];
                for (to, (x, y)) in to[1..].iter_mut().zip(pairs) {
                    *to = x + y;
                }
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Fold {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.geometry.shape(&inputs[0].shape.to_tvec()))))
    }

    as_op!();
}
