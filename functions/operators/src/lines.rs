//! Operators along axes: reductions, softmax, normalization. And the lookup of rows.

use std::ops::Range;
use std::sync::Arc;

use samara_kernels::lines;
use tract_core::internal::*;

/// A reduction over axes that follow one another, times a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduction {
    /// What is computed.
    pub reduction: lines::Reduction,
    /// The axes that it goes over.
    pub over: Range<usize>,
    /// Whether the result is divided by how many numbers it is made of.
    pub mean: bool,
}

impl Eq for Reduction {}

impl Reduction {
    fn stays<D: Clone>(&self, shape: &[D]) -> TVec<D> {
        shape[..self.over.start].iter().chain(&shape[self.over.end..]).cloned().collect()
    }
}

impl Op for Reduction {
    fn name(&self) -> StaticName {
        format!("Reduction<{:?}>", self.reduction).into()
    }

    op_as_typed_op!();
}

impl EvalOp for Reduction {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = inputs[0].shape();
        let numbers = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let mut output = Tensor::zero::<f32>(&self.stays(shape))?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        let [over, columns] = [&shape[self.over.clone()], &shape[self.over.end..]].map(|sizes| sizes.iter().product());
        if self.over.end == shape.len() {
            self.reduction.rows(over, numbers, to);
        } else if columns > 0 {
            let items = to.chunks_exact_mut(columns).enumerate();
            let size: usize = over * columns;
            items.for_each(|(item, to)| self.reduction.columns(&numbers[item * size..][..size], to));
        }
        if self.mean {
            let factor = to.len() as f32 / numbers.len() as f32;
            to.iter_mut().for_each(|x| *x *= factor);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Reduction {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.stays(&inputs[0].shape.to_tvec()))))
    }

    as_op!();
}

/// Softmax over the last axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Softmax {
    /// Whether rows that are not numbers become 0, as those of which all is masked.
    pub nan_is_zero: bool,
}

impl Softmax {
    /// Of rows that follow one another, in place.
    pub fn rows(&self, columns: usize, numbers: &mut [f32]) {
        lines::softmax(columns, numbers);
        if self.nan_is_zero && columns > 0 {
            // All of a row are divided by the same sum: where one is not a number, none is.
            let rows = numbers.chunks_exact_mut(columns);
            rows.filter(|row| row[0].is_nan()).for_each(|row| row.fill(0.0));
        }
    }
}

impl Op for Softmax {
    fn name(&self) -> StaticName {
        "RowSoftmax".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Softmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = args_1!(inputs).into_tensor();
        let columns = *tensor.shape().last().context("a tensor without axes has no rows")?;
        self.rows(columns, tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for Softmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

/// Layer normalization over the last axis, or, where the mean stays, RMS normalization; then a factor and a summand for each
/// column.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// How rows are normalized.
    pub normalization: lines::Normalization,
    /// For each column.
    pub factors: Arc<[f32]>,
    /// For each column.
    pub summands: Arc<[f32]>,
}

impl Eq for Normalization {}

impl Op for Normalization {
    fn name(&self) -> StaticName {
        if self.normalization.centered { "LayerNormalization".into() } else { "RmsNormalization".into() }
    }

    op_as_typed_op!();
}

impl EvalOp for Normalization {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = args_1!(inputs).into_tensor();
        let columns = self.factors.len();
        ensure!(tensor.shape().last() == Some(&columns), "rows of other than {columns} numbers");
        let mut plain = tensor.try_as_plain_ram_mut()?;
        lines::normalize(self.normalization, &self.factors, &self.summands, plain.as_slice_mut::<f32>()?);
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for Normalization {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

/// The rows of a table that whole numbers name, zeros for those that name none: what the product of a one-hot tensor with
/// the table gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The table.
    pub table: Arc<Tensor>,
}

impl Op for Lookup {
    fn name(&self) -> StaticName {
        "Lookup".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Lookup {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let names = inputs[0].cast_to::<i64>()?;
        let columns = self.table.shape()[1];
        let shape: TVec<usize> = inputs[0].shape().iter().copied().chain([columns]).collect();
        let mut output = Tensor::zero::<f32>(&shape)?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let rows = plain.as_slice_mut::<f32>()?.chunks_exact_mut(columns.max(1));
        let table = self.table.try_as_plain_ram()?.as_slice::<f32>()?;
        for (row, &name) in rows.zip(names.try_as_plain_ram()?.as_slice::<i64>()?) {
            let name = usize::try_from(name).ok().filter(|name| *name < self.table.shape()[0]);
            if let Some(name) = name {
                row.copy_from_slice(&table[name * columns..][..columns]);
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Lookup {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let columns = self.table.shape()[1].to_dim();
        let shape: TVec<TDim> = inputs[0].shape.iter().cloned().chain([columns]).collect();
        Ok(tvec!(f32::fact(&*shape)))
    }

    as_op!();
}
