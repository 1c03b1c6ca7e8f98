//! Products of rows of bytes with a matrix of bytes that does not change, exact in `i32`, and what is made of them: floats, or
//! bytes again.
//!
//! Rows are packed four to a strip, of each four steps the four rows' bytes together, as `i8`. Weights are packed in blocks of eight
//! columns. A block whose weights span no more than seven bits is multiplied 16 bytes at a time by relaxed SIMD's dot product, whose
//! result is the same everywhere as long as one factor is from 0 to 127; a few weights beyond that are made up for one by one. All
//! other blocks, and all where there is no relaxed SIMD, are widened to 16 bits and multiplied eight at a time.
//!
//! What weights are moved by to fit, and the zero points of both sides, are made up for in the sums: with the sum of each row and of each
//! column, as [gemmlowp](https://github.com/google/gemmlowp/blob/master/doc/low-precision.md) has it.

use std::mem::MaybeUninit;

use crate::activation::Bounds;
use crate::integers::I32x4;
use crate::vector::F32x4;

mod bytes;
mod loops;
mod transpose;

pub use bytes::{dequantize, quantize, range};
pub use transpose::transpose;

/// Columns of a block.
const BLOCK: usize = 8;

/// Vectors of a block.
const VECTORS: usize = BLOCK / 4;

/// Steps that are packed together.
const STEPS: usize = 4;

/// Rows of a strip.
pub const STRIP: usize = 4;

/// Bytes of strips that are packed at a time.
const STRIPS_BYTES: usize = 64 << 10;

/// Bytes of results, as floats, that are written at a time.
const RESULTS_BYTES: usize = 256 << 10;

type Tile = [[I32x4; VECTORS]; STRIP];

/// Bytes, and whether they have signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `u8`.
    Unsigned,
    /// `i8`.
    Signed,
}

/// How floats become bytes: `saturate(round(x / scale) + zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// What bytes are made.
    pub kind: Kind,
    /// What 1 stands for.
    pub scale: f32,
    /// What stands for 0: one of these bytes.
    pub zero_point: i32,
}

impl Quantization {
    /// The least and the largest multiple of the scale that there is a byte for.
    fn multiples(self) -> [f32; 2] {
        let [least, most] = match self.kind {
            Kind::Unsigned => [0, 255],
            Kind::Signed => [-128, 127],
        };
        [(least - self.zero_point) as f32, (most - self.zero_point) as f32]
    }
}

/// A weight that does not fit into seven bits beside the others of its column.
struct Outlier {
    step: usize,
    column: usize,
    /// What is missing of it.
    rest: i32,
}

struct Block {
    narrow: bool,
    outliers: Box<[Outlier]>,
}

/// Weights, packed: a matrix of as many rows as a product has steps, and what makes floats of a column's sums.
pub struct Weights {
    depth: usize,
    columns: usize,
    blocks: Box<[Block]>,
    panels: Box<[i8]>,
    /// What a column's weights have been moved by.
    moved: Box<[I32x4]>,
    /// The sum of a column's weights.
    sums: Box<[I32x4]>,
    factors: Box<[F32x4]>,
    summands: Box<[F32x4]>,
}

/// Rows that are packed.
pub struct Strips {
    bytes: Vec<i8>,
    sums: Vec<I32x4>,
    groups: usize,
}

/// Where a result goes.
#[derive(Clone, Copy)]
pub enum Target {
    /// Floats: where they begin, and how many from one row to the next.
    Floats(*mut f32, usize),
    /// Bytes.
    Bytes(*mut u8, usize, Quantization),
}

/// The weight at which a column begins to be moved, and by how much, for seven bits or for eight.
fn moved(column: impl Iterator<Item = i32>, narrow: bool) -> i32 {
    let (low, high) = column.fold((0, 0), |(low, high), weight| (weight.min(low), weight.max(high)));
    match narrow {
        true if high - low <= 127 => -low,
        true => 64,
        false if low >= -128 && high <= 127 => 0,
        false => -128 - low,
    }
}

impl Weights {
    /// Packs `depth` by `columns` weights, of which `weight` tells each by its step and its column, its zero point already
    /// taken off; each is from -255 to 255, those of a column within 256 of each other. `factor` and `summand` make a float of
    /// a column's sum.
    ///
    /// # Panics
    ///
    /// Panics where `depth` is 0, or where a weight is none of two such bytes' difference.
    pub fn pack(
        depth: usize,
        columns: usize,
        weight: impl Fn(usize, usize) -> i32,
        factor: impl Fn(usize) -> f32,
        summand: impl Fn(usize) -> f32,
    ) -> Weights {
        assert!(depth > 0, "a product has a step");
        let groups = depth.div_ceil(STEPS);
        let count = columns.div_ceil(BLOCK);
        let mut panels = Vec::with_capacity(count * groups * STEPS * BLOCK);
        let mut blocks = Vec::with_capacity(count);
        let (mut all_moved, mut sums, mut factors, mut summands) = (vec![], vec![], vec![], vec![]);
        for first in (0..columns).step_by(BLOCK) {
            let at = |step: usize, column: usize| {
                if step < depth && first + column < columns { weight(step, first + column) } else { 0 }
            };
            let of_column = |column: usize| (0..depth).map(move |step| at(step, column));
            let fits = |narrow: bool| {
                let by: [i32; BLOCK] = std::array::from_fn(|column| moved(of_column(column), narrow));
                let outliers: Vec<Outlier> = (0..BLOCK * depth)
                    .map(|index| (index / depth, index % depth))
                    .filter_map(|(column, step)| {
                        let rest = outside(at(step, column) + by[column], narrow);
                        (rest != 0).then_some(Outlier { step, column, rest })
                    })
                    .collect();
                (by, outliers)
            };
            let (mut by, mut outliers) = fits(true);
            let narrow = loops::NARROW && outliers.len() <= depth / 16;
            if !narrow {
                (by, outliers) = fits(false);
                assert!(outliers.is_empty(), "weights are bytes");
            }
            let mut push = |step: usize, column: usize| {
                // What is behind the last step is nothing, not moved either.
                let weight = if step < depth { at(step, column) + by[column] } else { 0 };
                panels.push((weight - outside(weight, narrow)) as i8);
            };
            for group in 0..groups {
                let together = if narrow { STEPS } else { 2 };
                for part in (0..STEPS).step_by(together) {
                    for column in 0..BLOCK {
                        for step in 0..together {
                            push(group * STEPS + part + step, column);
                        }
                    }
                }
            }
            blocks.push(Block { narrow, outliers: outliers.into() });
            for vector in 0..VECTORS {
                let lanes = |of: &dyn Fn(usize) -> i32| integers(std::array::from_fn(|lane| of(4 * vector + lane)));
                all_moved.push(lanes(&|column| by[column]));
                sums.push(lanes(&|column| of_column(column).sum()));
                let floats = |of: &dyn Fn(usize) -> f32| {
                    let numbers: [f32; 4] = std::array::from_fn(|lane| {
                        let column = first + 4 * vector + lane;
                        if column < columns { canonical(of(column)) } else { 0.0 }
                    });
                    // SAFETY: there are four numbers.
                    unsafe { F32x4::load(numbers.as_ptr()) }
                };
                factors.push(floats(&factor));
                summands.push(floats(&summand));
            }
        }
        Weights {
            depth,
            columns,
            blocks: blocks.into(),
            panels: panels.into(),
            moved: all_moved.into(),
            sums: sums.into(),
            factors: factors.into(),
            summands: summands.into(),
        }
    }

    /// Steps of a product: the bytes of a row.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Numbers of a row of the result.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many bytes of weights are packed.
    pub fn volume(&self) -> usize {
        self.panels.len()
    }

    /// How many of the blocks of eight columns are multiplied 16 bytes at a time.
    pub fn narrow_blocks(&self) -> usize {
        self.blocks.iter().filter(|block| block.narrow).count()
    }

    /// How many rows should be packed at a time, at the most: a multiple of [`STRIP`].
    pub fn rows_at_a_time(&self) -> usize {
        let strips = STRIPS_BYTES / (self.depth.div_ceil(STEPS) * STEPS * STRIP);
        let results = RESULTS_BYTES / (self.columns.max(1) * STRIP * 4);
        strips.min(results).max(1) * STRIP
    }

    /// Room for so many packed rows.
    pub fn strips(&self, rows: usize) -> Strips {
        let groups = self.depth.div_ceil(STEPS);
        let strips = rows.div_ceil(STRIP);
        // The loops load eight bytes where the last four are all that there are.
        Strips { bytes: vec![0; strips * groups * STEPS * STRIP + 8], sums: vec![I32x4::ZERO; strips], groups }
    }

    /// What the zero point of the rows adds to the sums of each column.
    pub fn constants(&self, kind: Kind, zero_point: i32) -> Vec<I32x4> {
        // The rows are packed as `i8`.
        let zero_point = if kind == Kind::Unsigned { zero_point - 128 } else { zero_point };
        self.sums.iter().map(|sum| *sum * I32x4::splat(zero_point)).collect()
    }

    /// Writes what is made of the product of `rows` packed rows.
    ///
    /// # Safety
    ///
    /// There is room for `rows` rows of [`columns`](Self::columns) numbers at `target`.
    ///
    /// # Panics
    ///
    /// Panics where there are fewer strips than rows need, or not a constant for each column.
    pub unsafe fn multiply(&self, rows: usize, strips: &Strips, constants: &[I32x4], target: Target, bounds: Bounds) {
        let groups = self.depth.div_ceil(STEPS);
        assert!(
            strips.groups == groups && strips.sums.len() * STRIP >= rows,
            "{rows} rows of {} are packed",
            self.depth
        );
        assert_eq!(constants.len(), self.sums.len(), "a constant for each column");
        // Not zeros first: Wasmtime writes these by a call.
        let mut room = MaybeUninit::uninit();
        for (index, block) in self.blocks.iter().enumerate() {
            let panel = self.panels[index * groups * STEPS * BLOCK..].as_ptr();
            let columns = (self.columns - index * BLOCK).min(BLOCK);
            let end = self.end(index, constants, bounds, target);
            for first in (0..rows).step_by(STRIP) {
                let strip = first / STRIP;
                let some = (rows - first).min(STRIP);
                let bytes = strips.bytes[strip * groups * STEPS * STRIP..].as_ptr();
                // SAFETY: there are as many groups in both.
                unsafe { loops::product(block.narrow, groups, bytes, panel, &mut room) };
                // SAFETY: it has been written, and stays where it is: a copy would be a call of the host.
                let tile = unsafe { room.assume_init_mut() };
                if !block.outliers.is_empty() {
                    add_outliers(&block.outliers, &strips.bytes[strip * groups * STEPS * STRIP..], STRIP, tile);
                }
                // SAFETY: as the caller says.
                unsafe { end.write(tile, strips.sums[strip], some, columns, target.at(first, index * BLOCK)) };
            }
        }
    }

    /// Writes what is made of the product of one row, which is packed by itself.
    ///
    /// # Safety
    ///
    /// There is room for [`columns`](Self::columns) numbers at `target`.
    ///
    /// # Panics
    ///
    /// As [`multiply`](Self::multiply).
    pub unsafe fn multiply_one(&self, row: &Strips, constants: &[I32x4], target: Target, bounds: Bounds) {
        let groups = self.depth.div_ceil(STEPS);
        assert!(row.groups == groups && !row.sums.is_empty(), "a row of {} is packed", self.depth);
        assert_eq!(constants.len(), self.sums.len(), "a constant for each column");
        for (index, block) in self.blocks.iter().enumerate() {
            let panel = self.panels[index * groups * STEPS * BLOCK..].as_ptr();
            let columns = (self.columns - index * BLOCK).min(BLOCK);
            let mut tile: Tile = [[I32x4::ZERO; VECTORS]; STRIP];
            // SAFETY: there are as many groups in both.
            unsafe { loops::product_of_one(block.narrow, groups, row.bytes.as_ptr(), panel, &mut tile[0]) };
            add_outliers(&block.outliers, &row.bytes, 1, &mut tile);
            let end = self.end(index, constants, bounds, target);
            // SAFETY: as the caller says.
            unsafe { end.write(&tile, row.sums[0], 1, columns, target.at(0, index * BLOCK)) };
        }
    }
}

impl Weights {
    /// What is done with the sums of a block.
    fn end(&self, block: usize, constants: &[I32x4], bounds: Bounds, target: Target) -> End {
        let at = block * VECTORS;
        let (multiple, zero, [least, most]) = match target {
            Target::Floats(..) => (1.0, 0, [f32::NEG_INFINITY, f32::INFINITY]),
            Target::Bytes(_, _, quantization) => {
                (canonical(quantization.scale.recip()), quantization.zero_point, quantization.multiples())
            }
        };
        // Rounding keeps order: bounds of floats are bounds of multiples, which a scale below 0 has change places. Zero times
        // infinity is what is made of no number.
        let bound = |x: f32| if (x * multiple).is_nan() { 0.0 } else { (x * multiple).clamp(least, most) };
        let [low, high] = [bound(bounds.low), bound(bounds.high)];
        let [low, high] = if multiple < 0.0 { [high, low] } else { [low, high] };
        End {
            moved: [self.moved[at], self.moved[at + 1]],
            constant: [constants[at], constants[at + 1]],
            factor: [self.factors[at], self.factors[at + 1]],
            summand: [self.summands[at], self.summands[at + 1]],
            multiple: F32x4::splat(multiple),
            low: F32x4::splat(low),
            high: F32x4::splat(high),
            zero: I32x4::splat_byte(zero as u8),
        }
    }
}

/// By how much a weight, moved, is beyond the bits that there are.
fn outside(weight: i32, narrow: bool) -> i32 {
    weight - if narrow { weight.clamp(0, 127) } else { weight.clamp(-128, 127) }
}

/// The number, or the NaN whose lowest byte is 0: bytes are taken from there.
fn canonical(x: f32) -> f32 {
    if x.is_nan() { f32::NAN } else { x }
}

fn integers(numbers: [i32; 4]) -> I32x4 {
    // SAFETY: there are 16 bytes.
    unsafe { I32x4::load(numbers.as_ptr().cast()) }
}

/// Adds what is missing of some weights to a tile, of which the strip has `rows` rows.
fn add_outliers(outliers: &[Outlier], strip: &[i8], rows: usize, tile: &mut Tile) {
    for Outlier { step, column, rest } in outliers {
        for (row, sums) in tile.iter_mut().enumerate().take(rows) {
            let byte = strip[step / STEPS * STEPS * rows + row * STEPS + step % STEPS];
            let mut lanes = [0; 4];
            lanes[column % 4] = i32::from(byte) * rest;
            sums[column / 4] = sums[column / 4] + integers(lanes);
        }
    }
}

impl Strips {
    /// Packs four rows of bytes as the strip of a number.
    ///
    /// # Safety
    ///
    /// There are `depth` bytes at each row, as many as the weights have steps that this has been made for.
    ///
    /// # Panics
    ///
    /// Panics where there is no such strip.
    pub unsafe fn pack(&mut self, strip: usize, rows: [*const u8; STRIP], depth: usize, kind: Kind) {
        assert_eq!(depth.div_ceil(STEPS), self.groups, "rows are as long as the weights are deep");
        let to = self.bytes[strip * self.groups * STEPS * STRIP..][..self.groups * STEPS * STRIP].as_mut_ptr();
        // SAFETY: as the caller says, and there is as much room.
        self.sums[strip] = unsafe { bytes::pack(rows, depth, kind, to) };
    }

    /// Packs a row by itself, for [`Weights::multiply_one`].
    ///
    /// # Safety
    ///
    /// There are `depth` bytes, as many as the weights have steps that this has been made for.
    ///
    /// # Panics
    ///
    /// Panics where there is no room.
    pub unsafe fn pack_one(&mut self, row: *const u8, depth: usize, kind: Kind) {
        assert_eq!(depth.div_ceil(STEPS), self.groups, "the row is as long as the weights are deep");
        let flip = if kind == Kind::Unsigned { 0x80 } else { 0 };
        // SAFETY: as the caller says.
        let row = unsafe { std::slice::from_raw_parts(row, depth) };
        let mut sum = 0;
        for (to, byte) in self.bytes.iter_mut().zip(row) {
            *to = (byte ^ flip) as i8;
            sum += i32::from(*to);
        }
        self.sums[0] = I32x4::splat(sum);
    }
}

impl Target {
    /// The same from a row and a column on.
    ///
    /// # Safety
    ///
    /// There is such a place.
    unsafe fn at(self, row: usize, column: usize) -> Target {
        // SAFETY: as the caller says.
        unsafe {
            match self {
                Target::Floats(to, stride) => Target::Floats(to.add(row * stride + column), stride),
                Target::Bytes(to, stride, quantization) => {
                    Target::Bytes(to.add(row * stride + column), stride, quantization)
                }
            }
        }
    }
}

/// What is done with the sums of a block.
struct End {
    moved: [I32x4; VECTORS],
    constant: [I32x4; VECTORS],
    factor: [F32x4; VECTORS],
    summand: [F32x4; VECTORS],
    /// For bytes: what 1 is in multiples of their scale; else 1.
    multiple: F32x4,
    /// Bounds of those multiples.
    low: F32x4,
    high: F32x4,
    zero: I32x4,
}

impl End {
    /// Writes `rows` rows of a tile, whose bytes add up to `sums`, and `columns` of its columns.
    ///
    /// # Safety
    ///
    /// There is as much room at `target`.
    unsafe fn write(&self, tile: &Tile, sums: I32x4, rows: usize, columns: usize, target: Target) {
        let whole = rows == STRIP && columns == BLOCK;
        // SAFETY: as the caller says; a detour has room for a tile.
        unsafe {
            match target {
                Target::Floats(to, stride) if whole => write_floats(self, tile, sums, to, stride),
                Target::Floats(to, stride) => {
                    let mut made = [0.0; STRIP * BLOCK];
                    write_floats(self, tile, sums, made.as_mut_ptr(), BLOCK);
                    for (row, numbers) in made.chunks_exact(BLOCK).enumerate().take(rows) {
                        to.add(row * stride).copy_from_nonoverlapping(numbers.as_ptr(), columns);
                    }
                }
                Target::Bytes(to, stride, _) if whole => write_bytes(self, tile, sums, to, stride),
                Target::Bytes(to, stride, _) => {
                    let mut made = [0; STRIP * BLOCK];
                    write_bytes(self, tile, sums, made.as_mut_ptr(), BLOCK);
                    for (row, bytes) in made.chunks_exact(BLOCK).enumerate().take(rows) {
                        to.add(row * stride).copy_from_nonoverlapping(bytes.as_ptr(), columns);
                    }
                }
            }
        }
    }
}

/// Of a row and a vector of a tile, the floats within bounds; what is behind pointers is read where it is used.
#[inline(always)]
unsafe fn floats<const ROW: usize, const V: usize>(end: *const End, tile: *const Tile, sums: I32x4) -> F32x4 {
    // SAFETY: as the caller says.
    unsafe {
        let sum = (*tile)[ROW][V] - (*end).moved[V] * sums.lane::<ROW>() - (*end).constant[V];
        let float = sum.floats().mul_add((*end).factor[V], (*end).summand[V]);
        (float * (*end).multiple).at_least((*end).low).at_most((*end).high)
    }
}

/// A whole tile, without a loop, as all vectors would be saved where it turns.
#[inline(never)]
unsafe fn write_floats(end: *const End, tile: *const Tile, sums: I32x4, to: *mut f32, stride: usize) {
    macro_rules! rows {
        ($($row:literal)*) => {$(
            let row = to.wrapping_add($row * stride);
            floats::<$row, 0>(end, tile, sums).store(row);
            floats::<$row, 1>(end, tile, sums).store(row.wrapping_add(4));
        )*};
    }
    // SAFETY: as the caller says.
    unsafe {
        rows!(0 1 2 3);
    }
}

/// The same as bytes, two rows of which are a vector.
#[inline(never)]
unsafe fn write_bytes(end: *const End, tile: *const Tile, sums: I32x4, to: *mut u8, stride: usize) {
    macro_rules! rows {
        ($($row:literal $next:literal)*) => {$(
            let numbers = [
                floats::<$row, 0>(end, tile, sums),
                floats::<$row, 1>(end, tile, sums),
                floats::<$next, 0>(end, tile, sums),
                floats::<$next, 1>(end, tile, sums),
            ];
            let bytes = I32x4::nearest_bytes(numbers).add_bytes((*end).zero);
            bytes.store_half::<0>(to.wrapping_add($row * stride).cast());
            bytes.store_half::<1>(to.wrapping_add($next * stride).cast());
        )*};
    }
    // SAFETY: as the caller says.
    unsafe {
        rows!(0 1 2 3);
    }
}

#[cfg(test)]
mod tests;
