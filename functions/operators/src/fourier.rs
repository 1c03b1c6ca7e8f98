//! Short-time Fourier transforms.

use std::sync::Arc;

use samara_kernels::F32x4;
use samara_kernels::fourier::Transform;
use samara_kernels::rows::{PART, pack};
use tract_core::internal::*;

use crate::geometry::Geometry;

/// The spectra of the windows over one row of numbers, of which none reaches beyond its ends: their real parts, and their
/// imaginary parts or the opposite.
#[derive(Clone)]
pub struct Fourier {
    /// How windows go over the row. Its channels are the numbers of a spectrum.
    geometry: Geometry,
    /// What is done to each.
    transform: Arc<Transform>,
    /// Whether imaginary parts are to be the opposite of what a transform with a negative exponent gives.
    is_opposite: bool,
}

impl std::fmt::Debug for Fourier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Fourier {:?}", self.geometry)
    }
}

impl PartialEq for Fourier {
    fn eq(&self, other: &Fourier) -> bool {
        Arc::ptr_eq(&self.transform, &other.transform)
            && (&self.geometry, self.is_opposite) == (&other.geometry, other.is_opposite)
    }
}

impl Eq for Fourier {}

impl Fourier {
    /// The spectra of such windows.
    pub fn new(geometry: Geometry, transform: Transform, is_opposite: bool) -> Fourier {
        let geometry = Geometry { channels: transform.bins(), ..geometry };
        Fourier { geometry, transform: Arc::new(transform), is_opposite }
    }
}

impl Op for Fourier {
    fn name(&self) -> StaticName {
        "Fourier".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.geometry)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Fourier {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (items, _, window) = self.geometry.window(inputs[0].shape());
        let (steps, stride, length) = (window.kernel[1], window.stride[1], window.input[1]);
        let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        ensure!(from.len() == items * length, "{} numbers are not {items} rows of {length}", from.len());
        ensure!(steps == self.transform.length(), "windows of {steps} numbers");
        let shape = self.geometry.shape_over(items, &window);
        // SAFETY: each spectrum is written to below.
        let mut outputs = unsafe { [Tensor::uninitialized::<f32>(&shape)?, Tensor::uninitialized::<f32>(&shape)?] };
        let (bins, places) = (self.transform.bins(), window.output[1]);
        let count = items * places;
        let mut to = [std::ptr::null_mut(); 2];
        for (to, output) in to.iter_mut().zip(&mut outputs) {
            let mut plain = output.try_as_plain_ram_mut()?;
            let numbers = plain.as_slice_mut::<f32>()?;
            ensure!(numbers.len() == count * bins, "{} numbers for {count} spectra", numbers.len());
            *to = numbers.as_mut_ptr();
        }
        let sign = F32x4::splat(if self.is_opposite { -1.0 } else { 1.0 });
        let mut strip = Box::<[F32x4]>::new_uninit_slice(steps);
        let mut room = Box::new_uninit_slice(steps);
        for first in (0..count).step_by(PART) {
            let rows = std::array::from_fn(|index| {
                let place = (first + index).min(count - 1);
                from[place / places * length + place % places * stride..][..steps].as_ptr()
            });
            // SAFETY: each row has as many numbers, and there is room for four of them: all of it is packed.
            let strip = unsafe {
                let at: *mut F32x4 = strip.as_mut_ptr().cast();
                pack(rows, steps, at.cast());
                std::slice::from_raw_parts_mut(at, steps)
            };
            let some = PART.min(count - first);
            // Four numbers of a spectrum, until they are written together.
            let mut parts = [[F32x4::ZERO; PART]; 2];
            self.transform.run(strip, &mut room, |bin, x, y| {
                let within = bin % PART;
                (parts[0][within], parts[1][within]) = (x, y * sign);
                if within + 1 < PART && bin + 1 < bins {
                    return;
                }
                for (part, to) in parts.iter().zip(to) {
                    for (row, numbers) in F32x4::transpose(*part).into_iter().enumerate().take(some) {
                        // SAFETY: a spectrum has as many numbers, and each row one of its own.
                        unsafe { numbers.store_some(to.add((first + row) * bins + bin - within), within + 1) };
                    }
                }
            });
        }
        Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for Fourier {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let fact = f32::fact(&*self.geometry.shape(&inputs[0].shape.to_tvec()));
        Ok(tvec!(fact.clone(), fact))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let shape = self.geometry.shape(&inputs[0].shape.to_tvec());
        let windows: TDim = shape.iter().take(shape.len().saturating_sub(1)).product();
        // 5 / 2 N log N operations, as is usual for real numbers.
        let length = self.transform.length();
        Ok(tvec!((Cost::FMA(f32::datum_type()), windows * (5 * length * length.ilog2() as usize / 4))))
    }

    as_op!();
}
