//! Products with matrices that do not change: dense layers, convolutions of one place.

use std::sync::Arc;

use samara_kernels::F32x4;
use samara_kernels::rows::{Bounds, STRIP, Target, Weights, pack};
use tract_core::internal::*;

use crate::fused::Fused;

/// The product of a tensor's rows with weights, a bias, bounds, and arithmetic.
///
/// The first `rows` axes of the input tell the row, the others, together, are what is summed over. The result has the same
/// rows, and `columns` as its last axes.
#[derive(Clone)]
pub struct Product {
    /// The weights.
    pub weights: Arc<Weights>,
    /// Axes of the input that tell the row.
    pub rows: usize,
    /// The last axes of the result.
    pub columns: TVec<usize>,
    /// The least and the largest result.
    pub bounds: Bounds,
    /// What is done then.
    pub fused: Option<Fused>,
}

impl std::fmt::Debug for Product {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Product {} x {}", self.weights.depth(), self.weights.columns())
    }
}

impl PartialEq for Product {
    fn eq(&self, other: &Product) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
            && (self.rows, &self.columns, self.bounds) == (other.rows, &other.columns, other.bounds)
            && self.fused == other.fused
    }
}

impl Eq for Product {}

impl Product {
    fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        input[..self.rows].iter().cloned().chain(self.columns.iter().map(|&size| size.into())).collect()
    }
}

impl Op for Product {
    fn name(&self) -> StaticName {
        "Product".into()
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Product {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = self.shape(inputs[0].shape());
        let (depth, columns) = (self.weights.depth(), self.weights.columns());
        let rows: usize = shape[..self.rows].iter().product();
        let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        ensure!(from.len() == rows * depth, "{} numbers are not {rows} rows of {depth}", from.len());
        let sources = self.fused.as_ref().map(|fused| fused.sources(&inputs[1..], rows, columns)).transpose()?;
        // SAFETY: each row is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        // A row that no strip is full of is best by itself.
        let alone = usize::from(rows % STRIP == 1);
        let together = rows - alone;
        let at_once = self.weights.rows_at_a_time().min(together);
        let mut strips = vec![F32x4::ZERO; self.weights.room_for(at_once)];
        let mut first = 0;
        while first < rows {
            let count = if first < together { at_once.min(together - first) } else { alone };
            let part = &mut to[first * columns..][..count * columns];
            // SAFETY: the input has as many rows, the strips and the output as much room.
            unsafe {
                let from = from.as_ptr().add(first * depth);
                if first == together {
                    self.weights.multiply_one(from, part.as_mut_ptr(), self.bounds);
                } else {
                    for strip in (0..count).step_by(STRIP) {
                        let rows = std::array::from_fn(|row| from.add((strip + row).min(count - 1) * depth));
                        pack(rows, depth, strips[strip / STRIP * depth..][..depth].as_mut_ptr().cast());
                    }
                    let target = Target { to: part.as_mut_ptr(), stride: columns };
                    self.weights.multiply(count, &strips, target, self.bounds);
                }
            }
            if let Some((fused, sources)) = self.fused.as_ref().zip(sources.as_ref()) {
                fused.run(sources, first, part);
            }
            first += count;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Product {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.shape(&inputs[0].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let rows: TDim = inputs[0].shape[..self.rows].iter().product();
        Ok(tvec!((Cost::FMA(f32::datum_type()), rows * self.weights.depth() * self.weights.columns())))
    }

    as_op!();
}
