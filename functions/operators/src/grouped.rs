//! Convolutions in groups: each channel of the result is made of some channels of the image, as many for all.

use samara_kernels::F32x4;
use samara_kernels::activation::Activation;
use samara_kernels::rows::{Target, Weights};
use tract_core::internal::*;

use crate::convolution::Images;
use crate::fused::{Bound, Fused};
use crate::geometry::Geometry;
use crate::strips;

/// A convolution in groups with weights, biases, an activation, and arithmetic.
#[derive(Clone)]
pub struct GroupedConvolution {
    /// Where what is.
    pub geometry: Geometry,
    /// The weights of each group.
    pub weights: Arc<[Weights]>,
    /// What becomes of a result.
    pub activation: Activation,
    /// What is done then.
    pub fused: Option<Fused>,
}

impl std::fmt::Debug for GroupedConvolution {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "GroupedConvolution {:?}", self.geometry)
    }
}

impl PartialEq for GroupedConvolution {
    fn eq(&self, other: &GroupedConvolution) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
            && (&self.geometry, self.activation, &self.fused) == (&other.geometry, other.activation, &other.fused)
    }
}

impl Eq for GroupedConvolution {}

impl GroupedConvolution {
    /// The steps of a group's product, and the channels that it makes.
    fn group(&self) -> TractResult<[usize; 2]> {
        let weights = self.weights.first().context("a convolution has groups")?;
        Ok([weights.depth(), weights.columns()])
    }
}

impl Op for GroupedConvolution {
    fn name(&self) -> StaticName {
        "GroupedConvolution".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} groups, {:?}", self.weights.len(), self.geometry)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for GroupedConvolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (items, pitch, window) = self.geometry.window(inputs[0].shape());
        let groups = self.weights.len();
        let [depth, of_group] = self.group()?;
        let (columns, channels) = (groups * of_group, pitch / groups);
        let steps = window.kernel[0] * window.kernel[1];
        ensure!(
            groups * depth == steps * pitch && self.geometry.channels == columns,
            "{pitch} channels in {groups} groups, where there are weights for {}",
            groups * depth / steps
        );
        let rows = items * window.output[0] * window.output[1];
        let numbers = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let bound = Bound::of(self.fused.as_ref(), &inputs[1..], rows, columns)?;
        // SAFETY: each row is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.geometry.shape_over(items, &window))? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        ensure!(to.len() == rows * columns, "{} numbers are not {rows} places of {columns}", to.len());
        let zeros = vec![0.0; window.kernel[1] * channels];
        // As many rows at once as suits one group: their result stays near while the others follow.
        let at_once = self.weights[0].rows_at_a_time();
        // Not zeros: what is read has been packed before.
        let mut room = Box::<[F32x4]>::new_uninit_slice(self.weights[0].room_for(at_once.min(rows)));
        for (band, to) in to.chunks_mut(at_once * columns).enumerate() {
            let (first, some) = (band * at_once, to.len() / columns);
            for (group, weights) in self.weights.iter().enumerate() {
                let images = Images { window, channels, pitch, numbers: &numbers[group * channels..], zeros: &zeros };
                let target = Target { to: to[group * of_group..].as_mut_ptr(), stride: columns };
                // SAFETY: there are as many places, and there is as much room.
                unsafe {
                    strips::band(&images, [first, some], weights, self.activation, room.as_mut_ptr().cast(), target)
                };
            }
            bound.run(first, to);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for GroupedConvolution {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.geometry.shape(&inputs[0].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let results: TDim = self.geometry.shape(&inputs[0].shape.to_tvec()).iter().product();
        let steps = results * self.group()?[0];
        let packed = self.weights.iter().map(Weights::volume).sum::<usize>().to_dim();
        Ok(tvec!((Cost::FMA(f32::datum_type()), steps), (Cost::Params(f32::datum_type()), packed)))
    }

    as_op!();
}
