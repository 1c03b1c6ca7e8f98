//! Convolutions of images with one channel: a window holds so few numbers that to pack them, as [`crate::rows`] does, would take
//! longer than to multiply them.

use super::Window;
use crate::activation::Bounds;
use crate::vector::F32x4;
use crate::weights::vector;

/// Channels of the result that are computed at a time.
const BLOCK: usize = 16;

/// Vectors of a block.
const VECTORS: usize = BLOCK / 4;

/// Places that are computed side by side.
const PLACES: usize = 2;

/// Weights of a convolution of an image with few channels: for each block of channels of the result and each step, its numbers;
/// and a bias for each channel of the result.
pub struct Shallow {
    columns: usize,
    steps: usize,
    kernel: Kernel,
    weights: Box<[F32x4]>,
    bias: Box<[F32x4]>,
}

/// Computes two places by a block.
type Kernel = unsafe fn(*const Taps, *mut f32, usize);

/// What a tile is made of.
struct Taps {
    /// The first number of the first place's window.
    from: *const f32,
    /// From the window of one place to that of the next, in numbers.
    beside: usize,
    /// From one row of a window to the next.
    below: usize,
    weights: *const f32,
    bias: *const f32,
    steps: usize,
    bounds: Bounds,
}

/// The kernel for windows of so many rows of so many numbers. By itself, so that it is compiled here, to be fast, and not where
/// weights are packed.
#[inline(never)]
fn kernel(rows: usize, length: usize) -> Option<Kernel> {
    match (rows, length) {
        (1..=3, 3) => Some(tile::<3>),
        (1..=5, 5) => Some(tile::<5>),
        _ => None,
    }
}

impl Shallow {
    /// Packs the weights of windows of `rows` rows, each of `length` numbers beside each other, of which `weight` tells each by its
    /// step and its column, a channel of the result, and a bias for each column. None where there is no kernel for such.
    pub fn pack(
        [rows, length]: [usize; 2],
        columns: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Option<Shallow> {
        let kernel = kernel(rows, length).filter(|_| columns.is_multiple_of(BLOCK))?;
        let steps = rows * length;
        let mut weights = Vec::with_capacity(steps * columns / 4);
        for block in (0..columns).step_by(BLOCK) {
            for step in 0..steps {
                let firsts = (block..block + BLOCK).step_by(4);
                weights.extend(firsts.map(|first| vector(columns, first, |column| weight(step, column))));
            }
        }
        let bias = (0..columns).step_by(4).map(|first| vector(columns, first, &bias));
        Some(Shallow { columns, steps, kernel, weights: weights.into(), bias: bias.collect() })
    }

    /// Writes a row of the result, which has two places at least.
    ///
    /// # Safety
    ///
    /// The window's image is at `image`, with `channels` numbers a place, and the windows are inside of it, with no dilation along
    /// a row; there is room for the row at `to`; the weights are of as many rows, each of as many numbers.
    pub unsafe fn row(
        &self,
        window: &Window,
        row: usize,
        channels: usize,
        image: *const f32,
        to: *mut f32,
        bounds: Bounds,
    ) {
        let width = window.input[1] * channels;
        let places = window.output[1];
        let beside = window.stride[1] * channels;
        // SAFETY: as the caller says.
        unsafe {
            let image = image.add(row * window.stride[0] * width);
            for block in 0..self.columns / BLOCK {
                let weights: *const f32 = self.weights.as_ptr().add(block * self.steps * VECTORS).cast();
                let bias: *const f32 = self.bias.as_ptr().add(block * VECTORS).cast();
                let below = window.dilation[0] * width;
                let mut taps = Taps { from: image, beside, below, weights, bias, steps: self.steps, bounds };
                for place in (0..places).step_by(PLACES) {
                    // The last two may have been computed in part before.
                    let place = place.min(places - PLACES);
                    taps.from = image.add(place * beside);
                    (self.kernel)(&taps, to.add(place * self.columns + block * BLOCK), self.columns);
                }
            }
        }
    }
}

/// Two places by a block, for windows whose rows have `LENGTH` numbers. How it is written is for Cranelift; see [`crate::tile`] and
/// `depthwise`.
#[inline(never)]
unsafe fn tile<const LENGTH: usize>(taps: *const Taps, to: *mut f32, stride: usize) {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums: [[F32x4; VECTORS]; PLACES] =
            [std::array::from_fn(|index| F32x4::load((*taps).bias.add(4 * index))); PLACES];
        let mut remaining = (*taps).steps;
        let (mut first, beside, weights) = ((*taps).from, (*taps).beside, (*taps).weights);
        macro_rules! steps {
            ($($step:literal)*) => {$(
                if $step > 0 && $step % LENGTH == 0 {
                    first = first.wrapping_add((*taps).below);
                }
                let at = first.wrapping_add($step % LENGTH);
                let vectors: [F32x4; VECTORS] = std::array::from_fn(|index| F32x4::load(weights.add($step * BLOCK + 4 * index)));
                let factors = [F32x4::load_splat(at), F32x4::load_splat(at.wrapping_add(beside))];
                for (sums, factor) in sums.iter_mut().zip(factors) {
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = factor.mul_add(vector, *sum);
                    }
                }
                remaining -= 1;
                if remaining == 0 {
                    break;
                }
            )*};
        }
        // Left at the end, if not before.
        #[expect(clippy::never_loop, reason = "a block cannot be left from a macro")]
        loop {
            steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24);
            break;
        }
        let (low, high) = (F32x4::splat((*taps).bounds.low), F32x4::splat((*taps).bounds.high));
        for (place, sums) in sums.into_iter().enumerate() {
            for (index, sum) in sums.into_iter().enumerate() {
                sum.at_least(low).at_most(high).store(to.add(place * stride + 4 * index));
            }
        }
    }
}
