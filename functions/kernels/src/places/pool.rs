//! Pools: the largest number of a window, or the sum of all.

use super::Window;
use crate::vector::F32x4;

/// Numbers of a window that are read side by side.
const READ: usize = 16;

/// Writes a row of a pool: for each place and channel, `combine` of all that is inside of the window, from `start` on,
/// times what `factor` gives for the number of steps inside.
///
/// # Safety
///
/// The window's image is at `image`, with `channels` numbers a place; there is room for the row at `to`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "what a pool is")]
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
        let columns = horizontal.end - horizontal.first;
        let inside = (vertical.end - vertical.first) * columns;
        let factor = F32x4::splat(factor(inside));
        // SAFETY: the steps are inside of the image.
        unsafe {
            let to = to.add(place * channels);
            let mut done = 0;
            loop {
                // The next steps, as far as they are read at once.
                let mut steps = [image; READ];
                let count = (inside - done).min(READ);
                for (index, step) in steps[..count].iter_mut().enumerate() {
                    let (y, x) =
                        (vertical.first + (done + index) / columns, horizontal.first + (done + index) % columns);
                    let y = row * window.stride[0] + y * window.dilation[0] - window.before[0];
                    let x = place * window.stride[1] + x * window.dilation[1] - window.before[1];
                    *step = image.add((y * width + x) * channels);
                }
                let is_last = done + count == inside;
                let whole = channels / 4 * 4;
                for first in (0..whole).step_by(4) {
                    let mut result = if done == 0 { F32x4::splat(start) } else { F32x4::load(to.add(first)) };
                    for step in &steps[..count] {
                        result = combine(result, F32x4::load(step.add(first)));
                    }
                    (if is_last { result * factor } else { result }).store(to.add(first));
                }
                for channel in whole..channels {
                    let mut result = F32x4::splat(if done == 0 { start } else { *to.add(channel) });
                    for step in &steps[..count] {
                        result = combine(result, F32x4::load_splat(step.add(channel)));
                    }
                    *to.add(channel) = (if is_last { result * factor } else { result }).to_array()[0];
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
    unsafe { pool(window, row, channels, image, to, f32::NEG_INFINITY, F32x4::at_least, |_| 1.0) }
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
