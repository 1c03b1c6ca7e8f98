//! Depthwise convolutions: each channel has a filter of its own.

use super::{Inside, Window};
use crate::activation::{Activation, Vectors};
use crate::vector::F32x4;
use crate::weights::vector;

/// Places that are computed side by side, in a row that has as many. Many images have a multiple of seven places in a row; for
/// windows of five by five, more would be too many sums beside five factors.
const WIDE: usize = 7;

/// The same in a shorter row.
const NARROW: usize = 4;

/// Vectors of channels that are computed one after the other, before the next places are: a line of the cache.
const VECTORS: usize = 4;

/// Weights of a depthwise convolution: for each step of the window a number for each channel; and a bias for each.
pub struct Depthwise {
    channels: usize,
    weights: Box<[F32x4]>,
    bias: Box<[F32x4]>,
}

/// More rows than a window has.
const NEVER: usize = 64;

/// What stands for numbers outside of the image.
static ZEROS: [f32; 4] = [0.0; 4];

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
    /// Where places are computed side by side: how many columns of all that they need are before the image.
    outside: usize,
    /// And how many then are inside of it.
    inside: usize,
    activation: Vectors,
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
            (0..channels).step_by(4).map(|first| vector(channels, first, of)).collect()
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

    /// How many numbers are packed, biases included.
    pub fn volume(&self) -> usize {
        4 * (self.weights.len() + self.bias.len())
    }

    /// Writes a row of the result.
    ///
    /// # Safety
    ///
    /// The window's image is at `image`, and has as many channels; there is room for the row at `to`; the weights are of as
    /// many steps as the window has.
    pub unsafe fn row(&self, window: &Window, row: usize, image: *const f32, to: *mut f32, activation: Activation) {
        let channels = self.channels;
        let padded = channels.div_ceil(4) * 4;
        let vertical = window.inside(0, row);
        let interior = window.interior(1);
        let [width, places] = [window.input[1], window.output[1]];
        let whole = channels / 4;
        // Of which windows several are computed side by side.
        let kernel = match (window.kernel, window.stride[1], window.dilation[1]) {
            ([1..=3, 3], 1, 1) => Together::of::<3, 1>(places),
            ([1..=3, 3], 2, 1) => Together::of::<3, 2>(places),
            ([1..=5, 5], 1, 1) => Together::of::<5, 1>(places),
            ([1..=5, 5], 2, 1) => Together::of::<5, 2>(places),
            _ => None,
        };
        let kernel = kernel.filter(|_| vertical.first < vertical.end);
        let y = (row * window.stride[0] + vertical.first * window.dilation[0]).saturating_sub(window.before[0]);
        let mut taps = Taps {
            from: image,
            below: window.dilation[0] * width * channels,
            beside: window.dilation[1] * channels,
            weights: self.weights.as_ptr().cast(),
            weights_below: window.kernel[1] * padded,
            weights_beside: padded,
            size: [vertical.end - vertical.first, 0],
            outside: 0,
            inside: 0,
            activation: Vectors::of(activation),
        };
        let mut vector = 0;
        while 4 * vector < channels {
            let count = (whole - vector).min(VECTORS);
            let first = 4 * vector;
            let line = image.wrapping_add(y * width * channels + first);
            let weights =
                self.weights.as_ptr().cast::<f32>().wrapping_add(vertical.first * window.kernel[1] * padded + first);
            // Has the taps at a place, of which so many steps are inside of the image.
            let aim = |taps: &mut Taps, place: usize, horizontal: Inside| {
                let begin = place * window.stride[1];
                // Before the image, where a window begins there.
                let x = (begin + horizontal.first * window.dilation[1]).wrapping_sub(window.before[1]);
                taps.from = line.wrapping_add(x.wrapping_mul(channels));
                taps.weights = weights.wrapping_add(horizontal.first * padded);
                taps.size[1] = horizontal.end - horizontal.first;
                taps.outside = window.before[1].saturating_sub(begin);
                // None of them, where the window begins behind the image.
                taps.inside = (width + window.before[1]).saturating_sub(begin + taps.outside).min(width);
            };
            // SAFETY: as the caller says; what is read is inside of the image.
            unsafe {
                let bias: *const f32 = self.bias.as_ptr().cast::<f32>().add(first);
                let mut place = 0;
                while place < places {
                    let to = to.add(place * channels + first);
                    if let Some(kernel) = kernel.filter(|_| count > 0) {
                        // The last ones may have been computed in part before.
                        let at = place.min(places - kernel.places);
                        let is_inner = at >= interior.start && at + kernel.places <= interior.end;
                        aim(&mut taps, at, Inside { first: 0, end: window.kernel[1] });
                        let run = if is_inner { kernel.inner } else { kernel.edge };
                        let beyond = kernel.columns.saturating_sub(taps.outside + taps.inside);
                        if is_inner || taps.outside.max(beyond) <= window.kernel[1] / 2 {
                            run(&taps, count, channels, bias, to.sub((place - at) * channels));
                            place += kernel.places;
                            continue;
                        }
                    }
                    let horizontal = window.inside(1, place);
                    place += 1;
                    let some = if count > 0 { 4 * count } else { channels - first };
                    if vertical.first == vertical.end || horizontal.first == horizontal.end {
                        for index in (0..some).step_by(4) {
                            let left = some.min(index + 4) - index;
                            taps.activation.write(F32x4::load(bias.add(index)), to.add(index), left);
                        }
                        continue;
                    }
                    aim(&mut taps, place - 1, horizontal);
                    match count {
                        VECTORS => one::<VECTORS>(&taps, bias, to),
                        0 => rest(&taps, channels - first, bias, to),
                        _ => {
                            for index in 0..count {
                                one::<1>(&taps.skip(index), bias.add(4 * index), to.add(4 * index));
                            }
                        }
                    }
                }
            }
            vector += count.max(1);
        }
    }
}

/// Computes places side by side.
type SideBySide = unsafe fn(*const Taps, usize, usize, *const f32, *mut f32);

/// How a window is computed at several places side by side.
#[derive(Clone, Copy)]
struct Together {
    /// At how many.
    places: usize,
    /// How many columns of the image they need.
    columns: usize,
    /// Where all of these are inside of the image.
    inner: SideBySide,
    /// Where so many may not be on either side as half a window has.
    edge: SideBySide,
}

impl Together {
    /// For a window `W` wide that goes `S` at a time, in a row of so many places; none where these are too few.
    fn of<const W: usize, const S: usize>(places: usize) -> Option<Together> {
        let narrow = side_by_side::<W, S, NARROW, true>;
        let (count, inner, edge): (_, SideBySide, SideBySide) = match places {
            0..NARROW => return None,
            NARROW..WIDE => (NARROW, narrow, narrow),
            // At a stride of one are most places.
            _ if S == 1 => (WIDE, side_by_side::<W, S, WIDE, false>, side_by_side::<W, S, WIDE, true>),
            _ => (WIDE, side_by_side::<W, S, WIDE, true>, side_by_side::<W, S, WIDE, true>),
        };
        Some(Together { places: count, columns: (count - 1) * S + W, inner, edge })
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

/// After how many columns a window of `w` columns that goes `s` at a time may be left: fewer where sums would else be kept in memory,
/// as there are not so many registers.
const fn often(w: usize, s: usize) -> usize {
    if w == 5 && s == 1 { 2 } else { 4 }
}

/// `count` vectors of channels, one after the other, at `P` places side by side, for a window of `W` by `W`, or fewer rows, that goes `S`,
/// one or two, at a time: each number of the image is loaded once, and goes into the sums of all places whose windows it is
/// in. How it is written is for Cranelift; see [`crate::tile`]. After [some](often) columns the window may be left: it never is, as
/// there are never so many rows, but by then all sums must be there, and the next columns cannot be loaded before. Each comparison
/// is with another number, as LLVM would make one of equal ones. The taps are behind a pointer, as what is read through a
/// reference would be kept in registers from one vector to the next.
#[inline(never)]
unsafe fn side_by_side<const W: usize, const S: usize, const P: usize, const EDGE: bool>(
    taps: *const Taps,
    count: usize,
    channels: usize,
    bias: *const f32,
    to: *mut f32,
) {
    // SAFETY: as the caller says.
    unsafe {
        for index in 0..count {
            let mut sums = [F32x4::load(bias.add(4 * index)); P];
            let rows = (*taps).size[0];
            let (mut from, mut weights) = ((*taps).from.add(4 * index), (*taps).weights.add(4 * index));
            macro_rules! columns {
                ($at:ident, $row:literal, $factors:ident: $($column:literal)*) => {$(
                    if $column < const { (P - 1) * S + W } {
                        if $column > 0 {
                            $at = $at.wrapping_add(channels);
                        }
                        let may_be_outside = EDGE && !const { W / 2..(P - 1) * S + W - W / 2 }.contains(&$column);
                        let inside = !may_be_outside || ($column as usize).wrapping_sub((*taps).outside) < (*taps).inside;
                        let x = F32x4::load(if inside { $at } else { ZEROS.as_ptr() });
                        for (tap, factor) in $factors.into_iter().enumerate() {
                            if $column >= tap && ($column - tap) % S == 0 && ($column - tap) / S < P {
                                let sum = &mut sums[($column - tap) / S];
                                // On x86-64 the first operand is overwritten, so the factor comes first where it is needed last.
                                let is_last = ($column - tap) / S == P - 1;
                                *sum = if is_last { factor.mul_add(x, *sum) } else { x.mul_add(factor, *sum) };
                            }
                        }
                        let is_end = $column == const { (P - 1) * S + W - 1 };
                        let may_end = const { often(W, S) };
                        let never = NEVER + 32 * $row + $column;
                        if is_end && rows == $row + 1 || !is_end && ($column + 1) % may_end == 0 && rows == never {
                            break;
                        }
                    }
                )*};
            }
            macro_rules! rows {
                ($($row:literal)*) => {$(
                    if $row < W {
                        if $row > 0 {
                            from = from.wrapping_add((*taps).below);
                            weights = weights.wrapping_add((*taps).weights_below);
                        }
                        let factors: [F32x4; W] =
                            std::array::from_fn(|tap| F32x4::load(weights.add(tap * (*taps).weights_beside)));
                        let mut at = from;
                        columns!(at, $row, factors: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
                    }
                )*};
            }
            // Left at the end, if not before.
            #[expect(clippy::never_loop, reason = "a block cannot be left from a macro")]
            loop {
                rows!(0 1 2 3 4);
                break;
            }
            let vectors = &raw const (*taps).activation;
            if (*vectors).gated {
                for (place, sum) in sums.into_iter().enumerate() {
                    Vectors::gate(vectors, sum).store(to.add(place * channels + 4 * index));
                }
            } else {
                for (place, sum) in sums.into_iter().enumerate() {
                    Vectors::clip(vectors, sum).store(to.add(place * channels + 4 * index));
                }
            }
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
        for (index, sum) in sums.into_iter().enumerate() {
            taps.activation.write(sum, to.add(4 * index), 4);
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
            taps.activation.write(F32x4::splat(sum), to.add(channel), 1);
        }
    }
}
