//! Convolutions of rows with fewer multiplications.

use std::sync::Arc;

use samara_kernels::F32x4;
use samara_kernels::rows::{Bounds, STRIP, Target, Weights, pack};
use samara_kernels::winograd::{Filtering, RESULTS, weighted_sum};
use tract_core::internal::*;

use crate::fused::{Bound, Fused};
use crate::geometry::Geometry;

/// Bytes of products that are kept at a time.
const PRODUCTS_BYTES: usize = 1 << 20;

/// The least channels of the image and of the result for which it pays.
const LEAST: usize = 64;

/// Weights, evaluated at the points.
pub struct Points {
    filtering: Filtering,
    /// For each point.
    weights: Vec<Weights>,
    bias: Vec<f32>,
}

/// A convolution whose windows go one place at a time along a row.
#[derive(Clone)]
pub struct Winograd {
    /// Where what is.
    pub geometry: Geometry,
    /// The weights.
    pub points: Arc<Points>,
    /// The least and the largest result.
    pub bounds: Bounds,
    /// What is done then.
    pub fused: Option<Fused>,
}

impl Points {
    /// Evaluates the weights of a convolution, of which `weight` tells each by its step, a row, a column and a channel of the
    /// window, and by its column, a channel of the result. None where it would not pay for a result of the shape `result`.
    pub fn of(
        geometry: &Geometry,
        result: &[TDim],
        depth: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Option<Points> {
        let [rows, length] = geometry.kernel;
        let columns = geometry.channels;
        let channels = depth / (rows * length);
        let pays = channels >= LEAST && columns >= LEAST && length >= 3;
        if !pays || geometry.stride[1] != 1 || geometry.dilation[1] != 1 {
            return None;
        }
        let filtering = Filtering::of(length)?;
        // What cannot be known is taken to be large.
        let mut sizes = result.iter().map(|size| size.to_usize().unwrap_or(1 << 16));
        let [items, height, width] =
            std::array::from_fn(|axis| if geometry.output[axis] { sizes.next().unwrap_or(1) } else { 1 });
        let (in_rows, tiles) = (items * height * width, items * height * width.div_ceil(RESULTS));
        // The evaluation at the points takes a fifth of the time that the products take.
        let products = tiles.div_ceil(STRIP) * filtering.products() * 6 / 5;
        if products >= in_rows.div_ceil(STRIP) * length {
            return None;
        }
        let weights = (0..filtering.products()).map(|point| {
            let factors = &filtering.of_filter[point];
            let at_point = |step: usize, column: usize| {
                let (row, channel) = (step / channels, step % channels);
                let sum: f64 = factors
                    .iter()
                    .enumerate()
                    .map(|(at, factor)| factor * f64::from(weight((row * length + at) * channels + channel, column)))
                    .sum();
                sum as f32
            };
            Weights::pack(rows * channels, columns, at_point, |_| 0.0)
        });
        Some(Points { weights: weights.collect(), filtering, bias: (0..columns).map(bias).collect() })
    }
}

impl std::fmt::Debug for Winograd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Winograd {:?}", self.geometry)
    }
}

impl PartialEq for Winograd {
    fn eq(&self, other: &Winograd) -> bool {
        Arc::ptr_eq(&self.points, &other.points)
            && (&self.geometry, self.bounds, &self.fused) == (&other.geometry, other.bounds, &other.fused)
    }
}

impl Eq for Winograd {}

impl Op for Winograd {
    fn name(&self) -> StaticName {
        "Winograd".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{:?}", self.geometry)])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for Winograd {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (items, channels, window) = self.geometry.window(inputs[0].shape());
        let Points { filtering, weights, bias } = &*self.points;
        let (depth, columns) = (weights[0].depth(), weights[0].columns());
        let [height, width] = window.output;
        ensure!(window.kernel[0] * channels == depth, "{channels} channels where there are weights for others");
        let rows = items * height * width;
        let numbers = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let bound = Bound::of(self.fused.as_ref(), &inputs[1..], rows, columns)?;
        // SAFETY: each row is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.geometry.shape(inputs[0].shape()))? };
        let mut plain = output.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        ensure!(
            to.len() == rows * columns,
            "{} channels where there are weights for {columns}",
            self.geometry.channels
        );
        if rows == 0 {
            return Ok(tvec!(output.into_tvalue()));
        }
        let zeros = vec![0.0; channels];
        // Where a place of the image is, outside of which there are zeros.
        let image = |item: usize, y: usize, x: usize| {
            if y < window.input[0] && x < window.input[1] {
                numbers[((item * window.input[0] + y) * window.input[1] + x) * channels..].as_ptr()
            } else {
                zeros.as_ptr()
            }
        };
        let in_row = width.div_ceil(RESULTS);
        let tiles_at_once = (PRODUCTS_BYTES / (weights.len() * columns * 4)).max(STRIP);
        let rows_at_once = (tiles_at_once / in_row).clamp(1, items * height);
        let room = rows_at_once * in_row;
        let mut strips = vec![F32x4::ZERO; weights[0].room_for(room)];
        let mut four = vec![0.0; STRIP * depth];
        let mut products = vec![0.0_f32; weights.len() * room * columns];
        for first in (0..items * height).step_by(rows_at_once) {
            let last = (first + rows_at_once).min(items * height);
            let tiles = (last - first) * in_row;
            for ((weights, factors), products) in
                weights.iter().zip(&filtering.of_image).zip(products.chunks_exact_mut(room * columns))
            {
                for strip in (0..tiles).step_by(STRIP) {
                    for (tile, four) in (strip..tiles).zip(four.chunks_exact_mut(depth)) {
                        let (row, x) = (first + tile / in_row, tile % in_row * RESULTS);
                        let (item, y) = (row / height, row % height * window.stride[0]);
                        for (row, four) in four.chunks_exact_mut(channels).enumerate() {
                            let y = (y + row * window.dilation[0]).wrapping_sub(window.before[0]);
                            let x = x.wrapping_sub(window.before[1]);
                            let terms = factors.iter().enumerate().filter(|(_, factor)| **factor != 0.0);
                            let terms: TVec<_> =
                                terms.map(|(at, factor)| (*factor, image(item, y, x.wrapping_add(at)))).collect();
                            // SAFETY: a place of the image has as many channels.
                            unsafe { weighted_sum(&terms, channels, Bounds::NONE, four.as_mut_ptr()) };
                        }
                    }
                    let rows = std::array::from_fn(|row| four[row * depth..].as_ptr());
                    // SAFETY: there are as many numbers in each row, and room for all four.
                    unsafe { pack(rows, depth, strips[strip / STRIP * depth..][..depth].as_mut_ptr().cast()) };
                }
                let target = Target { to: products.as_mut_ptr(), stride: columns };
                // SAFETY: there are as many strips, and as much room.
                unsafe { weights.multiply(tiles, &strips, target, Bounds::NONE) };
            }
            let part = &mut to[first * width * columns..last * width * columns];
            for (place, to) in part.chunks_exact_mut(columns).enumerate() {
                let (row, x) = (place / width, place % width);
                let tile = row * in_row + x / RESULTS;
                let at = |point: usize| products[(point * room + tile) * columns..].as_ptr();
                let factors = filtering.of_products[x % RESULTS].iter().enumerate();
                let terms = factors.filter(|(_, factor)| **factor != 0.0).map(|(point, factor)| (*factor, at(point)));
                let terms: TVec<_> = std::iter::once((1.0, bias.as_ptr())).chain(terms).collect();
                // SAFETY: each product has as many columns.
                unsafe { weighted_sum(&terms, columns, self.bounds, to.as_mut_ptr()) };
            }
            bound.run(first * width, part);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Winograd {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&*self.geometry.shape(&inputs[0].shape.to_tvec()))))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let results: TDim = self.geometry.shape(&inputs[0].shape.to_tvec()).iter().product();
        let Points { filtering, weights, .. } = &*self.points;
        Ok(tvec!((Cost::FMA(f32::datum_type()), results * (weights[0].depth() * filtering.products()) / RESULTS)))
    }

    as_op!();
}
