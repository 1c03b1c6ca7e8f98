//! Convolutions in which each channel of the result is made of the same channel of the image.

use std::sync::Arc;

use samara_kernels::activation::Activation;
use samara_kernels::places::Depthwise as Weights;
use samara_kernels::quantized::{Quantization, quantize};
use tract_core::internal::*;

use crate::fused::{Bound, Fused};
use crate::geometry::Geometry;
use crate::quantized::{datum_type, room};

/// A depthwise convolution with weights, a bias, an activation, and arithmetic.
#[derive(Clone)]
pub struct Depthwise {
    /// Where what is.
    pub geometry: Geometry,
    /// The weights.
    pub weights: Arc<Weights>,
    /// What becomes of a result.
    pub activation: Activation,
    /// What is done then.
    pub fused: Option<Fused>,
    /// What bytes are made, if any are.
    pub quantization: Option<Quantization>,
}

impl std::fmt::Debug for Depthwise {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Depthwise {:?}", self.geometry)
    }
}

impl PartialEq for Depthwise {
    fn eq(&self, other: &Depthwise) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
            && (&self.geometry, self.activation, &self.fused) == (&other.geometry, other.activation, &other.fused)
            && self.quantization == other.quantization
    }
}

impl Eq for Depthwise {}

impl Op for Depthwise {
    fn name(&self) -> StaticName {
        "Depthwise".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.geometry)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Depthwise {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (items, channels, window) = self.geometry.window(inputs[0].shape());
        ensure!(channels == self.weights.channels(), "{channels} channels where there are weights for others");
        let [height, width] = window.output;
        let numbers = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let rows = items * height * width;
        let bound = Bound::of(self.fused.as_ref(), &inputs[1..], rows, channels)?;
        let image_size = window.input[0] * window.input[1] * channels;
        let length = width * channels;
        let write = |row: usize, part: &mut [f32]| {
            let image = &numbers[row / height * image_size..][..image_size];
            // SAFETY: the image is as large as the window says, and so is the row.
            unsafe { self.weights.row(&window, row % height, image.as_ptr(), part.as_mut_ptr(), self.activation) };
            bound.run(row * width, part);
        };
        let shape = self.geometry.shape(inputs[0].shape());
        ensure!(shape.iter().product::<usize>() == rows * channels, "as many channels as the image has");
        let output = if let Some(quantization) = self.quantization {
            let mut output = room(quantization.kind, &shape)?;
            let mut plain = output.try_as_plain_ram_mut()?;
            let mut floats = vec![0.0; length];
            for (row, bytes) in plain.as_bytes_mut().chunks_exact_mut(length.max(1)).enumerate() {
                write(row, &mut floats);
                quantize(quantization, &floats, bytes);
            }
            output
        } else {
            // SAFETY: each row is written to below.
            let mut output = unsafe { Tensor::uninitialized::<f32>(&shape)? };
            let mut plain = output.try_as_plain_ram_mut()?;
            for (row, part) in plain.as_slice_mut::<f32>()?.chunks_exact_mut(length.max(1)).enumerate() {
                write(row, part);
            }
            output
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Depthwise {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let made = self.quantization.map_or(f32::datum_type(), |quantization| datum_type(quantization.kind));
        Ok(tvec!(made.fact(&*self.geometry.shape(&inputs[0].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let results: TDim = self.geometry.shape(&inputs[0].shape.to_tvec()).iter().product();
        let steps = results * self.geometry.kernel[0] * self.geometry.kernel[1];
        let packed = self.weights.volume().into();
        Ok(tvec!((Cost::FMA(f32::datum_type()), steps), (Cost::Params(f32::datum_type()), packed)))
    }

    as_op!();
}
