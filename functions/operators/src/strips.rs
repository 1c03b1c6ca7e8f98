//! Products of rows with weights, strip by strip.

use samara_kernels::F32x4;
use samara_kernels::activation::Activation;
use samara_kernels::rows::{self as packed, Target, Weights};

use crate::fused::Bound;

/// Rows that are multiplied with weights, wherever they come from.
///
/// # Safety
///
/// [`pack`](Rows::pack) writes to all of a strip: nobody has before.
pub unsafe trait Rows {
    /// Packs the rows from `first` on, as many as a strip has; the row `last` again where there are fewer.
    ///
    /// # Safety
    ///
    /// There is a row `last`, and room for a strip at `strip`.
    unsafe fn pack(&self, first: usize, last: usize, strip: *mut f32);
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
        for ((from, last), to) in packed::strips(some).zip(strips.chunks_exact_mut(depth)) {
            // SAFETY: there are as many rows, and a strip has a vector for each step.
            unsafe { rows.pack(first + from, first + last, to.as_mut_ptr().cast()) };
        }
        let target = Target { to: part.as_mut_ptr(), stride: columns };
        // SAFETY: the strips of so many rows have been packed, each to its end, and there is as much room.
        unsafe {
            let strips = std::slice::from_raw_parts(strips.as_ptr().cast(), packed::strips(some).count() * depth);
            weights.multiply(some, strips, target, activation);
        }
        bound.run(from_row + first, part);
        first += some;
    }
}
