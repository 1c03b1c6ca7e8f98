//! Tiles of a product of rows as they lie, five at a time: some of them with a block of weights before the next block, so that what is
//! the same for all is done once for these.

use super::panel::{Panel, write};
use super::{BLOCK, VECTORS};
use crate::five::{self, ROWS, Sums};
use crate::vector::F32x4;

/// Tiles that are computed with a block before the next.
pub const FIVES: usize = 16;

/// Five rows as they lie, where those of the product begin, and room for the sums of a tile.
pub struct Five {
    pub rows: [*const f32; ROWS],
    pub to: *mut f32,
    pub sums: Sums,
}

/// Fives that are left to be multiplied with a block.
struct Fives {
    panel: *const Panel,
    next: *mut Five,
    end: *mut Five,
}

/// The sums of some fives. Which is the next is in memory: of what is not, all would be saved each time that the product's loop turns.
#[inline(never)]
unsafe fn products(fives: *mut Fives) {
    // SAFETY: as the caller says.
    unsafe {
        while (*fives).next < (*fives).end {
            let Panel { weights, bias, depth, entrance, .. } = *(*fives).panel;
            let sums = five::multiply::<true>(depth, (*(*fives).next).rows, weights, bias, entrance);
            let five = (*fives).next;
            (*five).sums = sums;
            (*fives).next = five.add(1);
        }
    }
}

/// Of at most [`five::SHORT`] steps, the sums, and what becomes of them: without a loop there are registers for both.
#[inline(never)]
unsafe fn short(panel: *const Panel, mut five: *const Five, end: *const Five, offset: usize, stride: usize) {
    // SAFETY: as the caller says.
    unsafe {
        while five < end {
            let Panel { weights, bias, depth, entrance, .. } = *panel;
            let sums = five::multiply::<false>(depth, (*five).rows, weights, bias, entrance);
            let to = (*five).to.wrapping_add(offset);
            write::<ROWS, false>(sums.as_ptr(), (*panel).bias, &raw const (*panel).activation, to, stride);
            five = five.add(1);
        }
    }
}

impl Panel {
    /// The first `columns` numbers of the product of `count` fives, `offset` numbers behind where each says.
    ///
    /// # Safety
    ///
    /// At `first` are so many, whose sums nobody has written. There are as many numbers as steps at each of their rows, and room for
    /// the product.
    #[inline(always)]
    pub unsafe fn fives(&self, first: *mut Five, count: usize, offset: usize, columns: usize, stride: usize) {
        // SAFETY: as the caller says; the sums are written before they are read.
        unsafe {
            let end = first.add(count);
            if self.depth <= five::SHORT && columns == BLOCK {
                short(self, first, end, offset, stride);
                return;
            }
            products(&mut Fives { panel: self, next: first, end });
            let mut five = first;
            while five < end {
                let sums: *const [F32x4; VECTORS] = (&raw const (*five).sums).cast();
                let to = (*five).to.wrapping_add(offset);
                five = five.add(1);
                if columns == BLOCK {
                    write::<ROWS, false>(sums, self.bias, &self.activation, to, stride);
                    continue;
                }
                for row in 0..ROWS {
                    for first in (0..columns).step_by(4) {
                        let sum = (*sums.add(row))[first / 4];
                        self.activation.write(sum, to.add(row * stride + first), (columns - first).min(4));
                    }
                }
            }
        }
    }
}
