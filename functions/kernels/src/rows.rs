//! Products of rows with a matrix that does not change: what dense layers and convolutions come down to.
//!
//! The matrix, the weights, is packed once: blocks of eight columns, of each step the eight numbers together. Rows are
//! packed as they come, in [strips](parts); a strip stays in the cache until it has met all blocks. A tile of the result starts
//! from the bias and has its activation done before it is stored.

mod strips;

use std::mem::MaybeUninit;
use std::ops::Range;

pub use self::strips::{PART, Part, pack, parts};
use self::strips::{TALL, by_twelve, over, pack_apart, tall};
use crate::activation::{Activation, Vectors};
use crate::tile::{SHORT, STRAIGHT, Sums, TIGHT, multiply};
use crate::tune::Tune;
use crate::twelve;
use crate::vector::F32x4;
use crate::weights::vector;

/// Columns of a block.
const BLOCK: usize = 8;

/// Vectors of a block.
const VECTORS: usize = BLOCK / 4;

/// Steps of a row by itself between two turns of a loop, where all its sums are saved. With twice as many, long rows take longer.
const STEPS: usize = 32;

/// What the sums of a block begin with where the bias comes last.
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

/// Bytes of strips that are packed at a time: they stay in the second cache beside a block of weights.
const STRIPS_BYTES: usize = 96 << 10;

/// Bytes of weights that each tall strip meets before the next does: they stay in the second cache, and the strip in the first.
const GROUP_BYTES: usize = 256 << 10;

/// Bytes of results that are written at a time, block by block: they stay in the second cache too.
const RESULTS_BYTES: usize = 256 << 10;

/// Weights, packed: a matrix of as many rows as a product has steps, and a bias for each of its columns.
pub struct Weights {
    depth: usize,
    columns: usize,
    blocks: Box<[F32x4]>,
    bias: Box<[F32x4]>,
}

/// Rows of a result: where they begin, and how many numbers apart.
#[derive(Clone, Copy)]
pub struct Target {
    /// The first number.
    pub to: *mut f32,
    /// From one row to the next.
    pub stride: usize,
}

impl Weights {
    /// Packs `depth` by `columns` weights, of which `weight` tells each by its step and its column, and a bias for each column.
    ///
    /// # Panics
    ///
    /// Panics where `depth` is 0.
    pub fn pack(
        depth: usize,
        columns: usize,
        weight: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Weights {
        assert!(depth > 0, "a product has a step");
        let count = columns.div_ceil(BLOCK);
        let mut blocks = Vec::with_capacity(count * depth * VECTORS);
        let mut biases = Vec::with_capacity(count * VECTORS);
        for block in 0..count {
            let firsts = (0..VECTORS).map(|index| block * BLOCK + 4 * index);
            for step in 0..depth {
                blocks.extend(firsts.clone().map(|first| vector(columns, first, |column| weight(step, column))));
            }
            biases.extend(firsts.map(|first| vector(columns, first, &bias)));
        }
        Weights { depth, columns, blocks: blocks.into(), bias: biases.into() }
    }

    /// Room for weights that come later, with [`fill`](Self::fill); no bias.
    ///
    /// # Panics
    ///
    /// Panics where `depth` is 0.
    pub fn empty(depth: usize, columns: usize) -> Weights {
        assert!(depth > 0, "a product has a step");
        let count = columns.div_ceil(BLOCK);
        let zeros = |vectors: usize| vec![F32x4::ZERO; vectors].into();
        Weights { depth, columns, blocks: zeros(count * depth * VECTORS), bias: zeros(count * VECTORS) }
    }

    /// Packs other weights of the same size: of a matrix whose numbers begin at `from`, `step` apart from one step to the next
    /// and `column` apart from one column to the next. One of the two is 1.
    ///
    /// # Safety
    ///
    /// There are as many numbers there.
    pub unsafe fn fill(&mut self, from: *const f32, step: usize, column: usize) {
        let (depth, columns) = (self.depth, self.columns);
        let to: *mut f32 = self.blocks.as_mut_ptr().cast();
        // SAFETY: as the caller says; there is room for all blocks.
        unsafe {
            for first in (0..columns).step_by(BLOCK) {
                let to = to.add(first * depth);
                let count = (columns - first).min(BLOCK);
                let from = from.add(first * column);
                if column == 1 && count == BLOCK {
                    for at in 0..depth {
                        let from = from.add(at * step);
                        F32x4::load(from).store(to.add(at * BLOCK));
                        F32x4::load(from.add(4)).store(to.add(at * BLOCK + 4));
                    }
                } else if step == 1 {
                    for half in [0, PART] {
                        // The last column again where there are fewer: what is made of it is left out.
                        let rows = std::array::from_fn(|index| from.add((half + index).min(count - 1) * column));
                        pack_apart::<BLOCK>(rows, depth, to.add(half));
                    }
                } else {
                    for at in 0..depth {
                        to.add(at * BLOCK).copy_from_nonoverlapping(from.add(at * step), count);
                    }
                }
            }
        }
    }

    /// Steps of a product: the numbers of a row.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Numbers of a row of the result.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many numbers are packed, biases included.
    pub fn volume(&self) -> usize {
        4 * (self.blocks.len() + self.bias.len())
    }

    /// How many rows [`multiply`](Self::multiply) should be given at a time, at the most: whole strips.
    pub fn rows_at_a_time(&self) -> usize {
        let strips = STRIPS_BYTES / (self.depth * size_of::<f32>());
        let results = RESULTS_BYTES / (self.columns.max(1) * size_of::<f32>());
        let rows = strips.min(results);
        match tall(rows, self.depth) {
            0 => (rows / PART).max(1) * PART,
            strips => strips * TALL,
        }
    }

    /// The vectors that so many rows are, packed.
    pub fn vectors(&self, rows: usize) -> usize {
        strips::count(rows) * self.depth
    }

    /// The room that so many rows take at the most, or fewer, packed, in vectors.
    pub fn room_for(&self, rows: usize) -> usize {
        strips::most(rows) * self.depth
    }

    /// Writes the product of `rows` rows, packed as [`parts`] has them.
    ///
    /// # Safety
    ///
    /// There is room for `rows` rows of [`columns`](Self::columns) numbers at `target`.
    ///
    /// # Panics
    ///
    /// Panics where less is packed than rows need.
    pub unsafe fn multiply(&self, rows: usize, strips: &[F32x4], target: Target, activation: Activation) {
        assert!(strips.len() >= self.vectors(rows), "{rows} rows of {} are packed", self.depth);
        let strips: *const f32 = strips.as_ptr().cast();
        let in_tall = tall(rows, self.depth) * TALL;
        let in_tiles = rows - over(rows);
        // Where tiles may have twelve vectors, those of four rows have their bias last.
        let bias_first = if self.depth > SHORT { rows / TALL * TALL } else { in_tiles };
        let panel = self.panel(activation);
        let blocks = self.columns.div_ceil(BLOCK);
        // Some are multiplied by two blocks at once, some by three.
        let at_once = (GROUP_BYTES / (self.depth * 6 * BLOCK * size_of::<f32>())).max(1) * 6;
        for first in (0..blocks).step_by(at_once) {
            let group = first..(first + at_once).min(blocks);
            // SAFETY: there are as many strips and as much room.
            unsafe {
                self.tall_strips(0..in_tall, group.clone(), strips, target, panel);
                self.strips(in_tall..bias_first, group.clone(), 0, strips, target, panel);
                let threes = (group.end.min(self.columns / BLOCK) - first) / 3 * 3;
                self.strips(bias_first..in_tiles, group.clone(), threes, strips, target, panel);
                self.rows(in_tiles..rows, group, strips, target, panel);
            }
        }
    }

    /// The product of rows in tall strips with some blocks. A strip stays in the first cache until it has met all of them.
    unsafe fn tall_strips(
        &self,
        rows: Range<usize>,
        blocks: Range<usize>,
        strips: *const f32,
        target: Target,
        mut panel: Panel,
    ) {
        for row in rows.step_by(TALL) {
            for block in blocks.clone() {
                panel.at(self, block);
                // SAFETY: as the caller says.
                unsafe {
                    let to = target.to.add(row * target.stride + block * BLOCK);
                    let columns = (self.columns - block * BLOCK).min(BLOCK);
                    panel.tall_tiles(strips.add(row * self.depth), columns, Target { to, ..target });
                }
            }
        }
    }

    /// The product of rows in strips of four with some blocks, of which so many, a multiple of three, have their bias last.
    unsafe fn strips(
        &self,
        rows: Range<usize>,
        blocks: Range<usize>,
        threes: usize,
        strips: *const f32,
        target: Target,
        mut panel: Panel,
    ) {
        if rows.is_empty() {
            return;
        }
        let whole = self.columns / BLOCK;
        let is_wide = Tune::Aarch64.is_chosen();
        let strips = strips.wrapping_add(rows.start * self.depth);
        let to = target.to.wrapping_add(rows.start * target.stride);
        let others = blocks.start + threes;
        for block in (blocks.start..others).step_by(3).filter(|_| by_twelve(self.depth)) {
            panel.at(self, block);
            for row in (0..rows.len()).step_by(PART) {
                let (some, to) = ((rows.len() - row).min(PART), to.wrapping_add(row * target.stride + block * BLOCK));
                // SAFETY: as the caller says.
                unsafe { panel.three_blocks(some, strips.add(row * self.depth), Target { to, ..target }) };
            }
        }
        let blocks = if by_twelve(self.depth) { others..blocks.end } else { blocks };
        for block in blocks {
            panel.at(self, block);
            panel.bias_last = [block, block + 1].map(|block| block < others);
            // SAFETY: as the caller says.
            unsafe {
                let to = Target { to: to.wrapping_add(block * BLOCK), ..target };
                let done = if block < whole { rows.len() / PART } else { 0 };
                if !is_wide || block >= whole / 2 * 2 {
                    panel.tiles(done, strips, to);
                } else if block % 2 == 0 {
                    panel.wide_tiles(done, strips, to);
                }
                for row in (done * PART..rows.len()).step_by(PART) {
                    let mut tile = [0.0; PART * BLOCK];
                    let detour = Target { to: tile.as_mut_ptr(), stride: BLOCK };
                    panel.tiles(1, strips.add(row * self.depth), detour);
                    let columns = (self.columns - block * BLOCK).min(BLOCK);
                    for (row, numbers) in (row..rows.len()).zip(tile.chunks_exact(BLOCK)) {
                        to.to.add(row * to.stride).copy_from_nonoverlapping(numbers.as_ptr(), columns);
                    }
                }
            }
        }
    }

    /// The product of rows that have a strip each with some blocks, by two at once. The last may be alone: it is its own other
    /// then.
    unsafe fn rows(
        &self,
        rows: Range<usize>,
        blocks: Range<usize>,
        strips: *const f32,
        target: Target,
        mut panel: Panel,
    ) {
        let strips = strips.wrapping_add(rows.start * self.depth);
        for block in blocks.clone().step_by(2) {
            panel.at(self, block);
            let beside = usize::from(block + 1 < blocks.end);
            let columns = (self.columns - block * BLOCK).min(2 * BLOCK);
            for (row, strip) in rows.clone().zip(0..) {
                // SAFETY: as the caller says.
                unsafe {
                    let to = target.to.add(row * target.stride + block * BLOCK);
                    panel.row(beside, strips.add(strip * PART * self.depth), columns, to);
                }
            }
        }
    }

    /// What tiles have in common, for whichever block [`Panel::at`] is told.
    fn panel(&self, activation: Activation) -> Panel {
        let (weights, bias) = (self.blocks.as_ptr().cast(), self.bias.as_ptr().cast());
        Panel { weights, bias, bias_last: [false; 2], depth: self.depth, activation: Vectors::of(activation) }
    }
}

/// What a tile has registers for, and nothing else: with more in the same function, Cranelift spills.
#[inline(never)]
unsafe fn product(depth: usize, strip: *const f32, panel: *const Panel, sums: *mut Sums) {
    // SAFETY: as the caller says.
    unsafe {
        let [tile] = multiply::<1, PART, BLOCK, TIGHT>(depth, strip, (*panel).weights, 0, Panel::start(panel));
        sums.write(tile);
    }
}

/// The same of a tall strip, with half of a block.
#[inline(never)]
unsafe fn tall_product(depth: usize, strip: *const f32, panel: *const Panel, first: usize, sums: *mut twelve::Sums) {
    // SAFETY: as the caller says.
    unsafe {
        let (weights, bias) = ((*panel).weights.add(first), (*panel).bias.add(first));
        sums.write(twelve::multiply::<TALL, BLOCK>(depth, strip, None, weights, F32x4::load(bias)));
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
        sums.write(twelve::multiply::<BLOCK, PART>(depth, whole, Some(half), strip, F32x4::ZERO));
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
#[derive(Clone, Copy)]
struct Panel {
    weights: *const f32,
    bias: *const f32,
    /// Whether tiles with this block, and with the next, have the bias added at their end: those of twelve columns cannot begin
    /// with it, and others that are in their stead do the same, so that the bits of a result do not depend on the processor
    /// that kernels are chosen for.
    bias_last: [bool; 2],
    depth: usize,
    activation: Vectors,
}

impl Panel {
    /// The same for a block, and those behind it.
    fn at(&mut self, weights: &Weights, block: usize) {
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

    /// Two tiles of a tall strip, or one where there are no more than four columns.
    #[inline(always)]
    unsafe fn tall_tiles(&self, strip: *const f32, columns: usize, target: Target) {
        let mut room = MaybeUninit::<twelve::Sums>::uninit();
        for first in (0..columns).step_by(4) {
            // SAFETY: as the caller says; the sums are written before they are read.
            unsafe {
                tall_product(self.depth, strip, self, first, room.as_mut_ptr());
                let to = target.to.add(first);
                let sums: *const F32x4 = room.as_ptr().cast();
                if columns - first >= 4 {
                    write_tall(sums, &self.activation, to, target.stride);
                    continue;
                }
                for row in 0..TALL {
                    self.activation.write(*sums.add(row), to.add(row * target.stride), columns - first);
                }
            }
        }
    }

    /// Two tiles of a strip of four with three blocks, of which so many rows are wanted.
    unsafe fn three_blocks(&self, rows: usize, strip: *const f32, target: Target) {
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
    unsafe fn tiles(&self, mut count: usize, mut strip: *const f32, target: Target) {
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
                write::<true>(sums, self.bias.add(block * BLOCK), &self.activation, to, stride);
            } else {
                write::<false>(sums, self.bias, &self.activation, to, stride);
            }
        }
    }

    /// Two tiles for each of so many strips, with the next block.
    unsafe fn wide_tiles(&self, count: usize, mut strip: *const f32, target: Target) {
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
    unsafe fn row(&self, beside: usize, mut row: *const f32, columns: usize, to: *mut f32) {
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

/// Writes what becomes of a tile's sums, with its bias or without. Its rows are no loop, as all vectors would be saved where it
/// turns.
#[inline(always)]
unsafe fn write<const BIAS: bool>(
    sums: *const Sums,
    bias: *const f32,
    activation: *const Vectors,
    to: *mut f32,
    stride: usize,
) {
    macro_rules! rows {
        ($of:path: $($row:literal)*) => {$(
            let row = to.wrapping_add($row * stride);
            for index in 0..VECTORS {
                let sum = (*sums)[$row][index];
                let sum = if BIAS { sum + F32x4::load(bias.add(4 * index)) } else { sum };
                $of(activation, sum).store(row.add(4 * index));
            }
        )*};
    }
    // SAFETY: as the caller says.
    unsafe {
        if (*activation).gated {
            rows!(Vectors::gate: 0 1 2 3);
        } else {
            rows!(Vectors::clip: 0 1 2 3);
        }
    }
}

/// The same of a tall tile's sums.
#[inline(always)]
unsafe fn write_tall(sums: *const F32x4, activation: *const Vectors, to: *mut f32, stride: usize) {
    macro_rules! rows {
        ($of:path: $($row:literal)*) => {$(
            $of(activation, *sums.add($row)).store(to.wrapping_add($row * stride));
        )*};
    }
    // SAFETY: as the caller says.
    unsafe {
        if (*activation).gated {
            rows!(Vectors::gate: 0 1 2 3 4 5 6 7 8 9 10 11);
        } else {
            rows!(Vectors::clip: 0 1 2 3 4 5 6 7 8 9 10 11);
        }
    }
}

#[cfg(test)]
mod tests;
