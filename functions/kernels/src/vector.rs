//! Four numbers at a time.

use core::ops::{Add, Div, Mul, Sub};

/// Four `f32`. On WebAssembly a register; elsewhere, for the tests, an array that is computed with in the same way.
#[derive(Clone, Copy)]
pub struct F32x4(pub(crate) imp::F32x4);

impl F32x4 {
    /// Zeros.
    pub const ZERO: F32x4 = F32x4(imp::ZERO);

    /// The same number four times.
    #[inline(always)]
    pub fn splat(x: f32) -> F32x4 {
        F32x4(imp::splat(x))
    }

    /// The first four numbers of a slice.
    ///
    /// # Safety
    ///
    /// `from` points to four numbers.
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> F32x4 {
        // SAFETY: as the caller says.
        F32x4(unsafe { imp::load(from) })
    }

    /// So many numbers, at most four, and zeros behind them.
    ///
    /// # Safety
    ///
    /// There are as many.
    #[inline(always)]
    pub unsafe fn load_some(from: *const f32, count: usize) -> F32x4 {
        // SAFETY: as the caller says.
        unsafe {
            if count == 4 {
                return F32x4::load(from);
            }
            let mut numbers = [0.0; 4];
            numbers.as_mut_ptr().copy_from_nonoverlapping(from, count);
            F32x4::load(numbers.as_ptr())
        }
    }

    /// Stores the first numbers, at most four.
    ///
    /// # Safety
    ///
    /// There is room for as many.
    #[inline(always)]
    pub unsafe fn store_some(self, to: *mut f32, count: usize) {
        // SAFETY: as the caller says.
        unsafe {
            if count == 4 {
                self.store(to);
            } else {
                to.copy_from_nonoverlapping(self.to_array().as_ptr(), count);
            }
        }
    }

    /// One number, four times.
    ///
    /// # Safety
    ///
    /// `from` points to a number.
    #[inline(always)]
    pub unsafe fn load_splat(from: *const f32) -> F32x4 {
        // SAFETY: as the caller says.
        F32x4(unsafe { imp::load_splat(from) })
    }

    /// As [`load`](Self::load), after all that is loaded in order before, and before what is after.
    ///
    /// # Safety
    ///
    /// `from` points to four numbers, and is aligned as a vector is.
    #[inline(always)]
    pub unsafe fn load_in_order(from: *const f32) -> F32x4 {
        // SAFETY: as the caller says.
        F32x4(unsafe { from.cast::<imp::F32x4>().read_volatile() })
    }

    /// As [`load_splat`](Self::load_splat), after all that is loaded in order before, and before what is after.
    ///
    /// # Safety
    ///
    /// `from` points to a number.
    #[inline(always)]
    pub unsafe fn load_splat_in_order(from: *const f32) -> F32x4 {
        // SAFETY: as the caller says.
        F32x4::splat(unsafe { from.read_volatile() })
    }

    /// One of the numbers, four times.
    #[inline(always)]
    pub fn lane<const LANE: usize>(self) -> F32x4 {
        F32x4(imp::lane::<LANE>(self.0))
    }

    /// Stores the four numbers.
    ///
    /// # Safety
    ///
    /// `to` points to room for four numbers.
    #[inline(always)]
    pub unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { imp::store(self.0, to) }
    }

    /// `self * factor + summand`: rounded once where the build has relaxed SIMD and the CPU fuses, else twice.
    #[inline(always)]
    pub fn mul_add(self, factor: F32x4, summand: F32x4) -> F32x4 {
        F32x4(imp::mul_add(self.0, factor.0, summand.0))
    }

    /// The larger of each two, as `larger` tells it.
    #[inline(always)]
    pub fn max(self, other: F32x4) -> F32x4 {
        F32x4(imp::max(self.0, other.0))
    }

    /// The smaller of each two, as `smaller` tells it.
    #[inline(always)]
    pub fn min(self, other: F32x4) -> F32x4 {
        F32x4(imp::min(self.0, other.0))
    }

    /// `least` where a number is below it, else the number, NaN too.
    #[inline(always)]
    pub fn at_least(self, least: F32x4) -> F32x4 {
        F32x4(imp::at_least(self.0, least.0))
    }

    /// `most` where a number is above it, else the number, NaN too.
    #[inline(always)]
    pub fn at_most(self, most: F32x4) -> F32x4 {
        F32x4(imp::at_most(self.0, most.0))
    }

    /// Each number itself; 0 for NaN.
    #[inline(always)]
    pub fn or_zero(self) -> F32x4 {
        F32x4(imp::or_zero(self.0))
    }

    /// Each number itself; 0 where that of `x` is below that of `least`.
    #[inline(always)]
    pub fn unless_below(self, x: F32x4, least: F32x4) -> F32x4 {
        F32x4(imp::unless_below(self.0, x.0, least.0))
    }

    /// Each number itself where it is above zero, else `factor` times it.
    #[inline(always)]
    pub fn or_scaled_below_zero(self, factor: F32x4) -> F32x4 {
        F32x4(imp::or_scaled_below_zero(self.0, factor.0))
    }

    /// The square root of each.
    #[inline(always)]
    pub fn sqrt(self) -> F32x4 {
        F32x4(imp::sqrt(self.0))
    }

    /// The nearest whole numbers.
    #[inline(always)]
    pub fn nearest(self) -> F32x4 {
        F32x4(imp::nearest(self.0))
    }

    /// Two to the power of each, which is a whole number from -126 to 127.
    #[inline(always)]
    pub fn power_of_two(self) -> F32x4 {
        F32x4(imp::power_of_two(self.0))
    }

    /// Columns for rows.
    #[inline(always)]
    pub fn transpose(rows: [F32x4; 4]) -> [F32x4; 4] {
        imp::transpose(rows.map(|row| row.0)).map(F32x4)
    }

    /// The four numbers.
    #[inline(always)]
    pub fn to_array(self) -> [f32; 4] {
        imp::to_array(self.0)
    }
}

/// The larger of two: NaN where one is NaN, and 0 where they are 0 and -0, as WebAssembly has it.
pub fn larger(x: f32, y: f32) -> f32 {
    if x.is_nan() || y.is_nan() {
        f32::NAN
    } else if x == y {
        f32::from_bits(x.to_bits() & y.to_bits())
    } else {
        x.max(y)
    }
}

/// The smaller of two: NaN where one is NaN, and -0 where they are 0 and -0, as WebAssembly has it.
pub fn smaller(x: f32, y: f32) -> f32 {
    if x.is_nan() || y.is_nan() {
        f32::NAN
    } else if x == y {
        f32::from_bits(x.to_bits() | y.to_bits())
    } else {
        x.min(y)
    }
}

impl Add for F32x4 {
    type Output = F32x4;

    #[inline(always)]
    fn add(self, other: F32x4) -> F32x4 {
        F32x4(imp::add(self.0, other.0))
    }
}

impl Div for F32x4 {
    type Output = F32x4;

    #[inline(always)]
    fn div(self, other: F32x4) -> F32x4 {
        F32x4(imp::div(self.0, other.0))
    }
}

impl Sub for F32x4 {
    type Output = F32x4;

    #[inline(always)]
    fn sub(self, other: F32x4) -> F32x4 {
        F32x4(imp::sub(self.0, other.0))
    }
}

impl Mul for F32x4 {
    type Output = F32x4;

    #[inline(always)]
    fn mul(self, other: F32x4) -> F32x4 {
        F32x4(imp::mul(self.0, other.0))
    }
}

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::*;

    pub type F32x4 = v128;

    pub const ZERO: v128 = f32x4(0.0, 0.0, 0.0, 0.0);

    #[inline(always)]
    pub fn splat(x: f32) -> v128 {
        f32x4_splat(x)
    }

    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> v128 {
        // SAFETY: as the caller says; a vector may be loaded from any address.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    pub unsafe fn load_splat(from: *const f32) -> v128 {
        // SAFETY: as the caller says.
        unsafe { v128_load32_splat(from.cast()) }
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

    #[inline(always)]
    pub unsafe fn store(x: v128, to: *mut f32) {
        // SAFETY: as the caller says; a vector may be stored at any address.
        unsafe { v128_store(to.cast(), x) }
    }

    #[inline(always)]
    pub fn mul_add(x: v128, factor: v128, summand: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_madd(x, factor, summand);
        #[cfg(not(target_feature = "relaxed-simd"))]
        f32x4_add(f32x4_mul(x, factor), summand)
    }

    #[inline(always)]
    pub fn max(x: v128, other: v128) -> v128 {
        f32x4_max(x, other)
    }

    #[inline(always)]
    pub fn min(x: v128, other: v128) -> v128 {
        f32x4_min(x, other)
    }

    #[inline(always)]
    pub fn at_least(x: v128, least: v128) -> v128 {
        f32x4_pmax(x, least)
    }

    #[inline(always)]
    pub fn at_most(x: v128, most: v128) -> v128 {
        f32x4_pmin(x, most)
    }

    #[inline(always)]
    pub fn add(x: v128, other: v128) -> v128 {
        f32x4_add(x, other)
    }

    #[inline(always)]
    pub fn mul(x: v128, other: v128) -> v128 {
        f32x4_mul(x, other)
    }

    #[inline(always)]
    pub fn div(x: v128, other: v128) -> v128 {
        f32x4_div(x, other)
    }

    #[inline(always)]
    pub fn sqrt(x: v128) -> v128 {
        f32x4_sqrt(x)
    }

    #[inline(always)]
    pub fn nearest(x: v128) -> v128 {
        f32x4_nearest(x)
    }

    #[inline(always)]
    pub fn power_of_two(x: v128) -> v128 {
        // Adding 2^23 leaves a whole number in the lowest bits, from where it goes to those of the exponent.
        let bits = f32x4_add(x, f32x4_splat(127.0 + 8_388_608.0));
        i32x4_shl(bits, 23)
    }

    #[inline(always)]
    pub fn sub(x: v128, other: v128) -> v128 {
        f32x4_sub(x, other)
    }

    #[inline(always)]
    pub fn or_zero(x: v128) -> v128 {
        v128_and(x, f32x4_eq(x, x))
    }

    #[inline(always)]
    pub fn unless_below(numbers: v128, x: v128, least: v128) -> v128 {
        v128_andnot(numbers, f32x4_lt(x, least))
    }

    #[inline(always)]
    pub fn or_scaled_below_zero(x: v128, factor: v128) -> v128 {
        v128_bitselect(x, f32x4_mul(x, factor), f32x4_gt(x, f32x4_splat(0.0)))
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
    pub fn to_array(x: v128) -> [f32; 4] {
        [f32x4_extract_lane::<0>(x), f32x4_extract_lane::<1>(x), f32x4_extract_lane::<2>(x), f32x4_extract_lane::<3>(x)]
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    pub type F32x4 = [f32; 4];

    pub const ZERO: F32x4 = [0.0; 4];

    pub fn splat(x: f32) -> F32x4 {
        [x; 4]
    }

    pub unsafe fn load(from: *const f32) -> F32x4 {
        // SAFETY: as the caller says; an array of numbers has a number's alignment.
        unsafe { from.cast::<F32x4>().read_unaligned() }
    }

    pub unsafe fn load_splat(from: *const f32) -> F32x4 {
        // SAFETY: as the caller says.
        [unsafe { from.read() }; 4]
    }

    pub fn lane<const LANE: usize>(x: F32x4) -> F32x4 {
        [x[LANE]; 4]
    }

    pub unsafe fn store(x: F32x4, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { to.cast::<F32x4>().write_unaligned(x) }
    }

    pub fn mul_add(x: F32x4, factor: F32x4, summand: F32x4) -> F32x4 {
        std::array::from_fn(|lane| x[lane].mul_add(factor[lane], summand[lane]))
    }

    pub fn max(x: F32x4, other: F32x4) -> F32x4 {
        std::array::from_fn(|lane| super::larger(x[lane], other[lane]))
    }

    pub fn min(x: F32x4, other: F32x4) -> F32x4 {
        std::array::from_fn(|lane| super::smaller(x[lane], other[lane]))
    }

    pub fn at_least(x: F32x4, least: F32x4) -> F32x4 {
        std::array::from_fn(|lane| if x[lane] < least[lane] { least[lane] } else { x[lane] })
    }

    pub fn at_most(x: F32x4, most: F32x4) -> F32x4 {
        std::array::from_fn(|lane| if most[lane] < x[lane] { most[lane] } else { x[lane] })
    }

    pub fn add(x: F32x4, other: F32x4) -> F32x4 {
        std::array::from_fn(|lane| x[lane] + other[lane])
    }

    pub fn mul(x: F32x4, other: F32x4) -> F32x4 {
        std::array::from_fn(|lane| x[lane] * other[lane])
    }

    pub fn div(x: F32x4, other: F32x4) -> F32x4 {
        std::array::from_fn(|lane| x[lane] / other[lane])
    }

    pub fn sqrt(x: F32x4) -> F32x4 {
        x.map(f32::sqrt)
    }

    pub fn nearest(x: F32x4) -> F32x4 {
        x.map(f32::round_ties_even)
    }

    pub fn power_of_two(x: F32x4) -> F32x4 {
        x.map(|x| f32::from_bits((x + (127.0 + 8_388_608.0)).to_bits() << 23))
    }

    pub fn sub(x: F32x4, other: F32x4) -> F32x4 {
        std::array::from_fn(|lane| x[lane] - other[lane])
    }

    pub fn or_zero(x: F32x4) -> F32x4 {
        x.map(|x| if x.is_nan() { 0.0 } else { x })
    }

    pub fn unless_below(numbers: F32x4, x: F32x4, least: F32x4) -> F32x4 {
        std::array::from_fn(|lane| if x[lane] < least[lane] { 0.0 } else { numbers[lane] })
    }

    pub fn or_scaled_below_zero(x: F32x4, factor: F32x4) -> F32x4 {
        std::array::from_fn(|lane| if x[lane] > 0.0 { x[lane] } else { x[lane] * factor[lane] })
    }

    pub fn transpose(rows: [F32x4; 4]) -> [F32x4; 4] {
        std::array::from_fn(|column| rows.map(|row| row[column]))
    }

    pub fn to_array(x: F32x4) -> [f32; 4] {
        x
    }
}
