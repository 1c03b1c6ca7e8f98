//! Products of rows with weights, strip by strip.

use samara_kernels::F32x4;
use samara_kernels::activation::Activation;
use samara_kernels::rows::{Part, Target, Weights, parts};

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
    let (depth, columns) = (weights.depth(), weights.columns());
    let count = to.len() / columns;
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
        for part in parts(some, depth, strips.as_mut_ptr().cast()) {
            // SAFETY: there are as many rows, and there is as much room.
            unsafe { rows.pack(first + part.first, first + part.last, part) };
        }
        let target = Target { to: part.as_mut_ptr(), stride: columns };
        // SAFETY: the strips of so many rows have been packed, each to its end, and there is as much room.
        unsafe {
            let strips = std::slice::from_raw_parts(strips.as_ptr().cast(), weights.vectors(some));
            weights.multiply(some, strips, target, activation);
        }
        bound.run(from_row + first, part);
        first += some;
    }
}
