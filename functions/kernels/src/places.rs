//! Images whose numbers of one place lie together, a window at a time: depthwise convolutions and pools.

use crate::rows::Bounds;
use crate::vector::F32x4;

/// Places that are computed side by side.
const PLACES: usize = 4;

/// Vectors of channels that are computed one after the other, before the next places are: a line of the cache.
const VECTORS: usize = 4;

/// How a window goes over an image: the first of each pair is vertical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Its size.
    pub kernel: [usize; 2],
    /// From one place of the result to the next.
    pub stride: [usize; 2],
    /// From one number in the window to the next.
    pub dilation: [usize; 2],
    /// How far it begins outside of the image.
    pub before: [usize; 2],
    /// The image.
    pub input: [usize; 2],
    /// The result.
    pub output: [usize; 2],
}

/// What of a window is inside of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The first step of the window that is.
    pub first: usize,
    /// The first after it that is not.
    pub end: usize,
}

impl Window {
    /// What of the window is inside at a place of the result, in one direction.
    pub fn inside(&self, direction: usize, place: usize) -> Inside {
        let (stride, dilation) = (self.stride[direction], self.dilation[direction]);
        let (before, input) = (self.before[direction], self.input[direction]);
        // The window's step `i` is at `begin + i * dilation - before`.
        let begin = place * stride;
        let first = before.saturating_sub(begin).div_ceil(dilation);
        let end = (input + before).saturating_sub(begin).div_ceil(dilation).min(self.kernel[direction]);
        Inside { first: first.min(end), end }
    }

    /// The places of the result at which all of the window is inside, in one direction.
    pub fn interior(&self, direction: usize) -> std::ops::Range<usize> {
        let (stride, before) = (self.stride[direction], self.before[direction]);
        let reach = (self.kernel[direction] - 1) * self.dilation[direction];
        let first = before.div_ceil(stride);
        let end = match (self.input[direction] + before).checked_sub(reach + 1) {
            Some(last) => last / stride + 1,
            None => 0,
        };
        let end = end.min(self.output[direction]);
        first.min(end)..end
    }
}

/// Weights of a depthwise convolution: for each step of the window a number for each channel; and a bias for each.
pub struct Depthwise {
    channels: usize,
    weights: Box<[F32x4]>,
    bias: Box<[F32x4]>,
}

/// Rows of the image that a row of the result is made of.
#[derive(Clone, Copy)]
struct Taps {
    /// The first number, of the first step inside.
    from: *const f32,
    /// From a step to the one below it, in numbers.
    below: usize,
    /// From a step to the one beside it.
    beside: usize,
    weights: *const f32,
    weights_below: usize,
    weights_beside: usize,
    /// Steps inside.
    size: [usize; 2],
    bounds: Bounds,
}

impl Depthwise {
    /// Packs the weights of so many steps, of which `weight` tells each by its step and its channel, and a bias for each channel.
    pub fn pack(
        steps: usize,
        channels: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Depthwise {
        let vectors = |of: &dyn Fn(usize) -> f32| -> Vec<F32x4> {
            let vector = |first: usize| {
                let numbers: [f32; 4] =
                    std::array::from_fn(|lane| if first + lane < channels { of(first + lane) } else { 0.0 });
                // SAFETY: there are four numbers.
                unsafe { F32x4::load(numbers.as_ptr()) }
            };
            (0..channels).step_by(4).map(vector).collect()
        };
        Depthwise {
            channels,
            weights: (0..steps).flat_map(|step| vectors(&|channel| weight(step, channel))).collect(),
            bias: vectors(&bias).into(),
        }
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Writes a row of the result.
    ///
    /// # Safety
    ///
    /// The window's image is at `image`, and has as many channels; there is room for the row at `to`; the weights are of as
    /// many steps as the window has.
    pub unsafe fn row(&self, window: &Window, row: usize, image: *const f32, to: *mut f32, bounds: Bounds) {
        let channels = self.channels;
        let padded = channels.div_ceil(4) * 4;
        let vertical = window.inside(0, row);
        let interior = window.interior(1);
        let width = window.input[1];
        let whole = channels / 4;
        let mut vector = 0;
        while vector < whole || 4 * vector < channels {
            let count = if vector < whole { (whole - vector).min(VECTORS) } else { 0 };
            let taps = |place: usize, horizontal: Inside| {
                let y = row * window.stride[0] + vertical.first * window.dilation[0] - window.before[0];
                let x = place * window.stride[1] + horizontal.first * window.dilation[1] - window.before[1];
                let step = vertical.first * window.kernel[1] + horizontal.first;
                // SAFETY: the step is inside of the image.
                unsafe {
                    Taps {
                        from: image.add((y * width + x) * channels + 4 * vector),
                        below: window.dilation[0] * width * channels,
                        beside: window.dilation[1] * channels,
                        weights: self.weights.as_ptr().cast::<f32>().add(step * padded + 4 * vector),
                        weights_below: window.kernel[1] * padded,
                        weights_beside: padded,
                        size: [vertical.end - vertical.first, horizontal.end - horizontal.first],
                        bounds,
                    }
                }
            };
            // SAFETY: as the caller says; all steps are inside of the image.
            unsafe {
                let bias: *const f32 = self.bias.as_ptr().cast::<f32>().add(4 * vector);
                let place_to = |place: usize| to.add(place * channels + 4 * vector);
                let mut place = 0;
                while place < window.output[1] {
                    let together = interior.contains(&place) && place + PLACES <= interior.end && count > 0;
                    let horizontal = window.inside(1, place);
                    if vertical.first == vertical.end || horizontal.first == horizontal.end {
                        let numbers = if count > 0 { 4 * count } else { channels - 4 * vector };
                        for index in 0..numbers {
                            let x = *bias.add(index);
                            let x = if x < bounds.low { bounds.low } else { x };
                            *place_to(place).add(index) = if bounds.high < x { bounds.high } else { x };
                        }
                        place += 1;
                        continue;
                    }
                    let taps = taps(place, horizontal);
                    match (together, window.kernel[1], window.stride[1], window.dilation[1]) {
                        (true, 3, 1, 1) => side_by_side::<3, 1>(&taps, count, channels, bias, place_to(place)),
                        (true, 3, 2, 1) => side_by_side::<3, 2>(&taps, count, channels, bias, place_to(place)),
                        (true, 5, 1, 1) => side_by_side::<5, 1>(&taps, count, channels, bias, place_to(place)),
                        (true, 5, 2, 1) => side_by_side::<5, 2>(&taps, count, channels, bias, place_to(place)),
                        _ => {
                            match count {
                                4 => one::<4>(&taps, bias, place_to(place)),
                                0 => rest(&taps, channels - 4 * vector, bias, place_to(place)),
                                _ => {
                                    for index in 0..count {
                                        one::<1>(&taps.skip(index), bias.add(4 * index), place_to(place).add(4 * index));
                                    }
                                }
                            }
                            place += 1;
                            continue;
                        }
                    }
                    place += PLACES;
                }
            }
            vector += count.max(1);
        }
    }
}

impl Taps {
    /// The same of later channels.
    #[inline(always)]
    unsafe fn skip(&self, vectors: usize) -> Taps {
        // SAFETY: as the caller says.
        unsafe { Taps { from: self.from.add(4 * vectors), weights: self.weights.add(4 * vectors), ..*self } }
    }
}

#[inline(always)]
unsafe fn side_by_side<const W: usize, const S: usize>(
    taps: &Taps,
    count: usize,
    channels: usize,
    bias: *const f32,
    to: *mut f32,
) {
    for index in 0..count {
        // SAFETY: as the caller says.
        unsafe { four::<W, S>(&taps.skip(index), channels, bias.add(4 * index), to.add(4 * index)) };
    }
}

/// A vector of channels at four places side by side, for a window of `W` columns that goes `S` at a time: what the four
/// have in common is loaded once. How it is written is for Cranelift; see [`crate::tile`].
#[inline(never)]
unsafe fn four<const W: usize, const S: usize>(taps: &Taps, channels: usize, bias: *const f32, to: *mut f32) {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [F32x4::load(bias); PLACES];
        let mut remaining = taps.size[0];
        let (mut from, mut weights) = (taps.from, taps.weights);
        loop {
            let mut at = [F32x4::ZERO; 3 * 2 + 5];
            let mut x = from;
            for at in &mut at[..(PLACES - 1) * S + W] {
                *at = F32x4::load(x);
                x = x.add(channels);
            }
            let mut weight = weights;
            for step in 0..W {
                let factor = F32x4::load(weight);
                weight = weight.add(taps.weights_beside);
                for (place, sum) in sums.iter_mut().enumerate() {
                    *sum = at[place * S + step].mul_add(factor, *sum);
                }
            }
            remaining -= 1;
            if remaining == 0 {
                break;
            }
            from = from.wrapping_add(taps.below);
            weights = weights.wrapping_add(taps.weights_below);
        }
        let (low, high) = (F32x4::splat(taps.bounds.low), F32x4::splat(taps.bounds.high));
        for (place, sum) in sums.into_iter().enumerate() {
            sum.at_least(low).at_most(high).store(to.add(place * channels));
        }
    }
}

/// `V` vectors of channels at one place.
#[inline(never)]
unsafe fn one<const V: usize>(taps: &Taps, bias: *const f32, to: *mut f32) {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums: [F32x4; V] = std::array::from_fn(|index| F32x4::load(bias.add(4 * index)));
        let mut below = taps.size[0];
        let (mut row, mut weights_row) = (taps.from, taps.weights);
        loop {
            let mut beside = taps.size[1];
            let (mut from, mut weights) = (row, weights_row);
            macro_rules! steps {
                ($($step:literal)*) => {$(
                    let _ = $step;
                    for (index, sum) in sums.iter_mut().enumerate() {
                        let x = F32x4::load(from.add(4 * index));
                        *sum = x.mul_add(F32x4::load(weights.add(4 * index)), *sum);
                    }
                    beside -= 1;
                    if beside == 0 {
                        break;
                    }
                    from = from.wrapping_add(taps.beside);
                    weights = weights.wrapping_add(taps.weights_beside);
                )*};
            }
            loop {
                steps!(0 1 2 3 4);
            }
            below -= 1;
            if below == 0 {
                break;
            }
            row = row.wrapping_add(taps.below);
            weights_row = weights_row.wrapping_add(taps.weights_below);
        }
        let (low, high) = (F32x4::splat(taps.bounds.low), F32x4::splat(taps.bounds.high));
        for (index, sum) in sums.into_iter().enumerate() {
            sum.at_least(low).at_most(high).store(to.add(4 * index));
        }
    }
}

/// Fewer than four channels at one place.
unsafe fn rest(taps: &Taps, channels: usize, bias: *const f32, to: *mut f32) {
    for channel in 0..channels {
        // SAFETY: as the caller says.
        unsafe {
            let mut sum = *bias.add(channel);
            for y in 0..taps.size[0] {
                for x in 0..taps.size[1] {
                    let at = *taps.from.add(y * taps.below + x * taps.beside + channel);
                    sum += at * *taps.weights.add(y * taps.weights_below + x * taps.weights_beside + channel);
                }
            }
            let sum = if sum < taps.bounds.low { taps.bounds.low } else { sum };
            *to.add(channel) = if taps.bounds.high < sum { taps.bounds.high } else { sum };
        }
    }
}

/// Writes a row of a pool: for each place and channel, `combine` of all that is inside of the window, from `start` on,
/// times what `factor` gives for the number of steps inside.
///
/// # Safety
///
/// The window's image is at `image`, with `channels` numbers a place; there is room for the row at `to`.
#[inline(always)]
unsafe fn pool(
    window: &Window,
    row: usize,
    channels: usize,
    image: *const f32,
    to: *mut f32,
    start: f32,
    combine: impl Fn(F32x4, F32x4) -> F32x4,
    factor: impl Fn(usize) -> f32,
) {
    let vertical = window.inside(0, row);
    let width = window.input[1];
    for place in 0..window.output[1] {
        let horizontal = window.inside(1, place);
        let inside = (vertical.end - vertical.first) * (horizontal.end - horizontal.first);
        let factor = F32x4::splat(factor(inside));
        // SAFETY: the steps are inside of the image.
        unsafe {
            let to = to.add(place * channels);
            for first in (0..channels).step_by(4) {
                let numbers = (channels - first).min(4);
                let mut result = F32x4::splat(start);
                for y in vertical.first..vertical.end {
                    let y = row * window.stride[0] + y * window.dilation[0] - window.before[0];
                    for x in horizontal.first..horizontal.end {
                        let x = place * window.stride[1] + x * window.dilation[1] - window.before[1];
                        let at = image.add((y * width + x) * channels + first);
                        let x = if numbers == 4 {
                            F32x4::load(at)
                        } else {
                            let mut few = [0.0; 4];
                            few.as_mut_ptr().copy_from_nonoverlapping(at, numbers);
                            F32x4::load(few.as_ptr())
                        };
                        result = combine(result, x);
                    }
                }
                let result = (result * factor).to_array();
                to.add(first).copy_from_nonoverlapping(result.as_ptr(), numbers);
            }
        }
    }
}

/// Writes a row of the largest numbers of each window.
///
/// # Safety
///
/// The window's image is at `image`, with `channels` numbers a place; there is room for the row at `to`.
pub unsafe fn largest(window: &Window, row: usize, channels: usize, image: *const f32, to: *mut f32) {
    // SAFETY: as the caller says.
    unsafe { pool(window, row, channels, image, to, f32::NEG_INFINITY, F32x4::max, |_| 1.0) }
}

/// Writes a row of the sums of each window, times what `factor` gives for the number of steps inside.
///
/// # Safety
///
/// The window's image is at `image`, with `channels` numbers a place; there is room for the row at `to`.
pub unsafe fn sum(
    window: &Window,
    row: usize,
    channels: usize,
    image: *const f32,
    to: *mut f32,
    factor: impl Fn(usize) -> f32,
) {
    // SAFETY: as the caller says.
    unsafe { pool(window, row, channels, image, to, 0.0, |x, y| x + y, factor) }
}
