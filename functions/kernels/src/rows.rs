//! Products of rows with a matrix that does not change: what dense layers and convolutions come down to.
//!
//! The matrix, the weights, is packed once: blocks of eight columns, of each step the eight numbers together. Rows that lie in
//! memory, or are [laid there](lying_parts), are [multiplied as they lie](Weights::multiply_lying), five at a time. Where those are
//! too few, they are packed in [strips](parts); a strip stays in the cache until it has met all blocks. A tile of the result has its
//! bias and its activation done before it is stored.

mod fives;
mod panel;
mod strips;

use std::mem::MaybeUninit;
use std::ops::Range;

use self::fives::{FIVES, Five};
use self::panel::Panel;
pub use self::strips::{PART, Part, lying_parts, pack, parts};
use self::strips::{by_twelve, over, pack_apart};
use crate::activation::Activation;
use crate::five;
use crate::tile::SHORT;
use crate::tune::Tune;
use crate::vector::F32x4;
use crate::weights::vector;

/// Columns of a block.
const BLOCK: usize = 8;

/// Vectors of a block.
const VECTORS: usize = BLOCK / 4;

/// Bytes of strips that are packed at a time: they stay in the second cache beside a block of weights.
const STRIPS_BYTES: usize = 96 << 10;

/// Bytes of weights that some rows meet before the next do: they stay in the second cache, and the rows in the first.
const GROUP_BYTES: usize = 256 << 10;

/// Bytes of results that are written at a time, block by block: they stay in the second cache too.
const RESULTS_BYTES: usize = 256 << 10;

/// More bytes of weights than these do not stay in the second cache from some rows to the next: each time, they come from memory or
/// the third, which the arithmetic does not hide.
const LARGE_BYTES: usize = 512 << 10;

/// Bytes of strips, and of results, that are done at a time with such weights, so that these are read less often.
const MANY_BYTES: usize = 800 << 10;

/// Bytes of rows as they lie that each block of weights meets before the next does: they stay in the first cache, as the block
/// does.
const NEAR_BYTES: usize = 16 << 10;

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

    /// How many rows should be multiplied at a time.
    fn rows_at_once(&self) -> usize {
        let is_large = size_of_val(&*self.blocks) > LARGE_BYTES;
        let [strips, results] = if is_large { [MANY_BYTES; 2] } else { [STRIPS_BYTES, RESULTS_BYTES] };
        let strips = strips / (self.depth * size_of::<f32>());
        let results = results / (self.columns.max(1) * size_of::<f32>());
        strips.min(results)
    }

    /// How many rows should be packed at a time, at the most: whole strips, and whole tiles of rows as they lie.
    pub fn rows_at_a_time(&self) -> usize {
        let rows = self.rows_at_once();
        let whole = PART * five::ROWS;
        if rows >= whole { rows / whole * whole } else { (rows / PART).max(1) * PART }
    }

    /// The vectors that so many rows are, packed.
    pub fn vectors(&self, rows: usize) -> usize {
        strips::count(rows) * self.depth
    }

    /// The room that so many rows take at the most, or fewer, packed, in vectors.
    pub fn room_for(&self, rows: usize) -> usize {
        strips::most(rows) * self.depth
    }

    /// Whether so many rows that lie in memory are multiplied by [`multiply_lying`](Self::multiply_lying), and not packed: where
    /// that is faster, and not where there are registers for larger tiles.
    pub fn takes_lying(&self, rows: usize) -> bool {
        rows >= five::ROWS && !Tune::Aarch64.is_chosen()
    }

    /// How many of so many rows [`multiply_lying`](Self::multiply_lying) should be given next.
    pub fn lying_at_a_time(&self, rows: usize) -> usize {
        let some = (self.rows_at_once() / five::ROWS).max(1) * five::ROWS;
        // Fewer than a tile has would be too few for the next time.
        if rows < some + five::ROWS { rows } else { some }
    }

    /// Writes the product of `rows` rows, five or more, of which `row` tells where each lies. Where they are no multiple of five,
    /// some are computed twice.
    ///
    /// # Safety
    ///
    /// There is each of as many rows, and there is room for as many rows of [`columns`](Self::columns) numbers at `target`.
    ///
    /// # Panics
    ///
    /// Panics where there are fewer than five rows.
    // Its room would be on the stack of those who pack as well, and a page more be written to.
    #[inline(never)]
    pub unsafe fn multiply_lying(
        &self,
        rows: usize,
        row: impl Fn(usize) -> *const f32,
        target: Target,
        activation: Activation,
    ) {
        let last = rows.checked_sub(five::ROWS).expect("as many rows as a tile has");
        let mut panel = Panel::new(self, activation);
        let blocks = self.columns.div_ceil(BLOCK);
        let near = (NEAR_BYTES / (self.depth * size_of::<f32>()) / five::ROWS).clamp(1, FIVES) * five::ROWS;
        let at_once = (GROUP_BYTES / (self.depth * BLOCK * size_of::<f32>())).max(1);
        // Not zeros: Wasmtime writes these by a call.
        let mut room = [const { MaybeUninit::<Five>::uninit() }; FIVES];
        for first_block in (0..blocks).step_by(at_once) {
            for first in (0..rows).step_by(near) {
                let count = (rows - first).min(near).div_ceil(five::ROWS);
                for (five, from) in room.iter_mut().zip((first..first + count * five::ROWS).step_by(five::ROWS)) {
                    let from = from.min(last);
                    let five = five.as_mut_ptr();
                    // SAFETY: each is written where there is room for it.
                    unsafe {
                        (&raw mut (*five).rows).write(std::array::from_fn(|index| row(from + index)));
                        (&raw mut (*five).to).write(target.to.wrapping_add(from * target.stride));
                    }
                }
                for block in first_block..(first_block + at_once).min(blocks) {
                    panel.at(self, block);
                    let (offset, columns) = (block * BLOCK, self.columns - block * BLOCK);
                    // SAFETY: there are as many rows and as much room.
                    unsafe { panel.fives(room.as_mut_ptr().cast(), count, offset, columns.min(BLOCK), target.stride) };
                }
            }
        }
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
        let in_tiles = rows - over(rows);
        let mut product =
            Product { weights: self, strips: strips.as_ptr().cast(), target, panel: Panel::new(self, activation) };
        let blocks = self.columns.div_ceil(BLOCK);
        // Some are multiplied by two blocks at once, some by three.
        let at_once = (GROUP_BYTES / (self.depth * 6 * BLOCK * size_of::<f32>())).max(1) * 6;
        for first in (0..blocks).step_by(at_once) {
            let group = first..(first + at_once).min(blocks);
            // Where tiles may have twelve vectors, the bias comes last.
            let whole = if self.depth > SHORT { group.end.min(self.columns / BLOCK) - first } else { 0 };
            // SAFETY: there are as many strips and as much room.
            unsafe {
                product.fours(0..in_tiles, group.clone(), whole / 3 * 3);
                product.ones(in_tiles..rows, group);
            }
        }
    }
}

/// Rows that are multiplied with some blocks of weights at a time.
struct Product<'a> {
    weights: &'a Weights,
    strips: *const f32,
    target: Target,
    panel: Panel,
}

impl Product<'_> {
    /// Where a row is packed: before it are as many numbers as the rows before have.
    fn strip(&self, row: usize) -> *const f32 {
        self.strips.wrapping_add(row * self.weights.depth)
    }

    /// Where a row's numbers of a block go.
    fn to(&self, row: usize, block: usize) -> Target {
        Target { to: self.target.to.wrapping_add(row * self.target.stride + block * BLOCK), ..self.target }
    }

    /// Rows in strips of four. The first blocks, so many, a multiple of three, have their bias last.
    unsafe fn fours(&mut self, rows: Range<usize>, blocks: Range<usize>, threes: usize) {
        if rows.is_empty() {
            return;
        }
        let Weights { depth, columns, .. } = *self.weights;
        let whole = columns / BLOCK;
        let is_wide = Tune::Aarch64.is_chosen();
        let mut others = blocks.clone();
        if by_twelve(depth) {
            others.start += threes;
            for block in (blocks.start..others.start).step_by(3) {
                self.panel.at(self.weights, block);
                for row in rows.clone().step_by(PART) {
                    let some = (rows.end - row).min(PART);
                    // SAFETY: as the caller says.
                    unsafe { self.panel.three_blocks(some, self.strip(row), self.to(row, block)) };
                }
            }
        }
        for block in others {
            self.panel.at(self.weights, block);
            self.panel.bias_last = [block, block + 1].map(|block| block < blocks.start + threes);
            let done = if block < whole { rows.len() / PART } else { 0 };
            let (strip, to) = (self.strip(rows.start), self.to(rows.start, block));
            // SAFETY: as the caller says.
            unsafe {
                if !is_wide || block >= whole / 2 * 2 {
                    self.panel.tiles(done, strip, to);
                } else if block % 2 == 0 {
                    self.panel.wide_tiles(done, strip, to);
                }
            }
            for row in (rows.start + done * PART..rows.end).step_by(PART) {
                let mut tile = [0.0; PART * BLOCK];
                let detour = Target { to: tile.as_mut_ptr(), stride: BLOCK };
                // SAFETY: as the caller says; there is room for a tile.
                unsafe { self.panel.tiles(1, self.strip(row), detour) };
                let columns = (columns - block * BLOCK).min(BLOCK);
                for (row, numbers) in (row..rows.end).zip(tile.chunks_exact(BLOCK)) {
                    // SAFETY: as the caller says.
                    unsafe { self.to(row, block).to.copy_from_nonoverlapping(numbers.as_ptr(), columns) };
                }
            }
        }
    }

    /// Rows that have a strip each, by two blocks at once. The last may be alone: it is its own other then.
    unsafe fn ones(&mut self, rows: Range<usize>, blocks: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let Weights { depth, columns, .. } = *self.weights;
        for block in blocks.clone().step_by(2) {
            self.panel.at(self.weights, block);
            let beside = usize::from(block + 1 < blocks.end);
            let columns = (columns - block * BLOCK).min(2 * BLOCK);
            for row in rows.clone() {
                let strip = self.strip(rows.start).wrapping_add((row - rows.start) * PART * depth);
                // SAFETY: as the caller says.
                unsafe { self.panel.row(beside, strip, columns, self.to(row, block).to) };
            }
        }
    }
}

#[cfg(test)]
mod tests;
