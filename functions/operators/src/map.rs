//! Arithmetic on tensors, several operations at once.

use samara_kernels::program::{Program, Source, Spread};
use tract_core::internal::*;

use crate::fused::spread_over;

/// A program on tensors: each input is a source. The first axes of the result are its rows, the last is its columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// What is done.
    pub program: Program,
    /// How the numbers of each input are spread.
    pub spreads: Vec<Spread>,
    /// The result's shape.
    pub shape: TVec<TDim>,
}

impl Eq for Map {}

impl Op for Map {
    fn name(&self) -> StaticName {
        "Map".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.program)])
    }

    op_as_typed_op!();
}

impl EvalOp for Map {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == self.spreads.len(), "{} tensors for {} sources", inputs.len(), self.spreads.len());
        let full = self.spreads.iter().position(|spread| *spread == Spread::Full);
        let shape: TVec<usize> = match full {
            Some(full) => inputs[full].shape().into(),
            None => self.shape.iter().map(|size| Ok(size.to_usize()?)).collect::<TractResult<_>>()?,
        };
        let columns = shape.last().copied().unwrap_or(1);
        let rows: usize = shape.iter().take(shape.len().saturating_sub(1)).product();
        for (input, spread) in inputs.iter().zip(&self.spreads) {
            spread_over(input, *spread, rows, columns)?;
        }
        // The result takes the place of an input that nobody else has.
        let (mut output, own) = match full {
            Some(full) if inputs[full].is_exclusive() => {
                let nothing = Tensor::zero::<f32>(&[0])?.into_tvalue();
                (std::mem::replace(&mut inputs[full], nothing).into_tensor(), Some(full))
            }
            // SAFETY: all of it is written to below.
            _ => (unsafe { Tensor::uninitialized::<f32>(&shape)? }, None),
        };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?.as_mut_ptr();
        let sources = inputs.iter().zip(&self.spreads).enumerate().map(|(index, (input, &spread))| {
            let from = if own == Some(index) {
                to.cast_const()
            } else {
                input.try_as_plain_ram()?.as_slice::<f32>()?.as_ptr()
            };
            Ok(Source { from, spread })
        });
        let sources = sources.collect::<TractResult<TVec<_>>>()?;
        // SAFETY: the sources have been held against the result, and the program names no others.
        unsafe { self.program.run(rows, columns, &sources, to) };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Map {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.shape)))
    }

    as_op!();
}
