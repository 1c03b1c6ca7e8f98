//! Products of matrices that both come with the request, several of them.

use std::mem::MaybeUninit;

use samara_kernels::F32x4;
use samara_kernels::activation::Activation;
use samara_kernels::rows::{Target, Weights, parts};
use tract_core::internal::*;

use crate::layout::strides;

/// Products of matrices: which axes of the two inputs and of the result are which. The left one's steps and the result's
/// columns are last, and on the right steps or columns are.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct BatchProduct {
    /// Axes that tell the matrix: on the left, on the right, in the result.
    pub batch: TVec<[usize; 3]>,
    /// On the left and in the result.
    pub rows: [usize; 2],
    /// On the right and in the result.
    pub columns: [usize; 2],
    /// Steps, on the left and on the right.
    pub depth: [usize; 2],
}

impl BatchProduct {
    /// The result's shape.
    pub(crate) fn shape<D: DimLike>(&self, left: &[D], right: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = std::iter::repeat_n(D::one(), self.batch.len() + 2).collect();
        for [left_axis, _, axis] in &self.batch {
            shape[*axis] = left[*left_axis].clone();
        }
        shape[self.rows[1]] = left[self.rows[0]].clone();
        shape[self.columns[1]] = right[self.columns[0]].clone();
        shape
    }

    /// Refuses matrices that do not go together.
    pub(crate) fn check(&self, left: &[usize], right: &[usize]) -> TractResult<()> {
        let fits = self.batch.iter().all(|[one, other, _]| left[*one] == right[*other]);
        ensure!(fits && right[self.depth[1]] == left[self.depth[0]], "{left:?} by {right:?}");
        Ok(())
    }
}

/// The right matrices of a product, of which one at a time is packed.
pub(crate) struct Right<'a> {
    pub numbers: &'a [f32],
    pub strides: TVec<usize>,
    step: usize,
    column: usize,
    pub weights: Weights,
}

impl<'a> Right<'a> {
    /// Those of a tensor, which are of at least one step.
    pub fn of(product: &BatchProduct, tensor: &'a Tensor) -> TractResult<Right<'a>> {
        let (shape, strides) = (tensor.shape(), strides(tensor.shape()));
        let [step_axis, column_axis] = [product.depth[1], product.columns[0]];
        let [step, column] = [strides[step_axis], strides[column_axis]];
        ensure!(step == 1 || column == 1, "steps or columns are last");
        let weights = Weights::empty(shape[step_axis], shape[column_axis]);
        Ok(Right { numbers: tensor.try_as_plain_ram()?.as_slice::<f32>()?, strides, step, column, weights })
    }

    /// Packs the matrix that begins at a number.
    pub fn pack(&mut self, first: usize) {
        let numbers = &self.numbers[first..];
        let [last_step, last_column] = [self.weights.depth() - 1, self.weights.columns().saturating_sub(1)];
        assert!(last_step * self.step + last_column * self.column < numbers.len(), "all of a matrix is there");
        // SAFETY: its last number is there, and `of` has held the strides against what is asked for.
        unsafe { self.weights.fill(numbers.as_ptr(), self.step, self.column) };
    }
}

/// Writes the product of rows, `stride` apart from `from` on, with packed weights; `strips` has room for them.
///
/// # Safety
///
/// There are as many rows, and there is room for as many at `target`.
pub(crate) unsafe fn multiply(
    weights: &Weights,
    strips: &mut [MaybeUninit<F32x4>],
    rows: usize,
    from: *const f32,
    stride: usize,
    target: Target,
) {
    if weights.takes_lying(rows) {
        // SAFETY: as the caller says.
        unsafe { weights.multiply_lying(rows, |row| from.wrapping_add(row * stride), target, Activation::NONE) };
        return;
    }
    let (depth, vectors) = (weights.depth(), weights.vectors(rows));
    assert!(vectors <= strips.len(), "room for {rows} rows of {depth}");
    // SAFETY: as the caller says; what is read of the strips has been packed before.
    unsafe {
        for part in parts(rows, depth, strips.as_mut_ptr().cast()) {
            let row = |index: usize| from.add((part.first + index).min(part.last) * stride);
            part.pack(0, std::array::from_fn(row), depth);
        }
        let strips = std::slice::from_raw_parts(strips.as_ptr().cast(), vectors);
        weights.multiply(rows, strips, target, Activation::NONE);
    }
}

impl Op for BatchProduct {
    fn name(&self) -> StaticName {
        "BatchProduct".into()
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for BatchProduct {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [left, right] = &*inputs else { bail!("two matrices are multiplied") };
        self.check(left.shape(), right.shape())?;
        let shape = self.shape(left.shape(), right.shape());
        let [rows, depth] = [self.rows[0], self.depth[0]].map(|axis| left.shape()[axis]);
        if depth == 0 || shape.iter().product::<usize>() == 0 {
            return Ok(tvec!(Tensor::zero::<f32>(&shape)?.into_tvalue()));
        }
        // SAFETY: each row of each product is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        let [of_left, of_result] = [left.shape(), &shape].map(strides);
        ensure!(of_left[self.depth[0]] == 1 && of_result[self.columns[1]] == 1, "steps and columns are last");
        let left = left.try_as_plain_ram()?.as_slice::<f32>()?;
        let mut right = Right::of(self, right)?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?.as_mut_ptr();
        let at_once = right.weights.rows_at_a_time().min(rows);
        // Not zeros: what is read has been packed before.
        let mut strips = Box::<[F32x4]>::new_uninit_slice(right.weights.room_for(at_once));
        let sizes = self.batch.iter().map(|[.., axis]| shape[*axis]);
        for matrix in 0..sizes.clone().product() {
            let mut rest = matrix;
            let mut at = [0; 3];
            for (axes, size) in self.batch.iter().zip(sizes.clone()) {
                let index = rest % size;
                rest /= size;
                for ((at, strides), axis) in at.iter_mut().zip([&of_left, &right.strides, &of_result]).zip(axes) {
                    *at += index * strides[*axis];
                }
            }
            right.pack(at[1]);
            let (from, from_stride) = (left[at[0]..].as_ptr(), of_left[self.rows[0]]);
            let stride = of_result[self.rows[1]];
            for first in (0..rows).step_by(at_once) {
                let count = at_once.min(rows - first);
                // SAFETY: the axes of both are as large, and lie, as their shapes say.
                unsafe {
                    let target = Target { to: to.add(at[2] + first * stride), stride };
                    multiply(&right.weights, &mut strips, count, from.add(first * from_stride), from_stride, target);
                }
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for BatchProduct {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.shape(&inputs[0].shape.to_tvec(), &inputs[1].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let products: TDim = self.shape(&inputs[0].shape.to_tvec(), &inputs[1].shape.to_tvec()).iter().product();
        Ok(tvec!((Cost::FMA(f32::datum_type()), products * &inputs[0].shape[self.depth[0]])))
    }

    as_op!();
}
