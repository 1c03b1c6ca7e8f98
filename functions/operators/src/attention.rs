//! Attention: of two products of matrices with a softmax between, some rows at a time.
//!
//! Each row of the first product has a number, a score, for each row of what is attended to: of 512 tokens and twelve heads, 12 MB. They
//! are made only to be weighed, and their sum with the second matrix taken. So a band of rows goes through all of it while it is in
//! the second cache, and what is kept does not grow with the square of the tokens. Whole rows are normalised at once, unlike in
//! FlashAttention (Dao et al., 2022, <https://arxiv.org/abs/2205.14135>), whose idea this is.

use samara_kernels::F32x4;
use samara_kernels::rows::Target;
use tract_core::internal::*;

use crate::batch::{BatchProduct, Right, multiply};
use crate::fused::{Bound, Fused};
use crate::layout::strides;
use crate::lines::Softmax;

/// The product of what a softmax makes of another product's rows.
///
/// Rows and columns are the scores' last axes, and what is summed over in the second product is their columns. The inputs are the
/// first product's, the further ones of the arithmetic, and the second product's right one.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// What makes the scores.
    pub scores: BatchProduct,
    /// What is done with them before the softmax: scale, masks.
    pub fused: Option<Fused>,
    /// What makes shares of them.
    pub softmax: Softmax,
    /// What their shares are multiplied with.
    pub values: BatchProduct,
}

impl Eq for Attention {}

impl Attention {
    /// The shape of the scores, and of the result.
    fn shapes<D: DimLike>(&self, left: &[D], right: &[D], values: &[D]) -> [TVec<D>; 2] {
        let scores = self.scores.shape(left, right);
        let result = self.values.shape(&scores, values);
        [scores, result]
    }
}

impl Op for Attention {
    fn name(&self) -> StaticName {
        "Attention".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.scores), format!("{:?}", self.values)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [left, right, others @ .., values] = &*inputs else { bail!("three matrices are multiplied") };
        self.scores.check(left.shape(), right.shape())?;
        let [of_scores, shape] = self.shapes(left.shape(), right.shape(), values.shape());
        self.values.check(&of_scores, values.shape())?;
        let (batch, [rows, columns]) = match &*of_scores {
            [batch @ .., rows, columns] => (batch, [*rows, *columns]),
            _ => bail!("scores have rows and columns"),
        };
        let depth = left.shape()[self.scores.depth[0]];
        let matrices: usize = batch.iter().product();
        let bound = Bound::of(self.fused.as_ref(), others, matrices * rows, columns)?;
        if columns == 0 || shape.iter().product::<usize>() == 0 {
            return Ok(tvec!(Tensor::zero::<f32>(&shape)?.into_tvalue()));
        }
        ensure!(depth > 0, "scores are sums of no numbers: {:?} by {:?}", left.shape(), right.shape());
        // SAFETY: each row of each product is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        let [of_left, of_result] = [left.shape(), &shape].map(strides);
        let is_last = of_left[self.scores.depth[0]] == 1 && of_result[self.values.columns[1]] == 1;
        ensure!(is_last, "steps and columns are last");
        let left = left.try_as_plain_ram()?.as_slice::<f32>()?;
        let (mut right, mut values) = (Right::of(&self.scores, right)?, Right::of(&self.values, values)?);
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?.as_mut_ptr();
        let at_once = right.weights.rows_at_a_time().min(values.weights.rows_at_a_time()).min(rows);
        // Not zeros: what is read of both has been written before.
        let room = right.weights.room_for(at_once).max(values.weights.room_for(at_once));
        let mut strips = Box::<[F32x4]>::new_uninit_slice(room);
        // SAFETY: each row is written to below, before it is read.
        let mut band = unsafe { Tensor::uninitialized::<f32>(&[at_once * columns])? };
        let mut band = band.try_as_plain_ram_mut()?;
        let band = band.as_slice_mut::<f32>()?;
        for matrix in 0..matrices {
            let mut rest = matrix;
            let (mut from, mut keys, mut shares, mut result) = (0, 0, 0, 0);
            for (axis, size) in batch.iter().enumerate().rev() {
                let index = rest % size;
                rest /= size;
                for [one, other, _] in self.scores.batch.iter().filter(|axes| axes[2] == axis) {
                    from += index * of_left[*one];
                    keys += index * right.strides[*other];
                }
                for [_, other, to] in self.values.batch.iter().filter(|axes| axes[0] == axis) {
                    shares += index * values.strides[*other];
                    result += index * of_result[*to];
                }
            }
            right.pack(keys);
            values.pack(shares);
            let (from, from_stride) = (left[from..].as_ptr(), of_left[self.scores.rows[0]]);
            let stride = of_result[self.values.rows[1]];
            for first in (0..rows).step_by(at_once) {
                let count = at_once.min(rows - first);
                let band = &mut band[..count * columns];
                // SAFETY: the axes of both are as large, and lie, as their shapes say; a band is as large as so many rows of scores.
                unsafe {
                    let target = Target { to: band.as_mut_ptr(), stride: columns };
                    multiply(&right.weights, &mut strips, count, from.add(first * from_stride), from_stride, target);
                    bound.run(matrix * rows + first, band);
                    self.softmax.rows(columns, band);
                    let target = Target { to: to.add(result + first * stride), stride };
                    multiply(&values.weights, &mut strips, count, band.as_ptr(), columns, target);
                }
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Attention {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [left, right, .., values] = inputs else { bail!("three matrices are multiplied") };
        let [_, shape] = self.shapes(&left.shape.to_tvec(), &right.shape.to_tvec(), &values.shape.to_tvec());
        Ok(tvec!(f32::fact(&*shape)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let [left, right, .., values] = inputs else { bail!("three matrices are multiplied") };
        let [scores, result] = self.shapes(&left.shape.to_tvec(), &right.shape.to_tvec(), &values.shape.to_tvec());
        let of_scores: TDim = scores.iter().product::<TDim>() * &left.shape[self.scores.depth[0]];
        let of_values: TDim = result.iter().product::<TDim>() * &scores[scores.len() - 1];
        Ok(tvec!((Cost::FMA(f32::datum_type()), of_scores + of_values)))
    }

    as_op!();
}
