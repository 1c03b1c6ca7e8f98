//! Products of rows with weights: as they lie, or strip by strip.

use samara_kernels::F32x4;
use samara_kernels::activation::Activation;
use samara_kernels::rows::{Part, Target, Weights, lying_parts, parts};

use crate::fused::Bound;

/// Rows that are multiplied with weights, wherever they come from.
///
/// # Safety
///
/// [`pack`](Rows::pack) writes to each step of a part: nobody has before.
pub unsafe trait Rows {
    /// Packs the rows from `first` on, as many as a part has; the row `last` again where there are fewer.
    ///
    /// # Safety
    ///
    /// There is a row `last`, and room at `to`.
    unsafe fn pack(&self, first: usize, last: usize, to: Part);

    /// All numbers, where those of each row are as many as the weights have steps and lie behind those of the row before.
    fn lying(&self) -> Option<&[f32]> {
        None
    }
}

/// Writes the product of some rows, from `first` on, with weights and an activation.
///
/// # Safety
///
/// There are as many rows, each of as many numbers as the weights have steps, and there is room for the product and, at `strips`, for
/// so many rows of the weights.
pub unsafe fn band(
    rows: &impl Rows,
    [first, some]: [usize; 2],
    weights: &Weights,
    activation: Activation,
    strips: *mut F32x4,
    target: Target,
) {
    // SAFETY: as the caller says; the strips of so many rows have been packed, each to its end, when they are read.
    unsafe {
        if weights.takes_lying(some) {
            for part in lying_parts(some, weights.depth(), strips) {
                rows.pack(first + part.first, first + part.last, part);
            }
            let laid: *const f32 = strips.cast();
            weights.multiply_lying(some, |row| laid.wrapping_add(row * weights.depth()), target, activation);
            return;
        }
        for part in parts(some, weights.depth(), strips) {
            rows.pack(first + part.first, first + part.last, part);
        }
        let strips = std::slice::from_raw_parts(strips, weights.vectors(some));
        weights.multiply(some, strips, target, activation);
    }
}

/// Writes the product of as many rows as there is room for, each of as many numbers as the weights have steps, with an activation
/// and with the arithmetic done, for which the first of them is the row `from_row`.
pub fn multiply(
    rows: &impl Rows,
    weights: &Weights,
    activation: Activation,
    bound: &Bound<'_>,
    from_row: usize,
    to: &mut [f32],
) {
    let columns = weights.columns();
    let count = to.len() / columns;
    if let Some(numbers) = rows.lying().filter(|_| weights.takes_lying(count)) {
        let depth = weights.depth();
        assert!(numbers.len() >= count * depth, "{} numbers are not {count} rows of {depth}", numbers.len());
        let mut first = 0;
        while first < count {
            let some = weights.lying_at_a_time(count - first);
            let part = &mut to[first * columns..][..some * columns];
            let target = Target { to: part.as_mut_ptr(), stride: columns };
            let from = numbers[first * depth..].as_ptr();
            // SAFETY: there are as many rows, and there is as much room.
            unsafe { weights.multiply_lying(some, |row| from.wrapping_add(row * depth), target, activation) };
            bound.run(from_row + first, part);
            first += some;
        }
        return;
    }
    let at_once = weights.rows_at_a_time().min(count);
    // One more is better with others than by itself.
    let more = usize::from(count > at_once && count % at_once == 1);
    // Not zeros: what is read has been packed before.
    let mut strips = Box::<[F32x4]>::new_uninit_slice(weights.room_for(at_once + more));
    let mut first = 0;
    while first < count {
        let left = count - first;
        let some = if left == at_once + more { left } else { left.min(at_once) };
        let part = &mut to[first * columns..][..some * columns];
        let target = Target { to: part.as_mut_ptr(), stride: columns };
        // SAFETY: there are as many rows, and there is as much room.
        unsafe { band(rows, [first, some], weights, activation, strips.as_mut_ptr().cast(), target) };
        bound.run(from_row + first, part);
        first += some;
    }
}
