//! Cells of recurrent layers.

use samara_kernels::cells::lstm;
use tract_core::internal::*;

/// What an LSTM does with the sums of its gates, `[items, 4 * hidden]` in ONNX's order, and the state before, `[items, hidden]`:
/// the hidden state, and the state.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct LstmCell {
    /// Numbers of a state.
    pub hidden: usize,
}

impl Op for LstmCell {
    fn name(&self) -> StaticName {
        "LstmCell".into()
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for LstmCell {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (gates, before) = args_2!(inputs);
        // A state of no numbers has no rows of one either.
        let hidden = self.hidden.max(1);
        // SAFETY: all of both is written to below.
        let [mut new, mut after] =
            unsafe { [Tensor::uninitialized::<f32>(before.shape())?, Tensor::uninitialized::<f32>(before.shape())?] };
        {
            let (gates, before) = (gates.try_as_plain_ram()?, before.try_as_plain_ram()?);
            let (gates, before) = (gates.as_slice::<f32>()?, before.as_slice::<f32>()?);
            ensure!(
                gates.len() == 4 * before.len() && before.len().is_multiple_of(hidden),
                "{} sums for {} numbers of a state of {hidden}",
                gates.len(),
                before.len()
            );
            let (mut new, mut after) = (new.try_as_plain_ram_mut()?, after.try_as_plain_ram_mut()?);
            let rows = gates.chunks_exact(4 * hidden).zip(before.chunks_exact(hidden));
            let to = new
                .as_slice_mut::<f32>()?
                .chunks_exact_mut(hidden)
                .zip(after.as_slice_mut::<f32>()?.chunks_exact_mut(hidden));
            for ((gates, before), (new, after)) in rows.zip(to) {
                // SAFETY: all are as long as the kernel wants them.
                unsafe { lstm(hidden, gates.as_ptr(), before.as_ptr(), new.as_mut_ptr(), after.as_mut_ptr()) };
            }
        }
        Ok(tvec!(new.into_tvalue(), after.into_tvalue()))
    }
}

impl TypedOp for LstmCell {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let state = f32::fact(inputs[1].shape.clone());
        Ok(tvec!(state.clone(), state))
    }

    as_op!();
}
