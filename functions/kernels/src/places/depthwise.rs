//! Depthwise convolutions: each channel has a filter of its own.

use std::ops::Range;

use super::Window;
use crate::activation::{Activation, Vectors};
use crate::vector::F32x4;
use crate::weights::vector;

/// Places that are computed side by side, in a row that has as many. Many images have a multiple of seven places in a row; for
/// windows of five by five, more would be too many sums beside five factors.
const WIDE: usize = 7;

/// The same in a shorter row.
const NARROW: usize = 4;

/// Vectors of channels that are computed together at one place.
const VECTORS: usize = 4;

/// Weights of a depthwise convolution: for each step of the window a number for each channel; and a bias for each.
pub struct Depthwise {
    channels: usize,
    weights: Box<[F32x4]>,
    bias: Box<[F32x4]>,
}

/// Bytes of a number.
const NUMBER: usize = size_of::<f32>();

/// More rows than a window has.
const NEVER: usize = 64;

/// What stands for numbers outside of the image.
static ZEROS: [f32; 4] = [0.0; 4];

/// Rows of the image that a row of the result is made of, for some vectors of channels. What is between two numbers is counted in
/// bytes: to scale it costs an instruction more wherever something is loaded.
struct Taps {
    /// The first number of the first row, of these channels.
    line: *const f32,
    /// From a place of the image to the next, and of the result.
    apart: usize,
    /// The first number, of the first step inside.
    from: *const f32,
    /// From a step to the one below it.
    below: usize,
    /// From a step to the one beside it.
    beside: usize,
    weights: *const f32,
    weights_below: usize,
    weights_beside: usize,
    /// Steps inside.
    size: [usize; 2],
    /// Vectors of channels.
    count: usize,
    bias: *const f32,
    /// Where the row of the result goes.
    row: *mut f32,
    /// Where what is computed next does.
    to: *mut f32,
    /// Places of the result.
    places: usize,
    /// Those of the image.
    width: usize,
    /// How far the first window begins outside of the image.
    before: usize,
    /// Where places are computed side by side: how many columns of all that they need are before the image.
    outside: usize,
    /// And how many then are inside of it.
    inside: usize,
    activation: Vectors,
    /// Sums that are wanted: see [`vectors`].
    wanted: [F32x4; WIDE],
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
            line: image,
            apart: NUMBER * channels,
            from: image,
            below: NUMBER * window.dilation[0] * width * channels,
            beside: NUMBER * window.dilation[1] * channels,
            weights: self.weights.as_ptr().cast(),
            weights_below: NUMBER * window.kernel[1] * padded,
            weights_beside: NUMBER * padded,
            size: [vertical.end - vertical.first, 0],
            count: 0,
            bias: self.bias.as_ptr().cast(),
            row: to,
            to,
            places,
            width,
            before: window.before[1],
            outside: 0,
            inside: 0,
            activation: Vectors::of(activation),
            wanted: [F32x4::ZERO; WIDE],
        };
        let mut vector = 0;
        while 4 * vector < channels {
            let count = whole - vector;
            let first = 4 * vector;
            let weights =
                self.weights.as_ptr().cast::<f32>().wrapping_add(vertical.first * window.kernel[1] * padded + first);
            taps.line = image.wrapping_add(y * width * channels + first);
            taps.weights = weights;
            taps.count = count;
            taps.bias = self.bias.as_ptr().cast::<f32>().wrapping_add(first);
            taps.row = to.wrapping_add(first);
            let mut place = 0;
            while place < places {
                if let Some((run, until)) =
                    kernel.filter(|_| count > 0).and_then(|kernel| kernel.at(place, &taps, &interior))
                {
                    // SAFETY: as the caller says; what is read is inside of the image.
                    unsafe { run(&mut taps, place, until) };
                    place = until;
                    continue;
                }
                let horizontal = window.inside(1, place);
                let begin = place * window.stride[1];
                // Before the image, where a window begins there.
                let x = (begin + horizontal.first * window.dilation[1]).wrapping_sub(window.before[1]);
                taps.from = taps.line.wrapping_add(x.wrapping_mul(channels));
                taps.weights = weights.wrapping_add(horizontal.first * padded);
                taps.size[1] = horizontal.end - horizontal.first;
                taps.to = taps.row.wrapping_add(place * channels);
                place += 1;
                // SAFETY: as above.
                unsafe {
                    if vertical.first == vertical.end || horizontal.first == horizontal.end {
                        let some = if count > 0 { 4 * count } else { channels - first };
                        for index in (0..some).step_by(4) {
                            let left = some.min(index + 4) - index;
                            taps.activation.write(F32x4::load(taps.bias.add(index)), taps.to.add(index), left);
                        }
                    } else if count == 0 {
                        rest(&taps, channels - first);
                    } else {
                        let fours = count / VECTORS * VECTORS;
                        for index in (0..fours).step_by(VECTORS) {
                            one::<VECTORS>(&taps, index);
                        }
                        for index in fours..count {
                            one::<1>(&taps, index);
                        }
                    }
                }
                taps.weights = weights;
            }
            vector += count.max(1);
        }
    }
}

/// Computes the places from one on until another, some side by side.
type SideBySide = unsafe fn(*mut Taps, usize, usize);

/// How a window is computed at several places side by side.
#[derive(Clone, Copy)]
struct Together {
    /// At how many.
    places: usize,
    /// How wide the window is.
    wide: usize,
    /// From one place to the next.
    stride: usize,
    /// Where all that they need is inside of the image.
    inner: SideBySide,
    /// Where as many columns may not be on either side as half a window has.
    edge: SideBySide,
}

impl Together {
    /// For a window `W` wide that goes `S` at a time, in a row of so many places; none where these are too few.
    fn of<const W: usize, const S: usize>(places: usize) -> Option<Together> {
        let narrow = side_by_side::<W, S, NARROW, true>;
        let (count, inner, edge): (_, SideBySide, SideBySide) = match places {
            0..NARROW => return None,
            NARROW..WIDE => (NARROW, narrow, narrow),
            _ => (WIDE, side_by_side::<W, S, WIDE, false>, side_by_side::<W, S, WIDE, true>),
        };
        Some(Together { places: count, wide: W, stride: S, inner, edge })
    }

    /// How places are computed from one on, and until which; none where too much of a window is outside of the image.
    fn at(&self, place: usize, taps: &Taps, interior: &Range<usize>) -> Option<(SideBySide, usize)> {
        let inner =
            |place: usize| interior.end.saturating_sub(place) / self.places * usize::from(place >= interior.start);
        if inner(place) > 0 {
            return Some((self.inner, place + inner(place) * self.places));
        }
        let beyond = ((taps.places - 1) * self.stride + self.wide).saturating_sub(taps.before + taps.width);
        if taps.before.max(beyond) > self.wide / 2 {
            return None;
        }
        let until = place + interior.start.saturating_sub(place).next_multiple_of(self.places);
        Some((self.edge, if inner(until) > 0 { until } else { taps.places }))
    }
}

/// After how many columns a window of `w` columns may be left: fewer where sums would else be kept in memory, as there are not so
/// many registers.
const fn often(w: usize) -> usize {
    if w == 5 { 2 } else { 4 }
}

/// The places from `first` on until another, `P` side by side, for a window of `W` by `W`, or fewer rows, that goes `S`, one or two,
/// at a time.
#[inline(never)]
unsafe fn side_by_side<const W: usize, const S: usize, const P: usize, const EDGE: bool>(
    taps: *mut Taps,
    first: usize,
    until: usize,
) {
    // SAFETY: as the caller says.
    unsafe {
        for place in (first..until).step_by(P) {
            // The last ones may have been computed in part before.
            let place = place.min((*taps).places - P);
            let begin = place * S;
            let before = (*taps).before;
            let apart = (*taps).apart;
            (*taps).to = (*taps).row.wrapping_byte_add(place * apart);
            // Before the image, where a window begins there.
            (*taps).from = (*taps).line.wrapping_byte_add(begin.wrapping_sub(before).wrapping_mul(apart));
            if EDGE {
                (*taps).outside = before.saturating_sub(begin);
                (*taps).inside = ((*taps).width + before - begin.max(before)).min((*taps).width);
            }
            vectors::<W, S, P, EDGE>(taps);
        }
    }
}

/// All vectors of channels, one after the other, at `P` places side by side: each number of the image is loaded once, and goes into
/// the sums of all places whose windows it is in. How it is written is for Cranelift; see [`crate::tile`]: sums must be wanted, so
/// that the next columns are not loaded before they are made. At a stride of one the window may be left after [some](often) columns:
/// it never is, as there are never so many rows, but by then all sums must be there. Each comparison is with another number, as LLVM
/// would make one of equal ones. At a stride of two, where fewer windows share a column, those that are done are stored instead, to
/// be read by nobody. The taps are behind a pointer, as what is read through a reference would be kept in registers from one vector
/// to the next.
#[inline(always)]
unsafe fn vectors<const W: usize, const S: usize, const P: usize, const EDGE: bool>(taps: *mut Taps) {
    // SAFETY: as the caller says.
    unsafe {
        let apart = (*taps).apart;
        for index in 0..(*taps).count {
            let mut sums = [F32x4::load((*taps).bias.add(4 * index)); P];
            let rows = (*taps).size[0];
            let (mut from, mut weights) = ((*taps).from.add(4 * index), (*taps).weights.add(4 * index));
            macro_rules! columns {
                ($at:ident, $row:literal, $factors:ident: $($column:literal)*) => {$(
                    if $column < const { (P - 1) * S + W } {
                        if $column > 0 {
                            $at = $at.wrapping_byte_add(apart);
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
                        // Windows that are done with the row, or with most of it.
                        for done in [3, 5] {
                            if S > 1 && done <= W && $column + 1 >= done && ($column + 1 - done) % S == 0 {
                                let place = ($column + 1 - done) / S;
                                if place < P {
                                    (&raw mut (*taps).wanted[place]).write_volatile(sums[place]);
                                }
                            }
                        }
                        let is_end = $column == const { (P - 1) * S + W - 1 };
                        let may_end = S == 1 && !is_end && ($column + 1) % const { often(W) } == 0;
                        let never = NEVER + 32 * $row + $column;
                        if is_end && rows == $row + 1 || may_end && rows == never {
                            break;
                        }
                    }
                )*};
            }
            macro_rules! rows {
                ($($row:literal)*) => {$(
                    if $row < W {
                        if $row > 0 {
                            from = from.wrapping_byte_add((*taps).below);
                            weights = weights.wrapping_byte_add((*taps).weights_below);
                        }
                        let factors: [F32x4; W] =
                            std::array::from_fn(|tap| F32x4::load(weights.byte_add(tap * (*taps).weights_beside)));
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
            let activation = &raw const (*taps).activation;
            let mut to = (*taps).to.add(4 * index);
            if (*activation).gated {
                for sum in sums {
                    Vectors::gate(activation, sum).store(to);
                    to = to.wrapping_byte_add(apart);
                }
            } else {
                let [low, high] = Vectors::bounds(activation);
                for sum in sums {
                    sum.at_least(low).at_most(high).store(to);
                    to = to.wrapping_byte_add(apart);
                }
            }
        }
    }
}

/// `V` vectors of channels at one place.
#[inline(never)]
unsafe fn one<const V: usize>(taps: &Taps, vector: usize) {
    // SAFETY: as the caller says.
    unsafe {
        let (bias, to) = (taps.bias.add(4 * vector), taps.to.add(4 * vector));
        let mut sums: [F32x4; V] = std::array::from_fn(|index| F32x4::load(bias.add(4 * index)));
        let mut below = taps.size[0];
        let (mut row, mut weights_row) = (taps.from.add(4 * vector), taps.weights.add(4 * vector));
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
                    from = from.wrapping_byte_add(taps.beside);
                    weights = weights.wrapping_byte_add(taps.weights_beside);
                )*};
            }
            loop {
                steps!(0 1 2 3 4);
            }
            below -= 1;
            if below == 0 {
                break;
            }
            row = row.wrapping_byte_add(taps.below);
            weights_row = weights_row.wrapping_byte_add(taps.weights_below);
        }
        for (index, sum) in sums.into_iter().enumerate() {
            taps.activation.write(sum, to.add(4 * index), 4);
        }
    }
}

/// Fewer than four channels at one place.
unsafe fn rest(taps: &Taps, channels: usize) {
    for channel in 0..channels {
        // SAFETY: as the caller says.
        unsafe {
            let mut sum = *taps.bias.add(channel);
            for y in 0..taps.size[0] {
                for x in 0..taps.size[1] {
                    let at = taps.from.byte_add(y * taps.below + x * taps.beside).add(channel);
                    let weight = taps.weights.byte_add(y * taps.weights_below + x * taps.weights_beside).add(channel);
                    sum += *at * *weight;
                }
            }
            taps.activation.write(F32x4::splat(sum), taps.to.add(channel), 1);
        }
    }
}
