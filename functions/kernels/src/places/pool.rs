//! Pools: the largest number of a window, or the sum of all.

use super::{Inside, Window};
use crate::vector::F32x4;

/// Numbers of a window that are read side by side.
const READ: usize = 16;

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
    let interior = window.interior(1);
    let (width, steps) = (window.input[1], window.kernel[0] * window.kernel[1]);
    let y = (row * window.stride[0] + vertical.first * window.dilation[0]).wrapping_sub(window.before[0]);
    // Where the steps are, from the window's first one that is inside.
    let offset = |index: usize, columns: usize| {
        (index / columns * window.dilation[0] * width + index % columns * window.dilation[1]) * channels
    };
    let four: [usize; 4] = std::array::from_fn(|index| offset(index, window.kernel[1]));
    for place in 0..window.output[1] {
        let horizontal = if interior.contains(&place) {
            Inside { first: 0, end: window.kernel[1] }
        } else {
            window.inside(1, place)
        };
        let columns = horizontal.end - horizontal.first;
        let inside = (vertical.end - vertical.first) * columns;
        let finish = finish(inside);
        let x = (place * window.stride[1] + horizontal.first * window.dilation[1]).wrapping_sub(window.before[1]);
        // SAFETY: the steps are inside of the image.
        unsafe {
            let to = to.add(place * channels);
            let from = image.wrapping_add(y.wrapping_mul(width).wrapping_add(x).wrapping_mul(channels));
            let whole = channels / 4 * 4;
            // The most common window, where all of it is inside.
            if steps == 4 && inside == steps && channels == whole {
                for first in (0..whole).step_by(4) {
                    let load = |step: usize| F32x4::load(from.add(four[step] + first));
                    let result = combine(combine(F32x4::splat(start), load(0)), load(1));
                    finish(combine(combine(result, load(2)), load(3))).store(to.add(first));
                }
                continue;
            }
            let mut done = 0;
            loop {
                // The next steps, as far as they are read at once.
                let mut at = [image; READ];
                let count = (inside - done).min(READ);
                for (index, at) in at[..count].iter_mut().enumerate() {
                    *at = from.add(offset(done + index, columns));
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
