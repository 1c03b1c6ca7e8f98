//! Products of matrices that both come with the request, several of them: attention.

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
    fn shape<D: DimLike>(&self, left: &[D], right: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = std::iter::repeat_n(D::one(), self.batch.len() + 2).collect();
        for [left_axis, _, axis] in &self.batch {
            shape[*axis] = left[*left_axis].clone();
        }
        shape[self.rows[1]] = left[self.rows[0]].clone();
        shape[self.columns[1]] = right[self.columns[0]].clone();
        shape
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
        let shape = self.shape(left.shape(), right.shape());
        let [rows, depth] = [self.rows[0], self.depth[0]].map(|axis| left.shape()[axis]);
        let columns = right.shape()[self.columns[0]];
        let fits = self.batch.iter().all(|[one, other, _]| left.shape()[*one] == right.shape()[*other]);
        ensure!(fits && right.shape()[self.depth[1]] == depth, "{:?} by {:?}", left.shape(), right.shape());
        if depth == 0 || shape.iter().product::<usize>() == 0 {
            return Ok(tvec!(Tensor::zero::<f32>(&shape)?.into_tvalue()));
        }
        // SAFETY: each row of each product is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
        let strides = [strides(left.shape()), strides(right.shape()), strides(&shape)];
        ensure!(strides[0][self.depth[0]] == 1 && strides[2][self.columns[1]] == 1, "steps and columns are last");
        let [step, column] = [self.depth[1], self.columns[0]].map(|axis| strides[1][axis]);
        let (left, right) = (left.try_as_plain_ram()?.as_slice::<f32>()?, right.try_as_plain_ram()?.as_slice::<f32>()?);
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?.as_mut_ptr();
        let mut weights = Weights::empty(depth, columns);
        let at_once = weights.rows_at_a_time().min(rows);
        // Not zeros: what is read has been packed before.
        let mut strips = Box::<[F32x4]>::new_uninit_slice(weights.room_for(at_once));
        let sizes = self.batch.iter().map(|[.., axis]| shape[*axis]);
        for matrix in 0..sizes.clone().product() {
            let mut rest = matrix;
            let mut at = [0; 3];
            for (axes, size) in self.batch.iter().zip(sizes.clone()) {
                let index = rest % size;
                rest /= size;
                for ((at, strides), axis) in at.iter_mut().zip(&strides).zip(axes) {
                    *at += index * strides[*axis];
                }
            }
            let from = left[at[0]..].as_ptr();
            let stride = strides[0][self.rows[0]];
            // SAFETY: the axes of all three are as large, and lie, as their shapes say.
            unsafe {
                weights.fill(right[at[1]..].as_ptr(), step, column);
                for first in (0..rows).step_by(at_once) {
                    let count = at_once.min(rows - first);
                    for part in parts(count, depth, strips.as_mut_ptr().cast()) {
                        let row = |index: usize| from.add((first + (part.first + index).min(part.last)) * stride);
                        part.pack(0, std::array::from_fn(row), depth);
                    }
                    let stride = strides[2][self.rows[1]];
                    let target = Target { to: to.add(at[2] + first * stride), stride };
                    let strips = std::slice::from_raw_parts(strips.as_ptr().cast(), weights.vectors(count));
                    weights.multiply(count, strips, target, Activation::NONE);
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
