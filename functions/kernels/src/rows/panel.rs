//! Tiles of a product: what becomes of a strip of rows and a block of weights, or some blocks.

use std::mem::MaybeUninit;

use super::strips::PART;
use super::{BLOCK, Target, VECTORS, Weights};
use crate::activation::{Activation, Vectors};
use crate::tile::{SHORT, STRAIGHT, Sums, TIGHT, multiply};
use crate::tune::Tune;
use crate::twelve;
use crate::vector::F32x4;

/// Steps of a row by itself between two turns of a loop, where all its sums are saved. With twice as many, long rows take longer.
const STEPS: usize = 32;

/// What the sums of a block begin with where the bias comes last.
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

/// What a tile has registers for, and nothing else: with more in the same function, Cranelift spills.
#[inline(never)]
unsafe fn product(depth: usize, strip: *const f32, panel: *const Panel, sums: *mut Sums) {
    // SAFETY: as the caller says.
    unsafe {
        let [tile] = multiply::<1, PART, BLOCK, TIGHT>(depth, strip, (*panel).weights, 0, Panel::start(panel));
        sums.write(tile);
    }
}

/// The same of a strip of four, whose numbers are vectors, with a block, and with half of one, so many numbers behind it.
#[inline(never)]
unsafe fn broad_product(
    depth: usize,
    strip: *const f32,
    panel: *const Panel,
    ends: [usize; 2],
    sums: *mut twelve::Sums,
) {
    // SAFETY: as the caller says.
    unsafe {
        let [whole, half] = ends.map(|end| (*panel).weights.add(end / BLOCK * BLOCK * depth + end % BLOCK));
        sums.write(twelve::multiply::<BLOCK, PART>(depth, whole, half, strip, F32x4::ZERO));
    }
}

/// The same of two blocks, beside each other, for processors of 32 registers.
#[inline(never)]
unsafe fn wide_product(depth: usize, strip: *const f32, panel: *const Panel, sums: *mut Sums) {
    // SAFETY: as the caller says.
    unsafe {
        let (weights, beside) = ((*panel).weights, BLOCK * depth);
        let tiles = multiply::<2, PART, BLOCK, TIGHT>(depth, strip, weights, beside, Panel::start(panel));
        sums.cast::<[Sums; 2]>().write(tiles);
    }
}

/// Two tiles of at most [`SHORT`] steps, as a call by itself would weigh as much as some of them.
#[inline(never)]
unsafe fn products(depth: usize, strip: *const f32, panel: *const Panel, sums: *mut Sums) {
    // SAFETY: as the caller says.
    unsafe {
        let [tile] = multiply::<1, PART, BLOCK, STRAIGHT>(depth, strip, (*panel).weights, 0, Panel::start(panel));
        sums.write(tile);
        let (strip, sums) = (strip.add(PART * depth), sums.add(1));
        let [tile] = multiply::<1, PART, BLOCK, STRAIGHT>(depth, strip, (*panel).weights, 0, Panel::start(panel));
        sums.write(tile);
    }
}

/// What tiles of the same columns have in common.
pub struct Panel {
    pub(super) weights: *const f32,
    pub(super) bias: *const f32,
    /// Whether tiles with this block, and with the next, have the bias added at their end: those of twelve columns cannot begin
    /// with it, and others that are in their stead do the same, so that the bits of a product of packed rows do not depend on the
    /// processor that kernels are chosen for.
    pub bias_last: [bool; 2],
    pub(super) depth: usize,
    pub(super) activation: Vectors,
    /// Always 0, where the compiler does not know: see [`crate::five`].
    pub(super) entrance: usize,
}

impl Panel {
    /// For the first block.
    pub fn new(weights: &Weights, activation: Activation) -> Panel {
        let (blocks, bias) = (weights.blocks.as_ptr().cast(), weights.bias.as_ptr().cast());
        let activation = Vectors::of(activation);
        Panel { weights: blocks, bias, bias_last: [false; 2], depth: weights.depth, activation, entrance: 0 }
    }

    /// The same for a block, and those behind it.
    pub fn at(&mut self, weights: &Weights, block: usize) {
        self.weights = weights.blocks[block * self.depth * VECTORS..].as_ptr().cast();
        self.bias = weights.bias[block * VECTORS..].as_ptr().cast();
    }

    /// What the sums of a row begin with, in so many blocks: the bias, or zeros where it comes last. The panel is behind a
    /// pointer, as what is read through a reference would be kept in registers.
    #[inline(always)]
    unsafe fn start<const BLOCKS: usize>(panel: *const Panel) -> [[F32x4; VECTORS]; BLOCKS] {
        std::array::from_fn(|block| {
            // SAFETY: as the caller says.
            std::array::from_fn(|index| unsafe {
                let start = if (*panel).bias_last[block] { ZEROS.as_ptr() } else { (*panel).bias.add(block * BLOCK) };
                F32x4::load(start.add(4 * index))
            })
        })
    }

    /// Two tiles of a strip of four with three blocks, of which so many rows are wanted.
    pub unsafe fn three_blocks(&self, rows: usize, strip: *const f32, target: Target) {
        let mut room = MaybeUninit::<[twelve::Sums; 2]>::uninit();
        let sums: *mut twelve::Sums = room.as_mut_ptr().cast();
        // SAFETY: as the caller says; the sums are written before they are read.
        unsafe {
            broad_product(self.depth, strip, self, [0, 8], sums);
            broad_product(self.depth, strip, self, [16, 12], sums.add(1));
            // Of each four sums, the columns that they are of.
            for (index, first) in [0, 4, 8, 16, 20, 12].into_iter().enumerate() {
                let columns = sums.cast::<[F32x4; 4]>().add(index).read();
                let (to, bias) = (target.to.add(first), F32x4::load(self.bias.add(first)));
                for (row, numbers) in F32x4::transpose(columns).into_iter().enumerate().take(rows) {
                    self.activation.write(numbers + bias, to.add(row * target.stride), 4);
                }
            }
        }
    }

    /// One tile for each of so many strips.
    pub unsafe fn tiles(&self, mut count: usize, mut strip: *const f32, target: Target) {
        let mut to = target.to;
        // Not zeros: Wasmtime writes these by a call, which takes as long as eight steps.
        let mut room = MaybeUninit::<[Sums; 2]>::uninit();
        let sums: *mut Sums = room.as_mut_ptr().cast();
        // Two tiles without a loop are no longer than those processors have room for.
        let short = if Tune::Skylake.is_chosen() { TIGHT } else { SHORT };
        while count > 0 {
            let some = if self.depth <= short { count.min(2) } else { 1 };
            // SAFETY: as the caller says; so many sums are written before they are read.
            unsafe {
                if some == 2 {
                    products(self.depth, strip, self, sums);
                } else {
                    product(self.depth, strip, self, sums);
                }
                for index in 0..some {
                    self.write(0, sums.add(index), to, target.stride);
                    to = to.wrapping_add(PART * target.stride);
                }
                strip = strip.add(some * PART * self.depth);
            }
            count -= some;
        }
    }

    /// Writes what becomes of the sums of a tile with the block that is so many behind the panel's.
    #[inline(always)]
    unsafe fn write(&self, block: usize, sums: *const Sums, to: *mut f32, stride: usize) {
        // SAFETY: as the caller says.
        unsafe {
            if self.bias_last[block] {
                write::<PART, true>(sums.cast(), self.bias.add(block * BLOCK), &self.activation, to, stride);
            } else {
                write::<PART, false>(sums.cast(), self.bias, &self.activation, to, stride);
            }
        }
    }

    /// Two tiles for each of so many strips, with the next block.
    pub unsafe fn wide_tiles(&self, count: usize, mut strip: *const f32, target: Target) {
        let mut to = target.to;
        let mut room = MaybeUninit::<[Sums; 2]>::uninit();
        let sums: *mut Sums = room.as_mut_ptr().cast();
        for _ in 0..count {
            // SAFETY: as the caller says; the sums are written before they are read.
            unsafe {
                wide_product(self.depth, strip, self, sums);
                self.write(0, sums, to, target.stride);
                self.write(1, sums.add(1), to.wrapping_add(BLOCK), target.stride);
                strip = strip.add(PART * self.depth);
            }
            to = to.wrapping_add(PART * target.stride);
        }
    }

    /// The first `columns` numbers of the product of one row, each number of which is a vector at `row`, with two blocks, `beside`
    /// blocks apart. Even and odd steps have sums of their own, as there are too few sums else for a multiplier that has several
    /// at work. How it is written is for Cranelift, as in [`crate::tile`]: after each step the loop may be left, and each
    /// pointer is a variable, as LLVM would keep several in a vector.
    #[inline(never)]
    pub unsafe fn row(&self, beside: usize, mut row: *const f32, columns: usize, to: *mut f32) {
        let Panel { weights, bias, depth, .. } = *self;
        // SAFETY: as the caller says.
        unsafe {
            let bias_beside = bias.add(beside * BLOCK);
            let mut even = [bias, bias.add(4), bias_beside, bias_beside.add(4)].map(|bias| F32x4::load(bias));
            let mut odd = [F32x4::ZERO; 2 * VECTORS];
            let (mut first, mut second) = (weights, weights.wrapping_add(4));
            let mut third = weights.wrapping_add(beside * depth * BLOCK);
            let mut fourth = third.wrapping_add(4);
            let mut remaining = depth;
            macro_rules! steps {
                ($($step:literal $sums:ident)*) => {$(
                    let factor = F32x4::load(row.add($step * 4));
                    // The vector comes first, as it is needed no more: see the tile.
                    $sums[0] = F32x4::load(first.add($step * BLOCK)).mul_add(factor, $sums[0]);
                    $sums[1] = F32x4::load(second.add($step * BLOCK)).mul_add(factor, $sums[1]);
                    $sums[2] = F32x4::load(third.add($step * BLOCK)).mul_add(factor, $sums[2]);
                    $sums[3] = F32x4::load(fourth.add($step * BLOCK)).mul_add(factor, $sums[3]);
                    remaining -= 1;
                    if remaining == 0 {
                        break;
                    }
                )*};
            }
            loop {
                steps!(0 even 1 odd 2 even 3 odd 4 even 5 odd 6 even 7 odd);
                steps!(8 even 9 odd 10 even 11 odd 12 even 13 odd 14 even 15 odd);
                steps!(16 even 17 odd 18 even 19 odd 20 even 21 odd 22 even 23 odd);
                steps!(24 even 25 odd 26 even 27 odd 28 even 29 odd 30 even 31 odd);
                row = row.wrapping_add(STEPS * 4);
                first = first.wrapping_add(STEPS * BLOCK);
                second = second.wrapping_add(STEPS * BLOCK);
                third = third.wrapping_add(STEPS * BLOCK);
                fourth = fourth.wrapping_add(STEPS * BLOCK);
            }
            let sums: [_; 2 * VECTORS] = std::array::from_fn(|index| even[index] + odd[index]);
            if columns == 2 * BLOCK {
                for (index, sum) in sums.into_iter().enumerate() {
                    self.activation.write(sum, to.add(4 * index), 4);
                }
            } else {
                for (index, sum) in sums.into_iter().enumerate().take(columns.div_ceil(4)) {
                    self.activation.write(sum, to.add(4 * index), (columns - 4 * index).min(4));
                }
            }
        }
    }
}

/// Writes what becomes of a tile's sums, four or five rows, with its bias or without. Its rows are no loop, as all vectors would be
/// saved where it turns.
#[inline(always)]
pub(super) unsafe fn write<const ROWS: usize, const BIAS: bool>(
    sums: *const [F32x4; VECTORS],
    bias: *const f32,
    activation: *const Vectors,
    to: *mut f32,
    stride: usize,
) {
    // SAFETY: as the caller says.
    unsafe {
        macro_rules! rows {
            ($of:expr; $($row:literal)*) => {$(
                if $row < ROWS {
                    let row = to.wrapping_add($row * stride);
                    for index in 0..VECTORS {
                        let sum = (*sums.add($row))[index];
                        let sum = if BIAS { sum + F32x4::load(bias.add(4 * index)) } else { sum };
                        $of(sum).store(row.add(4 * index));
                    }
                }
            )*};
        }
        if (*activation).gated {
            rows!(|sum| Vectors::gate(activation, sum); 0 1 2 3 4);
        } else {
            let [low, high] = Vectors::bounds(activation);
            rows!(|sum: F32x4| sum.at_least(low).at_most(high); 0 1 2 3 4);
        }
    }
}
