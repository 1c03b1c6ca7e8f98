//! Matrix products for tract: kernels of 8 and 32 rows by 8 columns, for all that is wider than a vector.
//!
//! tract packs both operands into panels, takes a tile of the result at a time, and has the kernel do what comes before and
//! after the multiplication ([`FusedKerSpec`]): bias, clipping, residuals, the store. tract's own kernel keeps all 64
//! numbers of a tile in registers, of which there are too few on x86-64; these multiply four rows at a time, and keep the
//! tile in memory between the steps. What tract does for each tile then weighs less the more rows there are.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

use tract_data::prelude::DatumType;
use tract_linalg::Scaler;
use tract_linalg::isa::{Arch, IsaSet};
use tract_linalg::mmm::{DynKernel, FusedKerSpec, OutputStoreKer, Query, Suitable};
use tract_linalg::mmm_routines::MmmRoutine;
use tract_linalg::mmm_tiers::MmmTier;
use tract_linalg::pack::Packing;

use crate::tile::{ROWS, TIGHT, multiply};
use crate::vector::F32x4;

/// Columns of a tile, and how many numbers of the right panel belong to a step.
const COLUMNS: usize = 8;

/// What numbers are aligned to in the panels, in bytes.
const ALIGNMENT: usize = 16;

type Row = [F32x4; 2];

const ZERO: Row = [F32x4::ZERO; 2];

/// Registers a kernel for tiles of so many rows.
macro_rules! register {
    ($($kernel:ident, $name:literal, $rows:literal;)*) => {
        $(
            static $kernel: LazyLock<DynKernel<$rows, COLUMNS, f32>> = LazyLock::new(|| {
                let (left, right) = (f32::packing($rows), f32::packing(COLUMNS));
                let mut kernel = DynKernel::new($name, run::<$rows>, left.align(ALIGNMENT), right.align(ALIGNMENT));
                kernel.arch = Some(Arch::Wasm32Simd128);
                kernel
            });

            inventory::submit! {
                MmmRoutine { make: || $kernel.mmm() }
            }
        )*

        /// The kernels: their rows, and their names.
        const KERNELS: &[(usize, &str)] = &[$(($rows, $name)),*];
    };
}

register! {
    OF_8, "samara_f32_8x8", 8;
    OF_32, "samara_f32_32x8", 32;
}

inventory::submit! {
    MmmTier {
        arch: Some(Arch::Wasm32Simd128),
        // tract's own for this architecture has 1.
        precedence: 2,
        name: "samara",
        applies: |_| true,
        preferred,
    }
}

/// The kernel for a product. Products with a vector have other kernels, of tract's. Where it does not know the columns yet, tract
/// does not ask, but takes the largest kernels for vectors and for matrices that share a panel: those of 32 rows.
fn preferred(_: &IsaSet, accumulator: DatumType, query: &Query, _: &[Suitable]) -> Option<&'static str> {
    if accumulator != DatumType::F32 || query.n == Some(1) {
        return None;
    }
    let cheapest = match (query.m, query.k) {
        (Some(rows), Some(depth)) => KERNELS.iter().min_by_key(|(of_tile, _)| cost(rows, depth, *of_tile)),
        _ => KERNELS.first(),
    };
    cheapest.map(|(_, name)| *name)
}

/// What eight columns of a product cost in tiles of `of_tile` rows, in hundredths of a nanosecond as they were measured on an
/// AMD EPYC of 2023: rows that are computed for nothing stand against tiles that tract has to care for.
fn cost(rows: usize, depth: usize, of_tile: usize) -> usize {
    const STEP: usize = 36;
    const ROW: usize = 500;
    const TILE: usize = 6000;
    let tiles = rows.div_ceil(of_tile);
    tiles.saturating_mul(TILE.saturating_add(of_tile.saturating_mul(ROW.saturating_add(depth.saturating_mul(STEP)))))
}

/// Does what `specs` say, one after the other, to a tile. Gives 0.
///
/// # Safety
///
/// Each pointer in `specs` is to as much as a tile of `R` rows and eight columns needs, as tract has them.
unsafe fn run<const R: usize>(specs: &[FusedKerSpec<f32>]) -> isize {
    let mut tile = [ZERO; R];
    for spec in specs {
        // SAFETY: as the caller says.
        unsafe {
            match *spec {
                FusedKerSpec::Done => break,
                FusedKerSpec::Clear => tile = [ZERO; R],
                FusedKerSpec::LoadTile(_, rows) => {
                    for (index, row) in tile.iter_mut().enumerate() {
                        *row = load_row(rows.add(COLUMNS * index));
                    }
                }
                FusedKerSpec::ScalarMin(a) => each(&mut tile, |x| x.min(F32x4::splat(a))),
                FusedKerSpec::ScalarMax(a) => each(&mut tile, |x| x.max(F32x4::splat(a))),
                FusedKerSpec::ScalarAdd(a) => each(&mut tile, |x| x + F32x4::splat(a)),
                FusedKerSpec::ScalarMul(a) => each(&mut tile, |x| x * F32x4::splat(a)),
                FusedKerSpec::ScalarSub(a) => each(&mut tile, |x| F32x4::splat(a) - x),
                FusedKerSpec::ScalarSubF(a) => each(&mut tile, |x| x - F32x4::splat(a)),
                FusedKerSpec::LeakyRelu(a) => each(&mut tile, |x| x.or_scaled_below_zero(F32x4::splat(a))),
                FusedKerSpec::PerRowMin(rows) => per_row(&mut tile, rows, |row, x| x.min(row)),
                FusedKerSpec::PerRowMax(rows) => per_row(&mut tile, rows, |row, x| x.max(row)),
                FusedKerSpec::PerRowAdd(rows) => per_row(&mut tile, rows, |row, x| x + row),
                FusedKerSpec::PerRowMul(rows) => per_row(&mut tile, rows, |row, x| x * row),
                FusedKerSpec::PerRowSub(rows) => per_row(&mut tile, rows, |row, x| row - x),
                FusedKerSpec::PerRowSubF(rows) => per_row(&mut tile, rows, |row, x| x - row),
                FusedKerSpec::PerColMin(columns) => per_column(&mut tile, columns, |column, x| x.min(column)),
                FusedKerSpec::PerColMax(columns) => per_column(&mut tile, columns, |column, x| x.max(column)),
                FusedKerSpec::PerColAdd(columns) => per_column(&mut tile, columns, |column, x| x + column),
                FusedKerSpec::PerColMul(columns) => per_column(&mut tile, columns, |column, x| x * column),
                FusedKerSpec::PerColSub(columns) => per_column(&mut tile, columns, |column, x| column - x),
                FusedKerSpec::PerColSubF(columns) => per_column(&mut tile, columns, |column, x| x - column),
                FusedKerSpec::QScale(shift, rounding, multiplier) => {
                    let scale = Scaler::from_fuse_params(shift, rounding, multiplier).scale;
                    each(&mut tile, |x| x * F32x4::splat(scale));
                }
                FusedKerSpec::RoundingShiftRight(shift, _) => {
                    each(&mut tile, |x| x * F32x4::splat(2_f32.powi(-(shift as i32))));
                }
                FusedKerSpec::ShiftLeft(shift) => each(&mut tile, |x| x * F32x4::splat(2_f32.powi(shift as i32))),
                FusedKerSpec::AddUnicast(other) => add(&mut tile, &other),
                FusedKerSpec::AddRowColProducts(rows, columns) => {
                    let columns = load_row(columns);
                    for (index, row) in tile.iter_mut().enumerate() {
                        let factor = F32x4::load_splat(rows.add(index));
                        for (x, column) in row.iter_mut().zip(columns) {
                            *x = factor.mul_add(column, *x);
                        }
                    }
                }
                FusedKerSpec::Store(to) => store(&tile, &to),
                FusedKerSpec::AddMatMul { k: 0, .. } => {}
                FusedKerSpec::AddMatMul { k, pa, pb, packing: _ } => {
                    add_product::<R>(&mut tile, k, pa.cast(), pb.cast())
                }
            }
        }
    }
    0
}

/// Adds the product of a panel of `R` and one of eight.
///
/// # Safety
///
/// There are as many numbers for each of `depth` steps in both, and `depth` is not 0.
unsafe fn add_product<const R: usize>(tile: &mut [Row; R], depth: usize, left: *const f32, right: *const f32) {
    for (index, part) in tile.chunks_exact_mut(ROWS).enumerate() {
        let mut sums = MaybeUninit::uninit();
        // SAFETY: as the caller says; the sums are written.
        let sums = unsafe {
            multiply_part::<R>(depth, left.add(ROWS * index), right, &mut sums);
            sums.assume_init()
        };
        for (x, sum) in part.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *x = *x + *sum;
        }
    }
}

/// By itself, and with nothing but stores after it: it decides about the registers in the loop.
///
/// # Safety
///
/// As for [`multiply`].
#[inline(never)]
unsafe fn multiply_part<const R: usize>(
    depth: usize,
    left: *const f32,
    right: *const f32,
    sums: &mut MaybeUninit<[Row; ROWS]>,
) {
    // SAFETY: as the caller says.
    let [tile] = unsafe { multiply::<1, R, COLUMNS, TIGHT>(depth, left, right, 0, [ZERO]) };
    sums.write(tile);
}

#[inline(always)]
fn each(tile: &mut [Row], f: impl Fn(F32x4) -> F32x4) {
    for x in tile.as_flattened_mut() {
        *x = f(*x);
    }
}

/// # Safety
///
/// There is a number for each row at `rows`.
#[inline(always)]
unsafe fn per_row(tile: &mut [Row], rows: *const f32, f: impl Fn(F32x4, F32x4) -> F32x4) {
    for (index, row) in tile.iter_mut().enumerate() {
        // SAFETY: as the caller says.
        let operand = unsafe { F32x4::load_splat(rows.add(index)) };
        for x in row {
            *x = f(operand, *x);
        }
    }
}

/// # Safety
///
/// There are eight numbers at `columns`.
#[inline(always)]
unsafe fn per_column(tile: &mut [Row], columns: *const f32, f: impl Fn(F32x4, F32x4) -> F32x4) {
    // SAFETY: as the caller says.
    let columns = unsafe { load_row(columns) };
    for row in tile {
        for (x, column) in row.iter_mut().zip(columns) {
            *x = f(column, *x);
        }
    }
}

/// # Safety
///
/// There are eight numbers at `from`.
#[inline(always)]
unsafe fn load_row(from: *const f32) -> Row {
    // SAFETY: as the caller says.
    unsafe { [F32x4::load(from), F32x4::load(from.add(4))] }
}

/// Adds what is in another matrix at the place of the tile.
///
/// # Safety
///
/// There are as many rows of eight numbers, as its strides say.
#[inline(never)]
unsafe fn add(tile: &mut [Row], other: &OutputStoreKer) {
    for (index, row) in tile.iter_mut().enumerate() {
        // SAFETY: as the caller says.
        let operand = unsafe {
            let from = other.ptr.offset(other.row_byte_stride * index as isize);
            if other.col_byte_stride == size_of::<f32>() as isize {
                load_row(from.cast())
            } else {
                let mut numbers = [0.0; COLUMNS];
                for (column, number) in numbers.iter_mut().enumerate() {
                    *number = from.offset(other.col_byte_stride * column as isize).cast::<f32>().read_unaligned();
                }
                load_row(numbers.as_ptr())
            }
        };
        for (x, operand) in row.iter_mut().zip(operand) {
            *x = *x + operand;
        }
    }
}

/// Stores the tile.
///
/// # Safety
///
/// There is room for as many rows of eight numbers, as the strides say.
#[inline(never)]
unsafe fn store(tile: &[Row], to: &OutputStoreKer) {
    const NUMBER: isize = size_of::<f32>() as isize;
    // SAFETY: as the caller says.
    unsafe {
        if to.col_byte_stride == NUMBER {
            for (index, row) in tile.iter().enumerate() {
                store_row(*row, to.ptr.offset(to.row_byte_stride * index as isize).cast());
            }
        } else if to.row_byte_stride == NUMBER {
            for (part, rows) in tile.chunks_exact(ROWS).enumerate() {
                for half in [0, 1] {
                    let columns = F32x4::transpose(std::array::from_fn(|row| rows[row][half]));
                    for (index, column) in columns.into_iter().enumerate() {
                        let at = to.ptr.offset(to.col_byte_stride * (4 * half + index) as isize);
                        column.store(at.cast::<f32>().add(ROWS * part));
                    }
                }
            }
        } else {
            for (index, row) in tile.iter().enumerate() {
                let at = to.ptr.offset(to.row_byte_stride * index as isize);
                let numbers = row.iter().flat_map(|vector| vector.to_array());
                for (column, number) in numbers.enumerate() {
                    at.offset(to.col_byte_stride * column as isize).cast::<f32>().write_unaligned(number);
                }
            }
        }
    }
}

/// # Safety
///
/// There is room for eight numbers at `to`.
#[inline(always)]
unsafe fn store_row(row: Row, to: *mut f32) {
    // SAFETY: as the caller says.
    unsafe {
        row[0].store(to);
        row[1].store(to.add(4));
    }
}

#[cfg(test)]
mod tests;
