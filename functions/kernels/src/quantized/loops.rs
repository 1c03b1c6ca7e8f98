//! The innermost loops, written for Cranelift as that of crate::tile is.

use std::mem::MaybeUninit;

use super::{BLOCK, STEPS, STRIP, Tile, VECTORS};
use crate::integers::I32x4;

/// Whether this build has the dot product of bytes.
pub const NARROW: bool = cfg!(any(not(target_arch = "wasm32"), target_feature = "relaxed-simd"));

/// Groups of steps between two turns of the loop.
const GROUPS: usize = 8;

/// A tile of the product of a strip and a block.
///
/// # Safety
///
/// Of each of `groups` groups of steps, of which there is one, there are 16 bytes at `strip` and 32 at `panel`.
pub unsafe fn product(narrow: bool, groups: usize, strip: *const i8, panel: *const i8, tile: &mut MaybeUninit<Tile>) {
    // SAFETY: as the caller says.
    unsafe {
        #[cfg(any(not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
        if narrow {
            return narrow_product(groups, strip, panel, tile);
        }
        let _ = narrow;
        wide_product(groups, strip, panel, tile);
    }
}

/// The product of one row and a block.
///
/// # Safety
///
/// Of each of `groups` groups of steps, of which there is one, there are four bytes at `row`, and four more behind the last, and 32
/// at `panel`.
pub unsafe fn product_of_one(
    narrow: bool,
    groups: usize,
    row: *const i8,
    panel: *const i8,
    sums: &mut [I32x4; VECTORS],
) {
    // SAFETY: as the caller says.
    unsafe {
        #[cfg(any(not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
        if narrow {
            return narrow_row(groups, row, panel, sums);
        }
        let _ = narrow;
        wide_row(groups, row, panel, sums);
    }
}

/// Sixteen bytes at a time.
#[cfg(any(not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
#[inline(never)]
unsafe fn narrow_product(groups: usize, mut left: *const i8, mut panel: *const i8, tile: &mut MaybeUninit<Tile>) {
    let mut sums: Tile = [[I32x4::ZERO; VECTORS]; STRIP];
    let mut remaining = groups;
    macro_rules! row {
        ($row:literal, $rows:ident, $weights:ident) => {
            let bytes = $rows.lane::<$row>();
            for (sum, weights) in sums[$row].iter_mut().zip($weights) {
                *sum = sum.add_products_of_bytes(bytes, weights);
            }
        };
    }
    macro_rules! groups {
        ($($index:literal)*) => {$(
            let rows = I32x4::load(left.add($index * STEPS * STRIP));
            let at = panel.add($index * STEPS * BLOCK);
            let weights = [I32x4::load(at), I32x4::load(at.add(16))];
            row!(0, rows, weights);
            row!(1, rows, weights);
            row!(2, rows, weights);
            row!(3, rows, weights);
            remaining -= 1;
            if remaining == 0 {
                break;
            }
        )*};
    }
    // SAFETY: as the caller says.
    unsafe {
        loop {
            groups!(0 1 2 3 4 5 6 7);
            left = left.wrapping_add(GROUPS * STEPS * STRIP);
            panel = panel.wrapping_add(GROUPS * STEPS * BLOCK);
        }
    }
    tile.write(sums);
}

/// Two steps at a time, widened.
#[inline(never)]
unsafe fn wide_product(groups: usize, mut left: *const i8, mut panel: *const i8, tile: &mut MaybeUninit<Tile>) {
    let mut sums: Tile = [[I32x4::ZERO; VECTORS]; STRIP];
    let mut remaining = groups;
    macro_rules! row {
        ($row:literal, $pairs:expr, $weights:ident) => {
            let pairs = $pairs;
            for (sum, weights) in sums[$row].iter_mut().zip($weights) {
                *sum = sum.add_products(pairs, weights);
            }
        };
    }
    macro_rules! groups {
        ($($index:literal)*) => {$(
            // Of each row, two steps and the two after these.
            let at = left.add($index * STEPS * STRIP);
            let (first, last) = (I32x4::load_wide(at), I32x4::load_wide(at.add(8)));
            let at = panel.add($index * STEPS * BLOCK);
            let weights = [I32x4::load_wide(at), I32x4::load_wide(at.add(8))];
            row!(0, first.lane::<0>(), weights);
            row!(1, first.lane::<2>(), weights);
            row!(2, last.lane::<0>(), weights);
            row!(3, last.lane::<2>(), weights);
            let weights = [I32x4::load_wide(at.add(16)), I32x4::load_wide(at.add(24))];
            row!(0, first.lane::<1>(), weights);
            row!(1, first.lane::<3>(), weights);
            row!(2, last.lane::<1>(), weights);
            row!(3, last.lane::<3>(), weights);
            remaining -= 1;
            if remaining == 0 {
                break;
            }
        )*};
    }
    // SAFETY: as the caller says.
    unsafe {
        loop {
            groups!(0 1 2 3 4 5 6 7);
            left = left.wrapping_add(GROUPS * STEPS * STRIP);
            panel = panel.wrapping_add(GROUPS * STEPS * BLOCK);
        }
    }
    tile.write(sums);
}

/// Sixteen bytes at a time.
#[cfg(any(not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
#[inline(never)]
unsafe fn narrow_row(groups: usize, mut left: *const i8, mut panel: *const i8, to: &mut [I32x4; VECTORS]) {
    let mut sums = [I32x4::ZERO; VECTORS];
    let mut remaining = groups;
    macro_rules! groups {
        ($($index:literal)*) => {$(
            let bytes = I32x4::load_splat(left.add($index * STEPS));
            let at = panel.add($index * STEPS * BLOCK);
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add_products_of_bytes(bytes, I32x4::load(at.add(16 * vector)));
            }
            remaining -= 1;
            if remaining == 0 {
                break;
            }
        )*};
    }
    // SAFETY: as the caller says.
    unsafe {
        loop {
            groups!(0 1 2 3 4 5 6 7);
            left = left.wrapping_add(GROUPS * STEPS);
            panel = panel.wrapping_add(GROUPS * STEPS * BLOCK);
        }
    }
    *to = sums;
}

/// Two steps at a time, widened.
#[inline(never)]
unsafe fn wide_row(groups: usize, mut left: *const i8, mut panel: *const i8, to: &mut [I32x4; VECTORS]) {
    let mut sums = [I32x4::ZERO; VECTORS];
    let mut remaining = groups;
    macro_rules! groups {
        ($($index:literal)*) => {$(
            let steps = I32x4::load_wide(left.add($index * STEPS));
            let at = panel.add($index * STEPS * BLOCK);
            let (first, last) = (steps.lane::<0>(), steps.lane::<1>());
            for (vector, sum) in sums.iter_mut().enumerate() {
                let sum_of_two = sum.add_products(first, I32x4::load_wide(at.add(8 * vector)));
                *sum = sum_of_two.add_products(last, I32x4::load_wide(at.add(16 + 8 * vector)));
            }
            remaining -= 1;
            if remaining == 0 {
                break;
            }
        )*};
    }
    // SAFETY: as the caller says.
    unsafe {
        loop {
            groups!(0 1 2 3 4 5 6 7);
            left = left.wrapping_add(GROUPS * STEPS);
            panel = panel.wrapping_add(GROUPS * STEPS * BLOCK);
        }
    }
    *to = sums;
}
