//! How a tensor lies in memory: which axes, in which order.

use samara_kernels::{lines, quantized};
use tract_core::internal::*;

/// The axes of a tensor in the order in which its numbers lie, the last beside each other. Axes of size 1 are left out.
pub type Order = TVec<usize>;

/// The axes of a shape that count: all but those of size 1.
pub fn axes(shape: &[TDim]) -> Order {
    shape.iter().enumerate().filter(|(_, size)| !size.is_one()).map(|(axis, _)| axis).collect()
}

/// Gives a tensor another layout: takes some of its axes, of which the others have size 1, puts them into another order, and
/// that into a shape which has size 1 elsewhere.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Relayout {
    /// The axes that are taken, in their new order.
    pub take: TVec<usize>,
    /// Axes of the result.
    pub rank: usize,
    /// Which axis of the result each axis that is taken becomes, in increasing order.
    pub put: TVec<usize>,
}

impl Relayout {
    fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = std::iter::repeat_n(D::one(), self.rank).collect();
        for (&axis, &place) in self.take.iter().zip(&self.put) {
            shape[place] = input[axis].clone();
        }
        shape
    }

    /// Whether the numbers stay where they are.
    fn stays(&self) -> bool {
        self.take.windows(2).all(|pair| pair[0] < pair[1])
    }
}

impl Op for Relayout {
    fn name(&self) -> StaticName {
        "Relayout".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("axes {:?} as {:?} of {}", self.take, self.put, self.rank)])
    }

    op_as_typed_op!();
}

impl EvalOp for Relayout {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let shape = self.shape(input.shape());
        if self.stays() {
            return Ok(tvec!(input.into_tensor().into_shape(&shape)?.into_tvalue()));
        }
        // SAFETY: all of it is written to below.
        let mut output = unsafe { Tensor::uninitialized_dt(input.datum_type(), &shape)? };
        let strides = strides(input.shape());
        // Axes that stay beside each other are one.
        let mut merged: TVec<(usize, usize)> = tvec!();
        for &axis in &self.take {
            let (size, stride) = (input.shape()[axis], strides[axis]);
            match merged.last_mut() {
                Some((last_size, last_stride)) if *last_stride == size * stride => {
                    (*last_size, *last_stride) = (*last_size * size, stride);
                }
                _ => merged.push((size, stride)),
            }
        }
        if input.len() == 0 {
            return Ok(tvec!(output.into_tvalue()));
        }
        let mut plain = output.try_as_plain_ram_mut()?;
        match input.datum_type() {
            DatumType::F32 => {
                let from = input.try_as_plain_ram()?.as_slice::<f32>()?;
                let to = plain.as_slice_mut::<f32>()?;
                // SAFETY: sizes and strides are those of the input, and the output is as large.
                unsafe { copy(&merged, from.as_ptr(), to.as_mut_ptr(), transpose) };
            }
            DatumType::U8 | DatumType::I8 => {
                let from = input.try_as_plain_ram()?.as_bytes();
                // SAFETY: as above.
                unsafe { copy(&merged, from.as_ptr(), plain.as_bytes_mut().as_mut_ptr(), quantized::transpose) };
            }
            other => bail!("a layout of {other:?}"),
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Relayout {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(&*self.shape(&inputs[0].shape.to_tvec()))))
    }

    as_op!();
}

/// From one index of each axis to the next, in numbers.
pub fn strides(shape: &[usize]) -> TVec<usize> {
    let mut stride = 1;
    let mut strides: TVec<usize> = shape
        .iter()
        .rev()
        .map(|size| {
            let this = stride;
            stride *= size;
            this
        })
        .collect();
    strides.reverse();
    strides
}

/// Writes numbers one after the other that lie as the sizes and strides of the axes say. `transpose` does so for two axes, of so
/// many rows and columns, whose rows lie so far apart.
///
/// # Safety
///
/// There are such numbers at `from`, and there is room for them at `to`.
unsafe fn copy<T: Copy>(
    axes: &[(usize, usize)],
    from: *const T,
    to: *mut T,
    transpose: unsafe fn(usize, usize, *const T, usize, *mut T),
) {
    // SAFETY: as the caller says.
    unsafe {
        match *axes {
            [] => *to = *from,
            [(size, 1)] => to.copy_from_nonoverlapping(from, size),
            [(size, stride)] => {
                for index in 0..size {
                    *to.add(index) = *from.add(index * stride);
                }
            }
            [(columns, 1), (rows, stride)] => transpose(rows, columns, from, stride, to),
            [(size, stride), ref rest @ ..] => {
                let length: usize = rest.iter().map(|(size, _)| size).product();
                for index in 0..size {
                    copy(rest, from.add(index * stride), to.add(index * length), transpose);
                }
            }
        }
    }
}

/// Columns of floats for rows, side by side.
unsafe fn transpose(rows: usize, columns: usize, from: *const f32, stride: usize, to: *mut f32) {
    // SAFETY: as the caller says.
    unsafe { lines::transpose(rows, columns, from, stride, to, rows) }
}
