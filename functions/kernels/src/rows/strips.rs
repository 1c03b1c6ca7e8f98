//! How rows are packed for a product: four to a strip, of each step the four numbers together; one or two rows over have a strip
//! each, four times: a number is a vector then, which weights are multiplied with as it lies there. Or rows are laid one behind the
//! other, to be multiplied as they lie then.

use crate::tile::{self, SHORT};
use crate::tune::Tune;
use crate::vector::F32x4;

/// Rows that are packed at a time.
pub const PART: usize = tile::ROWS;

/// Rows that are multiplied one by one in three quarters of the time of a tile, half of which would be computed for nothing.
const FEW: usize = 2;

/// Where some rows are packed: in a strip of their own, or one behind the other.
#[derive(Clone, Copy)]
pub struct Part {
    /// The first row.
    pub first: usize,
    /// The last row, which is packed as often as rows are missing.
    pub last: usize,
    to: *mut f32,
    lie: Lie,
}

/// How the numbers of some rows lie.
#[derive(Clone, Copy)]
enum Lie {
    /// Those of a step together.
    Packed,
    /// Those of a row together, so many numbers from those of the next row.
    Rows(usize),
}

impl Part {
    /// Packs `length` numbers of each row, from a step on.
    ///
    /// # Safety
    ///
    /// There are `length` numbers at each of `rows`, and as many steps.
    pub unsafe fn pack(&self, step: usize, rows: [*const f32; PART], length: usize) {
        // SAFETY: as the caller says.
        unsafe {
            match self.lie {
                Lie::Packed => pack(rows, length, self.to.add(step * PART)),
                Lie::Rows(depth) => {
                    let to = self.to.wrapping_add(step);
                    copy(rows, length, std::array::from_fn(|index| to.wrapping_add(index * depth)));
                }
            }
        }
    }

    /// Packs a number of each row.
    ///
    /// # Safety
    ///
    /// There is such a step.
    pub unsafe fn put(&self, step: usize, numbers: F32x4) {
        // SAFETY: as the caller says.
        unsafe {
            match self.lie {
                Lie::Packed => numbers.store(self.to.add(step * PART)),
                Lie::Rows(depth) => {
                    for (index, number) in numbers.to_array().into_iter().enumerate() {
                        *self.to.add(index * depth + step) = number;
                    }
                }
            }
        }
    }
}

/// Numbers of each row that are copied between two turns of a loop.
const RUN: usize = 16;

/// Copies as many numbers of each row, as a rule so few that the turn of a loop would weigh as much as they do. They are held against
/// infinity: what is only copied becomes a call of the host.
#[inline(always)]
unsafe fn copy(from: [*const f32; PART], length: usize, to: [*mut f32; PART]) {
    // SAFETY: as the caller says.
    unsafe {
        let Some(last) = length.checked_sub(4) else {
            for at in 0..length {
                for (from, to) in from.into_iter().zip(to) {
                    *to.add(at) = from.add(at).read_volatile();
                }
            }
            return;
        };
        let four = |at: usize| {
            for (from, to) in from.into_iter().zip(to) {
                F32x4::load(from.add(at)).at_least(F32x4::splat(f32::NEG_INFINITY)).store(to.add(at));
            }
        };
        let mut at = 0;
        while last - at > RUN {
            four(at);
            four(at + 4);
            four(at + 8);
            four(at + 12);
            at += RUN;
        }
        if at < last {
            four(at);
        }
        if at + 4 < last {
            four(at + 4);
        }
        if at + 8 < last {
            four(at + 8);
        }
        if at + 12 < last {
            four(at + 12);
        }
        // These may have been copied in part before.
        four(last);
    }
}

/// Whether twelve vectors are a tile of a product of so many steps. In others they are no faster than eight.
pub(super) fn by_twelve(depth: usize) -> bool {
    Tune::X86_64.is_chosen() && depth > SHORT
}

/// How many of so many rows are multiplied one by one.
pub(super) fn over(rows: usize) -> usize {
    if matches!(rows % PART, 1 | FEW) { rows % PART } else { 0 }
}

/// How many parts so many rows have.
pub(super) fn count(rows: usize) -> usize {
    let over = over(rows);
    (rows - over).div_ceil(PART) + over
}

/// The most parts that so many rows have, or fewer.
pub(super) fn most(rows: usize) -> usize {
    // The last part or two of as many rows, or of one, two, or three fewer.
    (rows + PART - FEW) / PART + 1
}

/// Where so many rows of `depth` numbers are packed: one strip after the other from `to` on.
pub fn parts(rows: usize, depth: usize, to: *mut F32x4) -> impl Iterator<Item = Part> {
    let over = over(rows);
    let tiles = (0..rows - over).step_by(PART).map(move |first| (first, (first + PART).min(rows) - 1));
    let rows = tiles.chain((rows - over..rows).map(|row| (row, row)));
    rows.enumerate().map(move |(index, (first, last))| Part {
        first,
        last,
        to: to.cast::<f32>().wrapping_add(index * depth * PART),
        lie: Lie::Packed,
    })
}

/// Where so many rows of `depth` numbers are laid one behind the other, with room for as many as [`parts`] takes.
pub fn lying_parts(rows: usize, depth: usize, to: *mut F32x4) -> impl Iterator<Item = Part> {
    (0..rows).step_by(PART).map(move |first| {
        let to = to.cast::<f32>().wrapping_add(first * depth);
        Part { first, last: (first + PART).min(rows) - 1, to, lie: Lie::Rows(depth) }
    })
}

/// Packs four rows of `length` numbers, of each step the four numbers together: four vectors of four numbers at a time.
///
/// # Safety
///
/// There are `length` numbers at each of `rows`, and room for four times as many at `to`.
pub unsafe fn pack(rows: [*const f32; PART], length: usize, to: *mut f32) {
    // SAFETY: as the caller says.
    unsafe { pack_apart::<PART>(rows, length, to) }
}

/// The same with the numbers of a step `APART` from those of the next.
#[inline(always)]
pub(super) unsafe fn pack_apart<const APART: usize>(rows: [*const f32; PART], length: usize, to: *mut f32) {
    // SAFETY: as the caller says.
    unsafe {
        let four = |step: usize| {
            let columns = F32x4::transpose(rows.map(|row| F32x4::load(row.add(step))));
            for (index, column) in columns.into_iter().enumerate() {
                column.store(to.add((step + index) * APART));
            }
        };
        let whole = length / 4 * 4;
        let mut step = 0;
        while step + 8 <= whole {
            four(step);
            four(step + 4);
            step += 8;
        }
        if step < whole {
            four(step);
        }
        for step in whole..length {
            for (index, row) in rows.into_iter().enumerate() {
                *to.add(step * APART + index) = *row.add(step);
            }
        }
    }
}
