//! Operators on images one after the other, a band of rows at a time.
//!
//! A network for small machines widens an image by a product with weights at each place, takes a depthwise convolution of that, and
//! narrows it again by another product. The wide images are larger than caches are. But a row of the depthwise convolution
//! needs only some rows of its image, and the product that follows only that row: so what comes between is kept for a
//! band of rows, in the second cache, and no wide image is ever whole. The idea is that of fused-layer accelerators
//! (Alwani et al., 2016, <https://doi.org/10.1109/MICRO.2016.7783725>).

use samara_kernels::places::Window;
use tract_core::internal::*;

use crate::depthwise::Depthwise;
use crate::fused::{Bound, Fused};
use crate::image::Kept;
use crate::product::{Matrix, Product};
use crate::strips::multiply;

/// Bytes of what comes between that are kept at a time: half of the second cache of most processors, as weights are there too.
pub const ROOM: usize = 512 << 10;

/// A depthwise convolution of what a product makes, if there is one before, and the product of that, if there is one after.
///
/// The inputs are the first operator's, then the further ones of those that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What makes the image.
    pub before: Option<Product>,
    /// What takes it.
    pub depthwise: Depthwise,
    /// What takes that.
    pub after: Option<Product>,
    /// Bytes of what comes between that are kept at a time, where a row of the result does not need more.
    pub room: usize,
}

/// The arithmetic of a product, if it is there.
fn fused(product: &Option<Product>) -> Option<&Fused> {
    product.as_ref()?.fused.as_ref()
}

/// How many inputs arithmetic has of its own.
fn reads(fused: Option<&Fused>) -> usize {
    fused.map_or(0, |fused| fused.spreads.len())
}

impl Chain {
    fn image_shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        self.before.as_ref().map_or_else(|| input.into(), |before| before.shape(input))
    }

    fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        let shape = self.depthwise.geometry.shape(&self.image_shape(input));
        self.after.as_ref().map_or(shape.clone(), |after| after.shape(&shape))
    }

    /// How many rows of the depthwise convolution's result are made at a time, where rows of the image, and of the result,
    /// have so many numbers; none for what is not kept.
    fn band(&self, window: &Window, of_image: usize, of_result: usize) -> usize {
        let each = (window.stride[0] * of_image + of_result) * size_of::<f32>();
        let reach = (window.kernel[0] - 1) * window.dilation[0] + 1;
        let more = reach.saturating_sub(window.stride[0]) * of_image * size_of::<f32>();
        (self.room.saturating_sub(more) / each.max(1)).clamp(1, window.output[0].max(1))
    }
}

impl Op for Chain {
    fn name(&self) -> StaticName {
        "Chain".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let product = |product: &Option<Product>| product.iter().map(|product| format!("{product:?}")).collect();
        let parts: [Vec<String>; 3] =
            [product(&self.before), vec![format!("{:?}", self.depthwise)], product(&self.after)];
        Ok(parts.concat())
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Chain {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Chain { before, depthwise, after, .. } = self;
        let shape = self.image_shape(inputs[0].shape());
        let (items, channels, window) = depthwise.geometry.window(&shape);
        ensure!(channels == depthwise.weights.channels(), "{channels} channels where there are weights for others");
        let [input, output] = [window.input, window.output];
        let from = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let depth = before.as_ref().map_or(channels, |before| before.weights.depth());
        let places = items * input[0] * input[1];
        ensure!(from.len() == places * depth, "{} numbers are not {places} places of {depth}", from.len());

        let further = &inputs[1..];
        let (further, of_after) = further.split_at(further.len() - reads(fused(after)).min(further.len()));
        let (of_before, of_depthwise) = further.split_at(reads(fused(before)).min(further.len()));
        let columns = after.as_ref().map_or(channels, |after| after.weights.columns());
        let results = items * output[0] * output[1];
        let bound_before = Bound::of(fused(before), of_before, places, channels)?;
        let bound = Bound::of(depthwise.fused.as_ref(), of_depthwise, results, channels)?;
        let bound_after = Bound::of(fused(after), of_after, results, columns)?;

        // SAFETY: each row is written to below.
        let mut result = unsafe { Tensor::uninitialized::<f32>(&self.shape(inputs[0].shape()))? };
        let mut plain = result.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        ensure!(to.len() == results * columns, "{} numbers where there are {results} places of {columns}", to.len());

        let of_image = if before.is_some() { input[1] * channels } else { 0 };
        let of_result = if after.is_some() { output[1] * channels } else { 0 };
        let band = self.band(&window, of_image, of_result);
        let reach = ((band - 1) * window.stride[0] + (window.kernel[0] - 1) * window.dilation[0] + 1).min(input[0]);
        // SAFETY: what is read is written to before.
        let mut room = unsafe { Tensor::uninitialized::<f32>(&[reach * of_image + band * of_result])? };
        let mut room = room.try_as_plain_ram_mut()?;
        let (image, between) = room.as_slice_mut::<f32>()?.split_at_mut(reach * of_image);
        let mut image = Kept::new(image, of_image);
        for item in 0..items {
            image.clear();
            for first in (0..output[0]).step_by(band) {
                let rows = first..(first + band).min(output[0]);
                let at = match before {
                    Some(before) => {
                        let needed = window.needed(0, &rows);
                        image.keep(needed, |row, part| {
                            let first = (item * input[0] + row) * input[1];
                            let rows = part.len() / channels;
                            let numbers = &from[first * depth..][..rows * depth];
                            let matrix = Matrix { numbers, depth };
                            multiply(&matrix, &before.weights, before.activation, &bound_before, first, part);
                        });
                        image.image()
                    }
                    None => from[item * input[0] * input[1] * channels..].as_ptr(),
                };
                let first = (item * output[0] + rows.start) * output[1];
                let all = rows.len() * output[1];
                let part = &mut to[first * columns..][..all * columns];
                let made = if after.is_some() { &mut between[..all * channels] } else { &mut *part };
                let length = output[1] * channels;
                for (row, made) in rows.clone().zip(made.chunks_exact_mut(length.max(1))) {
                    // SAFETY: what the window needs of the image is there, and the row is as long as one of the result.
                    unsafe { depthwise.weights.row(&window, row, at, made.as_mut_ptr(), depthwise.activation) };
                    bound.run((item * output[0] + row) * output[1], made);
                }
                if let Some(after) = after {
                    let matrix = Matrix { numbers: &between[..all * channels], depth: channels };
                    multiply(&matrix, &after.weights, after.activation, &bound_after, first, part);
                }
            }
        }
        Ok(tvec!(result.into_tvalue()))
    }
}

impl TypedOp for Chain {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.shape(&inputs[0].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let input = inputs[0].shape.to_tvec();
        let image = f32::fact(&*self.image_shape(&input));
        let result = f32::fact(&*self.depthwise.geometry.shape(&image.shape.to_tvec()));
        let mut costs = self.depthwise.cost(&[&image])?;
        for (product, input) in [(&self.before, inputs[0]), (&self.after, &result)] {
            let Some(product) = product else { continue };
            for (sum, (_, more)) in costs.iter_mut().zip(product.cost(&[input])?) {
                sum.1 += more;
            }
        }
        Ok(costs)
    }

    as_op!();
}

#[cfg(test)]
mod tests;
