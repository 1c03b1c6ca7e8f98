//! Parts of tensors along one axis, and tensors put together along one.

use samara_kernels::strided;
use std::ops::Range;
use tract_core::internal::*;

/// What is in a range of an axis. Where that is one index, the axis is left out.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Part {
    /// The input's axis.
    pub axis: usize,
    /// What of it is taken.
    pub range: Range<usize>,
}

impl Part {
    fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = input.into();
        if self.range.len() == 1 {
            shape.remove(self.axis);
        } else {
            shape[self.axis] = self.range.len().into();
        }
        shape
    }
}

impl Op for Part {
    fn name(&self) -> StaticName {
        "Part".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("axis {}, {:?}", self.axis, self.range)])
    }

    op_as_typed_op!();
}

impl EvalOp for Part {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let shape = inputs[0].shape();
        let size = shape[self.axis];
        ensure!(self.range.start <= self.range.end && self.range.end <= size, "{:?} of {size}", self.range);
        let count: usize = shape[..self.axis].iter().product();
        let each = shape[self.axis + 1..].iter().product::<usize>() * inputs[0].datum_type().size_of();
        let from = inputs[0].try_as_plain_ram()?.as_bytes();
        // SAFETY: all of it is written to below, unless there is nothing.
        let mut output = unsafe { Tensor::uninitialized_dt(inputs[0].datum_type(), &self.shape(shape))? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_bytes_mut();
        let (first, length) = (self.range.start * each, self.range.len() * each);
        if count * length > 0 {
            strided::copy(count, length, (&from[first..], size * each), (to, length));
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Part {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(&*self.shape(&inputs[0].shape.to_tvec()))))
    }

    as_op!();
}

/// One index of an axis in so many, from the first that is taken on.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Downsample {
    /// The axis.
    pub axis: usize,
    /// The first index.
    pub first: usize,
    /// From one to the next.
    pub stride: usize,
}

impl Op for Downsample {
    fn name(&self) -> StaticName {
        "Downsample".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("axis {}, {} and every {} behind", self.axis, self.first, self.stride)])
    }

    op_as_typed_op!();
}

impl EvalOp for Downsample {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let size = shape[self.axis];
        let becomes = size.saturating_sub(self.first).div_ceil(self.stride);
        shape[self.axis] = becomes;
        let length = shape[self.axis + 1..].iter().product::<usize>() * inputs[0].datum_type().size_of();
        let from = inputs[0].try_as_plain_ram()?.as_bytes();
        // SAFETY: all of it is written to below, unless there is nothing.
        let mut output = unsafe { Tensor::uninitialized_dt(inputs[0].datum_type(), &shape)? };
        if output.len() > 0 {
            let mut plain = output.try_as_plain_ram_mut()?;
            let parts = plain.as_bytes_mut().chunks_exact_mut(becomes * length);
            for (to, from) in parts.zip(from.chunks_exact(size * length)) {
                strided::copy(becomes, length, (&from[self.first * length..], self.stride * length), (to, length));
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Downsample {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        shape[self.axis] = (shape[self.axis].clone() - self.first).div_ceil(self.stride as u64);
        Ok(tvec!(inputs[0].datum_type.fact(&*shape)))
    }

    as_op!();
}

/// Tensors along an axis of the result, one after the other.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Join {
    /// The result's axis.
    pub axis: usize,
    /// Of each input, whether it has the axis: else it is one index of it.
    pub has_axis: TVec<bool>,
}

impl Join {
    fn shape<D: DimLike>(&self, inputs: &[&[D]]) -> TVec<D> {
        let sizes = inputs.iter().zip(&self.has_axis);
        let sizes = sizes.map(|(shape, has_axis)| if *has_axis { shape[self.axis].clone() } else { D::one() });
        let mut shape: TVec<D> = inputs[0].into();
        if self.has_axis[0] {
            shape.remove(self.axis);
        }
        shape.insert(self.axis, sizes.sum());
        shape
    }
}

impl Op for Join {
    fn name(&self) -> StaticName {
        "Join".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("axis {}", self.axis)])
    }

    op_as_typed_op!();
}

impl EvalOp for Join {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(inputs.len() == self.has_axis.len(), "{} tensors for {}", inputs.len(), self.has_axis.len());
        let shapes: TVec<&[usize]> = inputs.iter().map(|input| input.shape()).collect();
        let shape = self.shape(&shapes);
        let datum_type = inputs[0].datum_type();
        let count: usize = shape[..self.axis].iter().product();
        let each: usize = shape[self.axis + 1..].iter().product();
        let length = shape[self.axis] * each * datum_type.size_of();
        // SAFETY: all of it is written to below, unless there is nothing.
        let mut output = unsafe { Tensor::uninitialized_dt(datum_type, &shape)? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_bytes_mut();
        let mut first = 0;
        for (input, has_axis) in inputs.iter().zip(&self.has_axis) {
            let size = if *has_axis { input.shape()[self.axis] } else { 1 };
            let from = input.try_as_plain_ram()?.as_bytes();
            let part = size * each * datum_type.size_of();
            ensure!(
                input.datum_type() == datum_type && from.len() == count * part,
                "{:?} of {:?} beside {:?} of {datum_type:?}",
                input.shape(),
                input.datum_type(),
                inputs[0].shape()
            );
            if count * part > 0 {
                strided::copy(count, part, (from, part), (&mut to[first..], length));
            }
            first += part;
        }
        ensure!(first == length || count == 0, "{first} bytes of {length}");
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Join {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shapes: TVec<TVec<TDim>> = inputs.iter().map(|input| input.shape.to_tvec()).collect();
        let shapes: TVec<&[TDim]> = shapes.iter().map(|shape| &**shape).collect();
        Ok(tvec!(inputs[0].datum_type.fact(&*self.shape(&shapes))))
    }

    as_op!();
}
