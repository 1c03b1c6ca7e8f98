//! Vectors of whole numbers: four `i32`, or the 16 bytes that four of them are made of.

use core::ops::{Add, Mul, Sub};

use crate::vector::F32x4;

/// Four `i32`. On WebAssembly a register; elsewhere, for the tests, an array that is computed with in the same way.
#[derive(Clone, Copy)]
pub struct I32x4(imp::I32x4);

impl I32x4 {
    /// Zeros.
    pub const ZERO: I32x4 = I32x4(imp::ZERO);

    /// The same number four times.
    #[inline(always)]
    pub fn splat(x: i32) -> I32x4 {
        I32x4(imp::splat(x))
    }

    /// Four numbers, or 16 bytes.
    ///
    /// # Safety
    ///
    /// `from` points to 16 bytes.
    #[inline(always)]
    pub unsafe fn load(from: *const i8) -> I32x4 {
        // SAFETY: as the caller says.
        I32x4(unsafe { imp::load(from) })
    }

    /// Four bytes, four times.
    ///
    /// # Safety
    ///
    /// `from` points to four bytes.
    #[inline(always)]
    pub unsafe fn load_splat(from: *const i8) -> I32x4 {
        // SAFETY: as the caller says.
        I32x4(unsafe { imp::load_splat(from) })
    }

    /// Eight bytes as eight `i16`, with their signs.
    ///
    /// # Safety
    ///
    /// `from` points to eight bytes.
    #[inline(always)]
    pub unsafe fn load_wide(from: *const i8) -> I32x4 {
        // SAFETY: as the caller says.
        I32x4(unsafe { imp::load_wide(from) })
    }

    /// Stores 16 bytes.
    ///
    /// # Safety
    ///
    /// `to` points to room for 16 bytes.
    #[inline(always)]
    pub unsafe fn store(self, to: *mut i8) {
        // SAFETY: as the caller says.
        unsafe { imp::store(self.0, to) }
    }

    /// Stores the first or the second eight bytes.
    ///
    /// # Safety
    ///
    /// `to` points to room for eight bytes.
    #[inline(always)]
    pub unsafe fn store_half<const HALF: usize>(self, to: *mut i8) {
        // SAFETY: as the caller says.
        unsafe { imp::store_half::<HALF>(self.0, to) }
    }

    /// One of the numbers, four times.
    #[inline(always)]
    pub fn lane<const LANE: usize>(self) -> I32x4 {
        I32x4(imp::lane::<LANE>(self.0))
    }

    /// Adds, for each number, the products of the four bytes of `signed` and of `seven_bits` at its place. The latter are from 0
    /// to 127: of others there are hosts that make other numbers, and none does of these.
    #[cfg(any(not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
    #[inline(always)]
    pub fn add_products_of_bytes(self, signed: I32x4, seven_bits: I32x4) -> I32x4 {
        I32x4(imp::add_products_of_bytes(self.0, signed.0, seven_bits.0))
    }

    /// Adds, for each number, the products of the two `i16` of either operand at its place.
    #[inline(always)]
    pub fn add_products(self, one: I32x4, other: I32x4) -> I32x4 {
        I32x4(imp::add_products(self.0, one.0, other.0))
    }

    /// For each number, the sum of its four bytes, signed.
    #[inline(always)]
    pub fn sums_of_bytes(self) -> I32x4 {
        I32x4(imp::sums_of_bytes(self.0))
    }

    /// Flips the highest bit of each byte: from `u8` to `i8` 128 below, and back.
    #[inline(always)]
    pub fn flip(self) -> I32x4 {
        I32x4(imp::flip(self.0))
    }

    /// Columns for rows.
    #[inline(always)]
    pub fn transpose(rows: [I32x4; 4]) -> [I32x4; 4] {
        imp::transpose(rows.map(|row| row.0)).map(I32x4)
    }

    /// The bytes of two vectors, one of either in turn: of the first halves, and of the last.
    #[inline(always)]
    pub fn interleave_bytes(one: I32x4, other: I32x4) -> [I32x4; 2] {
        imp::interleave_bytes(one.0, other.0).map(I32x4)
    }

    /// The nearest floats.
    #[inline(always)]
    pub fn floats(self) -> F32x4 {
        F32x4(imp::floats(self.0))
    }

    /// The whole numbers nearest to 16 floats from -2^22 to 2^22, the even ones of two: the lowest byte of each; 0 for NaN whose
    /// own is 0, as that of [`f32::NAN`] is.
    #[inline(always)]
    pub fn nearest_bytes(floats: [F32x4; 4]) -> I32x4 {
        I32x4(imp::nearest_bytes(floats.map(|x| x.0)))
    }

    /// The same byte 16 times.
    #[inline(always)]
    pub fn splat_byte(byte: u8) -> I32x4 {
        I32x4::splat(i32::from_ne_bytes([byte; 4]))
    }

    /// Adds 16 bytes to 16 bytes, which may go around.
    #[inline(always)]
    pub fn add_bytes(self, other: I32x4) -> I32x4 {
        I32x4(imp::add_bytes(self.0, other.0))
    }

    /// 16 bytes as four times four numbers.
    #[inline(always)]
    pub fn widen<const SIGNED: bool>(self) -> [I32x4; 4] {
        imp::widen::<SIGNED>(self.0).map(I32x4)
    }

    /// The four numbers.
    #[inline(always)]
    pub fn to_array(self) -> [i32; 4] {
        imp::to_array(self.0)
    }
}

impl Add for I32x4 {
    type Output = I32x4;

    #[inline(always)]
    fn add(self, other: I32x4) -> I32x4 {
        I32x4(imp::add(self.0, other.0))
    }
}

impl Sub for I32x4 {
    type Output = I32x4;

    #[inline(always)]
    fn sub(self, other: I32x4) -> I32x4 {
        I32x4(imp::sub(self.0, other.0))
    }
}

impl Mul for I32x4 {
    type Output = I32x4;

    #[inline(always)]
    fn mul(self, other: I32x4) -> I32x4 {
        I32x4(imp::mul(self.0, other.0))
    }
}

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::*;

    pub type I32x4 = v128;

    pub const ZERO: v128 = i32x4(0, 0, 0, 0);

    #[inline(always)]
    pub fn splat(x: i32) -> v128 {
        i32x4_splat(x)
    }

    #[inline(always)]
    pub unsafe fn load(from: *const i8) -> v128 {
        // SAFETY: as the caller says; a vector may be loaded from any address.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    pub unsafe fn load_splat(from: *const i8) -> v128 {
        // SAFETY: as the caller says.
        unsafe { v128_load32_splat(from.cast()) }
    }

    #[inline(always)]
    pub unsafe fn load_wide(from: *const i8) -> v128 {
        // SAFETY: as the caller says.
        unsafe { i16x8_load_extend_i8x8(from) }
    }

    #[inline(always)]
    pub unsafe fn store(x: v128, to: *mut i8) {
        // SAFETY: as the caller says; a vector may be stored at any address.
        unsafe { v128_store(to.cast(), x) }
    }

    #[inline(always)]
    pub unsafe fn store_half<const HALF: usize>(x: v128, to: *mut i8) {
        // SAFETY: as the caller says; half a vector may be stored at any address.
        unsafe {
            match HALF {
                0 => v128_store64_lane::<0>(x, to.cast()),
                _ => v128_store64_lane::<1>(x, to.cast()),
            }
        }
    }

    #[inline(always)]
    pub fn lane<const LANE: usize>(x: v128) -> v128 {
        match LANE {
            0 => i32x4_shuffle::<0, 0, 0, 0>(x, x),
            1 => i32x4_shuffle::<1, 1, 1, 1>(x, x),
            2 => i32x4_shuffle::<2, 2, 2, 2>(x, x),
            _ => i32x4_shuffle::<3, 3, 3, 3>(x, x),
        }
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    pub fn add_products_of_bytes(sum: v128, signed: v128, seven_bits: v128) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(signed, seven_bits, sum)
    }

    #[inline(always)]
    pub fn add_products(sum: v128, one: v128, other: v128) -> v128 {
        i32x4_add(sum, i32x4_dot_i16x8(one, other))
    }

    #[inline(always)]
    pub fn sums_of_bytes(x: v128) -> v128 {
        i32x4_extadd_pairwise_i16x8(i16x8_extadd_pairwise_i8x16(x))
    }

    #[inline(always)]
    pub fn flip(x: v128) -> v128 {
        v128_xor(x, i8x16_splat(-128))
    }

    #[inline(always)]
    pub fn transpose([a, b, c, d]: [v128; 4]) -> [v128; 4] {
        let [low, high] = [i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b)];
        let [more_low, more_high] = [i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d)];
        [
            i64x2_shuffle::<0, 2>(low, more_low),
            i64x2_shuffle::<1, 3>(low, more_low),
            i64x2_shuffle::<0, 2>(high, more_high),
            i64x2_shuffle::<1, 3>(high, more_high),
        ]
    }

    #[inline(always)]
    pub fn interleave_bytes(a: v128, b: v128) -> [v128; 2] {
        [
            i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b),
            i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b),
        ]
    }

    #[inline(always)]
    pub fn floats(x: v128) -> v128 {
        f32x4_convert_i32x4(x)
    }

    #[inline(always)]
    pub fn nearest_bytes([a, b, c, d]: [v128; 4]) -> v128 {
        // To 1.5 * 2^23 there is no float nearer than the next whole number, which the lowest bits then are. Narrowing would be
        // written out by LLVM as clamps.
        let low = |x: v128, y: v128| {
            let [x, y] = [x, y].map(|x| f32x4_add(x, f32x4_splat(12_582_912.0)));
            u8x16_shuffle::<0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28>(x, y)
        };
        u64x2_shuffle::<0, 2>(low(a, b), low(c, d))
    }

    #[inline(always)]
    pub fn add_bytes(x: v128, other: v128) -> v128 {
        u8x16_add(x, other)
    }

    #[inline(always)]
    pub fn widen<const SIGNED: bool>(x: v128) -> [v128; 4] {
        let [low, high] = if SIGNED {
            [i16x8_extend_low_i8x16(x), i16x8_extend_high_i8x16(x)]
        } else {
            [i16x8_extend_low_u8x16(x), i16x8_extend_high_u8x16(x)]
        };
        [
            i32x4_extend_low_i16x8(low),
            i32x4_extend_high_i16x8(low),
            i32x4_extend_low_i16x8(high),
            i32x4_extend_high_i16x8(high),
        ]
    }

    #[inline(always)]
    pub fn add(x: v128, other: v128) -> v128 {
        i32x4_add(x, other)
    }

    #[inline(always)]
    pub fn sub(x: v128, other: v128) -> v128 {
        i32x4_sub(x, other)
    }

    #[inline(always)]
    pub fn mul(x: v128, other: v128) -> v128 {
        i32x4_mul(x, other)
    }

    #[inline(always)]
    pub fn to_array(x: v128) -> [i32; 4] {
        [i32x4_extract_lane::<0>(x), i32x4_extract_lane::<1>(x), i32x4_extract_lane::<2>(x), i32x4_extract_lane::<3>(x)]
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use std::array::from_fn;

    pub type I32x4 = [i32; 4];

    pub const ZERO: I32x4 = [0; 4];

    fn to_bytes(x: I32x4) -> [i8; 16] {
        from_fn(|index| x[index / 4].to_le_bytes()[index % 4] as i8)
    }

    fn from_bytes(bytes: [i8; 16]) -> I32x4 {
        from_fn(|lane| i32::from_le_bytes(from_fn(|index| bytes[4 * lane + index] as u8)))
    }

    fn halves(x: I32x4) -> [[i32; 2]; 4] {
        x.map(|x| [i32::from(x as i16), x >> 16])
    }

    pub fn splat(x: i32) -> I32x4 {
        [x; 4]
    }

    pub unsafe fn load(from: *const i8) -> I32x4 {
        // SAFETY: as the caller says; an array of bytes may lie anywhere.
        from_bytes(unsafe { from.cast::<[i8; 16]>().read() })
    }

    pub unsafe fn load_splat(from: *const i8) -> I32x4 {
        // SAFETY: as the caller says.
        [i32::from_le_bytes(unsafe { from.cast::<[u8; 4]>().read() }); 4]
    }

    pub unsafe fn load_wide(from: *const i8) -> I32x4 {
        // SAFETY: as the caller says.
        let bytes = unsafe { from.cast::<[i8; 8]>().read() };
        from_fn(|lane| (i32::from(bytes[2 * lane + 1]) << 16) | (i32::from(bytes[2 * lane]) & 0xFFFF))
    }

    pub unsafe fn store(x: I32x4, to: *mut i8) {
        // SAFETY: as the caller says.
        unsafe { to.cast::<[i8; 16]>().write(to_bytes(x)) }
    }

    pub unsafe fn store_half<const HALF: usize>(x: I32x4, to: *mut i8) {
        // SAFETY: as the caller says.
        unsafe { to.copy_from_nonoverlapping(to_bytes(x)[8 * HALF..].as_ptr(), 8) }
    }

    pub fn lane<const LANE: usize>(x: I32x4) -> I32x4 {
        [x[LANE]; 4]
    }

    /// As x86-64 has it, which is what there is to be careful about: the second factors are without signs, and the sum of two
    /// products is one of 16 bits, or the largest or the least of these.
    pub fn add_products_of_bytes(sum: I32x4, signed: I32x4, seven_bits: I32x4) -> I32x4 {
        let (signed, seven_bits) = (to_bytes(signed), to_bytes(seven_bits));
        from_fn(|lane| {
            let product = |index: usize| i32::from(signed[index]) * i32::from(seven_bits[index] as u8);
            let pair = |first: usize| (product(first) + product(first + 1)).clamp(-32768, 32767);
            sum[lane].wrapping_add(pair(4 * lane) + pair(4 * lane + 2))
        })
    }

    pub fn add_products(sum: I32x4, one: I32x4, other: I32x4) -> I32x4 {
        let (one, other) = (halves(one), halves(other));
        from_fn(|lane| {
            let [[a, b], [c, d]] = [one[lane], other[lane]];
            sum[lane].wrapping_add((a * c).wrapping_add(b * d))
        })
    }

    pub fn sums_of_bytes(x: I32x4) -> I32x4 {
        x.map(|x| x.to_le_bytes().into_iter().map(|byte| i32::from(byte as i8)).sum())
    }

    pub fn flip(x: I32x4) -> I32x4 {
        x.map(|x| x ^ i32::from_le_bytes([0x80; 4]))
    }

    pub fn transpose(rows: [I32x4; 4]) -> [I32x4; 4] {
        from_fn(|column| rows.map(|row| row[column]))
    }

    pub fn interleave_bytes(a: I32x4, b: I32x4) -> [I32x4; 2] {
        let both = [to_bytes(a), to_bytes(b)];
        from_fn(|half| from_bytes(from_fn(|index| both[index % 2][8 * half + index / 2])))
    }

    pub fn floats(x: I32x4) -> [f32; 4] {
        x.map(|x| x as f32)
    }

    pub fn nearest_bytes(floats: [[f32; 4]; 4]) -> I32x4 {
        from_bytes(from_fn(|index| floats[index / 4][index % 4].round_ties_even() as i32 as i8))
    }

    pub fn add_bytes(x: I32x4, other: I32x4) -> I32x4 {
        let (x, other) = (to_bytes(x), to_bytes(other));
        from_bytes(from_fn(|index| x[index].wrapping_add(other[index])))
    }

    pub fn widen<const SIGNED: bool>(x: I32x4) -> [I32x4; 4] {
        let bytes = to_bytes(x);
        from_fn(|vector| {
            from_fn(|lane| {
                let byte = bytes[4 * vector + lane];
                if SIGNED { i32::from(byte) } else { i32::from(byte as u8) }
            })
        })
    }

    pub fn add(x: I32x4, other: I32x4) -> I32x4 {
        from_fn(|lane| x[lane].wrapping_add(other[lane]))
    }

    pub fn sub(x: I32x4, other: I32x4) -> I32x4 {
        from_fn(|lane| x[lane].wrapping_sub(other[lane]))
    }

    pub fn mul(x: I32x4, other: I32x4) -> I32x4 {
        from_fn(|lane| x[lane].wrapping_mul(other[lane]))
    }

    pub fn to_array(x: I32x4) -> [i32; 4] {
        x
    }
}
