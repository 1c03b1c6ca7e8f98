//! Convolutions in which each channel of the result is made of the same channel of the image.

use std::sync::Arc;

use samara_kernels::activation::Activation;
use samara_kernels::places::Depthwise as Weights;
use samara_kernels::quantized::Quantization;
use tract_core::internal::*;

use crate::fused::{Bound, Fused};
use crate::geometry::Geometry;
use crate::image::Images;
use crate::quantized::{by_rows, datum_type};

/// A depthwise convolution with weights, a bias, an activation, and arithmetic.
#[derive(Clone)]
pub struct Depthwise {
    /// Where what is.
    pub geometry: Geometry,
    /// What the bytes that it takes stand for, where it takes any.
    pub bytes: Option<Quantization>,
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
            && (self.bytes, self.quantization) == (other.bytes, other.quantization)
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
        let rows = items * height * width;
        let bound = Bound::of(self.fused.as_ref(), &inputs[1..], rows, channels)?;
        let mut room = Images::room(self.bytes.is_some(), &window, channels)?;
        let mut room = room.try_as_plain_ram_mut()?;
        let size = [items, window.input[0], window.input[1] * channels];
        let mut images = Images::of(&inputs[0], self.bytes, size, room.as_slice_mut()?)?;
        let mut write = |row: usize, part: &mut [f32]| {
            let (item, row_of_item) = (row / height, row % height);
            let image = images.rows(item, window.needed(0, &(row_of_item..row_of_item + 1)));
            // SAFETY: what the window needs of the image is there, and the row is as long as one of the result.
            unsafe { self.weights.row(&window, row_of_item, image, part.as_mut_ptr(), self.activation) };
            bound.run(row * width, part);
        };
        let shape = self.geometry.shape_over(items, &window);
        ensure!(shape.iter().product::<usize>() == rows * channels, "as many channels as the image has");
        let output = by_rows(self.quantization, &shape, width * channels, &mut write)?;
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
