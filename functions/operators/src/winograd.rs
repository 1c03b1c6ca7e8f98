//! Convolutions of rows with fewer multiplications.

use std::sync::Arc;

use samara_kernels::F32x4;
use samara_kernels::activation::Activation;
use samara_kernels::rows::{PART, Target, Weights, parts};
use samara_kernels::winograd::{Filtering, RESULTS};
use tract_core::internal::*;

use crate::fused::{Bound, Fused};
use crate::geometry::Geometry;

/// Bytes of products that are kept at a time.
const PRODUCTS_BYTES: usize = 1 << 20;

/// The least channels of the image and of the result for which it pays.
const LEAST: usize = 16;

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
    /// What becomes of a result.
    pub activation: Activation,
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
        let products = tiles.div_ceil(PART) * filtering.products() * 6 / 5;
        if products >= in_rows.div_ceil(PART) * length {
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
            && (&self.geometry, self.activation, &self.fused) == (&other.geometry, other.activation, &other.fused)
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
        match self.points.filtering.products() {
            6 => self.run::<6>(&inputs),
            7 => self.run::<7>(&inputs),
            8 => self.run::<8>(&inputs),
            products => bail!("a filter of {products} products"),
        }
    }
}

impl Winograd {
    /// Goes over the image, some rows of the result at a time: its rows are evaluated at the points, once for all rows of a
    /// window that they are part of; multiplied there with the weights; and the results are interpolated.
    fn run<const PRODUCTS: usize>(&self, inputs: &[TValue]) -> TractResult<TVec<TValue>> {
        let (items, channels, window) = self.geometry.window(inputs[0].shape());
        let Points { filtering, weights, bias } = &*self.points;
        let (depth, columns) = (weights[0].depth(), weights[0].columns());
        let [height, width] = window.output;
        ensure!(window.kernel[0] * channels == depth, "{channels} channels where there are weights for others");
        let matrices = filtering.matrices::<PRODUCTS>().ok_or_else(|| format_err!("a filter of other products"))?;
        let rows = items * height * width;
        let numbers = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let bound = Bound::of(self.fused.as_ref(), &inputs[1..], rows, columns)?;
        // SAFETY: each row is written to below.
        let mut output = unsafe { Tensor::uninitialized::<f32>(&self.geometry.shape_over(items, &window))? };
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
        let [stride, dilation, before] = [window.stride[0], window.dilation[0], window.before[0]];
        let in_row = width.div_ceil(RESULTS);
        let tiles_at_once = (PRODUCTS_BYTES / (PRODUCTS * columns.max(channels) * 4)).max(PART);
        let rows_at_once = (tiles_at_once / in_row).clamp(1, height);
        let room = rows_at_once * in_row;
        // Rows of the image that so many rows of the result need.
        let needed = |rows: usize| (rows - 1) * stride + (window.kernel[0] - 1) * dilation + 1;
        // Of the same places along a row, all rows lie one behind the other, first those that a window goes over which begins at the
        // first row, and so on: so what a window is multiplied with lies together.
        let in_turn = needed(rows_at_once).div_ceil(dilation);
        let lies = |row: usize, tile: usize| ((tile * dilation + row % dilation) * in_turn + row / dilation) * channels;
        let evaluated_room = lies(0, in_row);
        // For each tile, where its window begins.
        let starts: Vec<usize> = (0..room).map(|tile| lies(tile / in_row * stride, tile % in_row)).collect();
        // SAFETY: what is read of both has been written to before.
        let (mut evaluated, mut products) = unsafe {
            (
                Tensor::uninitialized::<f32>(&[PRODUCTS * evaluated_room])?,
                Tensor::uninitialized::<f32>(&[PRODUCTS * room * columns])?,
            )
        };
        let (mut evaluated, mut products) = (evaluated.try_as_plain_ram_mut()?, products.try_as_plain_ram_mut()?);
        let (evaluated, products) = (evaluated.as_slice_mut::<f32>()?, products.as_slice_mut::<f32>()?);
        // Where windows are multiplied as they lie, only those of a last band are packed that has too few.
        let packed = if weights[0].takes_lying(room) { PART } else { room };
        // Not zeros: what is read has been packed before.
        let mut strips = Box::<[F32x4]>::new_uninit_slice(weights[0].room_for(packed));
        for (item, first) in (0..items).flat_map(|item| (0..height).step_by(rows_at_once).map(move |row| (item, row))) {
            let last = (first + rows_at_once).min(height);
            let tiles = (last - first) * in_row;
            for row in 0..needed(last - first) {
                let y = (first * stride + row).wrapping_sub(before);
                let image = |x: usize| {
                    if x < window.input[1] {
                        numbers[((item * window.input[0] + y) * window.input[1] + x) * channels..].as_ptr()
                    } else {
                        zeros.as_ptr()
                    }
                };
                if y >= window.input[0] {
                    for (point, tile) in (0..PRODUCTS).flat_map(|point| (0..in_row).map(move |tile| (point, tile))) {
                        evaluated[point * evaluated_room + lies(row, tile)..][..channels].fill(0.0);
                    }
                    continue;
                }
                for tile in 0..in_row {
                    let x = (tile * RESULTS).wrapping_sub(window.before[1]);
                    let from: [_; PRODUCTS] = std::array::from_fn(|at| image(x.wrapping_add(at)));
                    let at = lies(row, tile);
                    let to: [_; PRODUCTS] =
                        std::array::from_fn(|point| evaluated[point * evaluated_room + at..].as_mut_ptr());
                    // SAFETY: a place of the image has as many channels, and so has one of what is made of it.
                    unsafe { matrices.evaluate(from, channels, to) };
                }
            }
            for (point, weights) in weights.iter().enumerate() {
                let evaluated = &evaluated[point * evaluated_room..][..evaluated_room];
                let window = |tile: usize| evaluated[starts[tile]..][..depth].as_ptr();
                let target = Target { to: products[point * room * columns..].as_mut_ptr(), stride: columns };
                if weights.takes_lying(tiles) {
                    // SAFETY: a window has as many numbers as there are steps, and there is as much room.
                    unsafe { weights.multiply_lying(tiles, window, target, Activation::NONE) };
                    continue;
                }
                // SAFETY: as above; the strips of so many tiles are packed, and there is room for them.
                unsafe {
                    for part in parts(tiles, depth, strips.as_mut_ptr().cast()) {
                        let windows = std::array::from_fn(|index| window((part.first + index).min(part.last)));
                        part.pack(0, windows, depth);
                    }
                    let strips = std::slice::from_raw_parts(strips.as_ptr().cast(), weights.vectors(tiles));
                    weights.multiply(tiles, strips, target, Activation::NONE);
                }
            }
            let first_row = item * height + first;
            let part = &mut to[first_row * width * columns..][..(last - first) * width * columns];
            let bounds = self.activation.bounds();
            for (row, part) in part.chunks_exact_mut(width * columns).enumerate() {
                for (tile, part) in part.chunks_mut(RESULTS * columns).enumerate() {
                    let at = (row * in_row + tile) * columns;
                    let from: [_; PRODUCTS] =
                        std::array::from_fn(|point| products[point * room * columns + at..].as_ptr());
                    let wanted = part.len() / columns;
                    let to = part.as_mut_ptr();
                    // SAFETY: each product has as many columns, as have the bias and each result that is wanted.
                    unsafe { matrices.interpolate(from, columns, bias.as_ptr(), bounds, to, wanted) };
                }
            }
            self.activation.finish(part);
            bound.run(first_row * width, part);
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
        let steps = results * (weights[0].depth() * filtering.products()) / RESULTS;
        let packed = weights.iter().map(Weights::volume).sum::<usize>().into();
        Ok(tvec!((Cost::FMA(f32::datum_type()), steps), (Cost::Params(f32::datum_type()), packed)))
    }

    as_op!();
}
