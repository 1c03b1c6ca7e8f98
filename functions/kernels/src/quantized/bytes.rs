//! From floats to bytes and back, and from rows to strips.

use super::{Kind, Quantization, STEPS, STRIP};
use crate::integers::I32x4;
use crate::lines::Reduction;
use crate::vector::F32x4;

/// The scale and the zero point of `u8` for numbers of the range that these have, 0 included.
pub fn range(numbers: &[f32]) -> (f32, u8) {
    let of = |reduction: Reduction| {
        let mut result = [0.0];
        reduction.rows(numbers.len(), numbers, &mut result);
        result[0]
    };
    let (low, high) = (of(Reduction::Min).min(0.0), of(Reduction::Max).max(0.0));
    let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
    (scale, (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8)
}

/// Makes bytes of floats: halves go to the even number, NaN becomes what stands for 0.
///
/// # Panics
///
/// Panics where there are not as many bytes as floats.
#[inline(never)]
pub fn quantize(quantization: Quantization, from: &[f32], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "a byte for each float");
    let scale = F32x4::splat(quantization.scale);
    let [least, most] = quantization.multiples().map(F32x4::splat);
    let zero = I32x4::splat_byte(quantization.zero_point as u8);
    let block = |from: *const f32, to: *mut u8| {
        // SAFETY: there are 16 numbers, and there is room for as many bytes.
        unsafe {
            let multiples = std::array::from_fn(|v| {
                let multiple = F32x4::load(from.add(4 * v)) / scale;
                multiple.or_zero().at_least(least).at_most(most)
            });
            I32x4::nearest_bytes(multiples).add_bytes(zero).store(to.cast());
        }
    };
    let mut blocks = from.chunks_exact(16);
    let mut places = to.chunks_exact_mut(16);
    for (from, to) in (&mut blocks).zip(&mut places) {
        block(from.as_ptr(), to.as_mut_ptr());
    }
    let (from, to) = (blocks.remainder(), places.into_remainder());
    let (mut numbers, mut bytes) = ([0.0; 16], [0; 16]);
    numbers[..from.len()].copy_from_slice(from);
    block(numbers.as_ptr(), bytes.as_mut_ptr());
    to.copy_from_slice(&bytes[..to.len()]);
}

/// What bytes stand for.
///
/// # Panics
///
/// Panics where there are not as many floats as bytes.
#[inline(never)]
pub fn dequantize(quantization: Quantization, from: &[u8], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "a float for each byte");
    match quantization.kind {
        Kind::Signed => dequantize_as::<true>(quantization, from, to),
        Kind::Unsigned => dequantize_as::<false>(quantization, from, to),
    }
}

#[inline(always)]
fn dequantize_as<const SIGNED: bool>(quantization: Quantization, from: &[u8], to: &mut [f32]) {
    let (scale, zero) = (F32x4::splat(quantization.scale), I32x4::splat(quantization.zero_point));
    let block = |from: *const u8, to: *mut f32| {
        // SAFETY: there are 16 bytes, and there is room for as many numbers.
        unsafe {
            for (v, x) in I32x4::load(from.cast()).widen::<SIGNED>().into_iter().enumerate() {
                ((x - zero).floats() * scale).store(to.add(4 * v));
            }
        }
    };
    let mut blocks = from.chunks_exact(16);
    let mut places = to.chunks_exact_mut(16);
    for (from, to) in (&mut blocks).zip(&mut places) {
        block(from.as_ptr(), to.as_mut_ptr());
    }
    let (from, to) = (blocks.remainder(), places.into_remainder());
    let (mut bytes, mut numbers) = ([0; 16], [0.0; 16]);
    bytes[..from.len()].copy_from_slice(from);
    block(bytes.as_ptr(), numbers.as_mut_ptr());
    to.copy_from_slice(&numbers[..to.len()]);
}

/// Packs four rows of bytes into a strip, as `i8`, with zeros up to a multiple of four. Gives the sum of each row.
///
/// # Safety
///
/// There are `depth` bytes at each row, and there is room for four times as many at `strip`, rounded up.
pub unsafe fn pack(rows: [*const u8; STRIP], depth: usize, kind: Kind, strip: *mut i8) -> I32x4 {
    let whole = depth / 16 * 16;
    let mut sums = I32x4::ZERO;
    // SAFETY: as the caller says.
    unsafe {
        for step in (0..whole).step_by(16) {
            let groups = sixteen(rows.map(|row| row.add(step)), kind);
            for (index, group) in groups.into_iter().enumerate() {
                group.store(strip.add((step + index * STEPS) * STRIP));
                sums = sums + group.sums_of_bytes();
            }
        }
        let rest = depth - whole;
        if rest > 0 {
            // What stands for nothing when it is packed.
            let mut ends = [[if kind == Kind::Unsigned { 128_u8 } else { 0 }; 16]; STRIP];
            for (end, row) in ends.iter_mut().zip(rows) {
                end.as_mut_ptr().copy_from_nonoverlapping(row.add(whole), rest);
            }
            let groups = sixteen(std::array::from_fn(|row| ends[row].as_ptr()), kind);
            for (index, group) in groups.into_iter().enumerate().take(rest.div_ceil(STEPS)) {
                group.store(strip.add((whole + index * STEPS) * STRIP));
                sums = sums + group.sums_of_bytes();
            }
        }
    }
    sums
}

/// Of four rows, sixteen steps, packed.
#[inline(always)]
unsafe fn sixteen(rows: [*const u8; STRIP], kind: Kind) -> [I32x4; STRIP] {
    // SAFETY: as the caller says.
    let vectors = rows.map(|row| unsafe { I32x4::load(row.cast()) });
    I32x4::transpose(vectors.map(|x| if kind == Kind::Unsigned { x.flip() } else { x }))
}
