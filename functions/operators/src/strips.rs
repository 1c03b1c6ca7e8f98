//! Products of rows with weights, strip by strip.

use std::borrow::Cow;

use samara_kernels::F32x4;
use samara_kernels::rows::{Bounds, STRIP, Target, Weights};

use crate::fused::Bound;

/// Rows that are multiplied with weights, wherever they come from.
pub trait Rows {
    /// Packs the rows from `first` on, as many as a strip has; the row `last` again where there are fewer.
    ///
    /// # Safety
    ///
    /// There is a row `last`, and room for a strip at `strip`.
    unsafe fn pack(&self, first: usize, last: usize, strip: *mut f32);

    /// A row by itself.
    fn row(&self, row: usize) -> Cow<'_, [f32]>;
}

/// Writes the product of as many rows as there is room for, each of as many numbers as the weights have steps, within bounds
/// and with the arithmetic done.
pub fn multiply(rows: &impl Rows, weights: &Weights, bounds: Bounds, bound: &Bound<'_>, to: &mut [f32]) {
    let (depth, columns) = (weights.depth(), weights.columns());
    let count = to.len() / columns;
    // A row that no strip is full of is best by itself.
    let alone = usize::from(count % STRIP == 1);
    let together = count - alone;
    let at_once = weights.rows_at_a_time().min(together);
    let mut strips = vec![F32x4::ZERO; weights.room_for(at_once)];
    let mut first = 0;
    while first < count {
        let some = if first < together { at_once.min(together - first) } else { alone };
        let part = &mut to[first * columns..][..some * columns];
        if first == together {
            let row = rows.row(first);
            assert_eq!(row.len(), depth, "a row has a number for each step");
            // SAFETY: there are as many numbers, and there is as much room.
            unsafe { weights.multiply_one(row.as_ptr(), part.as_mut_ptr(), bounds) };
        } else {
            for (strip, to) in (first..first + some).step_by(STRIP).zip(strips.chunks_exact_mut(depth)) {
                // SAFETY: there are as many rows, and a strip has a vector for each step.
                unsafe { rows.pack(strip, first + some - 1, to.as_mut_ptr().cast()) };
            }
            let target = Target { to: part.as_mut_ptr(), stride: columns };
            // SAFETY: there is as much room.
            unsafe { weights.multiply(some, &strips, target, bounds) };
        }
        bound.run(first, part);
        first += some;
    }
}
