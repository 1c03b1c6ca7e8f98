//! Pools: the largest number of a window, or the sum of all.

use super::{Inside, Window};
use crate::vector::F32x4;

/// Numbers of a window that are read side by side.
const READ: usize = 16;

/// Vectors of the most common windows that are read side by side, where the image's channels are a multiple of so many.
const SIDE_BY_SIDE: usize = 4;

/// Windows that are all inside of an image.
struct Whole {
    /// The first number of the first.
    from: *const f32,
    /// From a step to the one beside it, in numbers.
    beside: usize,
    /// From a step to the one below it.
    below: usize,
    /// From one window to the next.
    apart: usize,
    channels: usize,
    start: f32,
}

impl Whole {
    /// Writes what becomes of so many of them, of `SIZE` by `SIZE` steps, so many vectors side by side. By itself, as Cranelift spills
    /// in what has more to do than this.
    ///
    /// # Safety
    ///
    /// They are inside of the image, whose channels are a multiple of those vectors' numbers; there is room at `to`.
    #[inline(never)]
    unsafe fn row<const SIZE: usize, const VECTORS: usize>(
        &self,
        places: usize,
        mut to: *mut f32,
        combine: &impl Fn(F32x4, F32x4) -> F32x4,
        finish: impl Fn(F32x4) -> F32x4,
    ) {
        let Whole { from: mut first, beside, below, start, .. } = *self;
        for _ in 0..places {
            let mut from = first;
            let mut remaining = self.channels;
            while remaining > 0 {
                for channel in (0..4 * VECTORS).step_by(4) {
                    let mut result = F32x4::splat(start);
                    for step in 0..SIZE * SIZE {
                        let step = from.wrapping_add(step / SIZE * below + step % SIZE * beside + channel);
                        // SAFETY: as the caller says.
                        result = combine(result, unsafe { F32x4::load(step) });
                    }
                    // SAFETY: as the caller says.
                    unsafe { finish(result).store(to.add(channel)) };
                }
                (from, to) = (from.wrapping_add(4 * VECTORS), to.wrapping_add(4 * VECTORS));
                remaining -= 4 * VECTORS;
            }
            first = first.wrapping_add(self.apart);
        }
    }
}

/// Writes a row of a pool: for each place and channel, `combine` of all that is inside of the window, from `start` on,
/// and `finish` of that and of the number of steps inside.
///
/// # Safety
///
/// The window's image is at `image`, with `channels` numbers a place; there is room for the row at `to`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "what a pool is")]
unsafe fn pool<F: Fn(F32x4) -> F32x4>(
    window: &Window,
    row: usize,
    channels: usize,
    image: *const f32,
    to: *mut f32,
    start: f32,
    combine: impl Fn(F32x4, F32x4) -> F32x4,
    finish: impl Fn(usize) -> F,
) {
    let vertical = window.inside(0, row);
    let width = window.input[1];
    let below = window.dilation[0] * width * channels;
    let beside = window.dilation[1] * channels;
    let y = (row * window.stride[0] + vertical.first * window.dilation[0]).wrapping_sub(window.before[0]);
    let from = |x: usize| image.wrapping_add(y.wrapping_mul(width).wrapping_add(x).wrapping_mul(channels));
    // The most common windows, where all of them is inside.
    let is_whole = vertical == Inside { first: 0, end: window.kernel[0] } && channels.is_multiple_of(4);
    let interior = window.interior(1);
    let common = if is_whole && matches!(window.kernel, [2, 2] | [3, 3]) { interior.clone() } else { 0..0 };
    if !common.is_empty() {
        let from = from(common.start * window.stride[1] - window.before[1]);
        let whole = Whole { from, beside, below, apart: window.stride[1] * channels, channels, start };
        let to = to.wrapping_add(common.start * channels);
        // SAFETY: the steps are inside of the image.
        unsafe {
            match (window.kernel[0], channels.is_multiple_of(4 * SIDE_BY_SIDE)) {
                (2, true) => whole.row::<2, SIDE_BY_SIDE>(common.len(), to, &combine, finish(4)),
                (2, false) => whole.row::<2, 1>(common.len(), to, &combine, finish(4)),
                (_, true) => whole.row::<3, SIDE_BY_SIDE>(common.len(), to, &combine, finish(9)),
                (_, false) => whole.row::<3, 1>(common.len(), to, &combine, finish(9)),
            }
        }
    }
    for place in (0..common.start).chain(common.end..window.output[1]) {
        let horizontal = if interior.contains(&place) {
            Inside { first: 0, end: window.kernel[1] }
        } else {
            window.inside(1, place)
        };
        let columns = horizontal.end - horizontal.first;
        let inside = (vertical.end - vertical.first) * columns;
        let finish = finish(inside);
        let x = (place * window.stride[1] + horizontal.first * window.dilation[1]).wrapping_sub(window.before[1]);
        let from = from(x);
        // SAFETY: the steps are inside of the image.
        unsafe {
            let to = to.add(place * channels);
            let whole = channels / 4 * 4;
            let mut done = 0;
            loop {
                // The next steps, as far as they are read at once.
                let mut at = [image; READ];
                let count = (inside - done).min(READ);
                for (index, at) in (done..).zip(&mut at[..count]) {
                    *at = from.add(index / columns * below + index % columns * beside);
                }
                let is_last = done + count == inside;
                for first in (0..whole).step_by(4) {
                    let mut result = if done == 0 { F32x4::splat(start) } else { F32x4::load(to.add(first)) };
                    for step in &at[..count] {
                        result = combine(result, F32x4::load(step.add(first)));
                    }
                    (if is_last { finish(result) } else { result }).store(to.add(first));
                }
                for channel in whole..channels {
                    let mut result = F32x4::splat(if done == 0 { start } else { *to.add(channel) });
                    for step in &at[..count] {
                        result = combine(result, F32x4::load_splat(step.add(channel)));
                    }
                    *to.add(channel) = (if is_last { finish(result) } else { result }).to_array()[0];
                }
                done += count;
                if is_last {
                    break;
                }
            }
        }
    }
}

/// Writes a row of the largest numbers of each window. NaN counts for nothing.
///
/// # Safety
///
/// The window's image is at `image`, with `channels` numbers a place; there is room for the row at `to`.
pub unsafe fn largest(window: &Window, row: usize, channels: usize, image: *const f32, to: *mut f32) {
    // SAFETY: as the caller says.
    unsafe { pool(window, row, channels, image, to, f32::NEG_INFINITY, F32x4::at_least, |_| |result| result) }
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
    unsafe {
        pool(
            window,
            row,
            channels,
            image,
            to,
            0.0,
            |x, y| x + y,
            |inside| {
                let factor = F32x4::splat(factor(inside));
                move |sum| sum * factor
            },
        );
    }
}
