//! The innermost part of a matrix product: a tile of twelve vectors, in registers. Of each step, twelve numbers of one operand are
//! multiplied with a vector of the other: twelve columns with four rows.
//!
//! A core that starts two multiply-adds a cycle, each of which takes four, needs more than eight sums to be kept busy. In 16
//! registers there is room for twelve, a vector, and two more, if no number stays in one. How the code below is written is for
//! Cranelift:
//!
//! - What has no side effects it computes where it is needed first. All sums are needed where blocks join; so each step is a block
//!   that may be entered from outside of it, with the steps that a product has over (a switch into a loop, as
//!   [Duff](https://www.lysator.liu.se/c/duffs-device.html) had it). It takes no instruction, unlike a way out after each step.
//! - An operand is loaded by the instruction that uses it if that is the only one, and its result is used once; sums that are the
//!   next block's arguments are. Loads must be in the order of their uses for that, so they are written as volatile: LLVM
//!   orders others as it likes.
//! - A result takes the place of its first operand: of a number, which is of no more use. What enters a block from outside are
//!   not the loop's own sums, as these would ask for the same registers in all blocks, and each step for twelve moves. It is one
//!   vector for all of them.

use crate::vector::F32x4;

/// Numbers that are loaded by themselves, each into a vector.
const ALONE: usize = 8;

/// Numbers that are loaded as a vector, so that loads are fewer than most processors have time for.
const TOGETHER: usize = 4;

/// Sums of a tile.
const SUMS: usize = ALONE + TOGETHER;

/// Steps between two turns of the loop.
const STEPS: usize = 64;

/// Bytes of a number.
pub const NUMBER: usize = size_of::<f32>();

/// A tile: what is made of the numbers that are loaded by themselves, then of the others.
pub type Sums = [F32x4; SUMS];

/// Does `$step` for the steps from the one on at which `$enter` leaves the block with its label; with fewer left the later ones.
macro_rules! blocks {
    ($enter:block $step:ident) => { $enter };
    ($enter:block $step:ident $left:literal $label:lifetime $($rest:tt)*) => {
        $label: { blocks!($enter $step $($rest)*); }
        $step!($left);
    };
}

/// So many numbers after an address, by which WebAssembly's instructions have it as their offset. An address, as it may be before
/// what is read.
///
/// # Safety
///
/// There is a number, and what is before it begins behind address 0.
#[inline(always)]
pub unsafe fn at(address: usize, numbers: usize) -> *const f32 {
    // SAFETY: as the caller says; so the sum is an address.
    std::ptr::with_exposed_provenance(unsafe { address.unchecked_add(numbers * NUMBER) })
}

/// A tile of a product: for each of `depth` steps [`ALONE`] numbers at `alone`, and [`TOGETHER`] at `together`, with `LEFT` numbers
/// from one step to the next, and a vector at `right`, with `RIGHT` numbers to the next. All sums begin with `start`.
///
/// # Safety
///
/// `depth` is not 0. There are as many numbers, and `right`, and what is loaded together, is aligned as vectors are. Nothing of it
/// is in the first 4 KiB of memory, as nothing is that is allocated, or has a name.
#[inline(always)]
pub unsafe fn multiply<const LEFT: usize, const RIGHT: usize>(
    depth: usize,
    alone: *const f32,
    together: *const f32,
    right: *const f32,
    start: F32x4,
) -> Sums {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [start; SUMS];
        // The first turn has the steps that are over: it begins so far behind the loop's beginning.
        let mut steps = (depth - 1) % STEPS + 1;
        let mut remaining = depth;
        let behind =
            |from: *const f32, apart: usize| from.expose_provenance().wrapping_sub((STEPS - steps) * apart * NUMBER);
        let (mut left, mut right) = (behind(alone, LEFT), behind(right, RIGHT));
        let mut others = behind(together, LEFT);
        macro_rules! alone {
            ($step:ident $vector:ident $($number:literal)*) => {$(
                let factor = F32x4::load_splat_in_order(at(left, $step * LEFT + $number));
                sums[$number] = factor.mul_add($vector, sums[$number]);
            )*};
        }
        macro_rules! step {
            ($left:literal) => {
                const STEP: usize = STEPS - $left;
                let vector = F32x4::load_in_order(at(right, STEP * RIGHT));
                let factors = F32x4::load_in_order(at(others, STEP * LEFT));
                alone!(STEP vector 7 6 5 4 3 2 1 0);
                sums[8] = factors.lane::<0>().mul_add(vector, sums[8]);
                sums[9] = factors.lane::<1>().mul_add(vector, sums[9]);
                sums[10] = factors.lane::<2>().mul_add(vector, sums[10]);
                sums[11] = factors.lane::<3>().mul_add(vector, sums[11]);
            };
        }
        macro_rules! turn {
            ($($left:literal $label:lifetime)*) => {
                blocks!({
                    match steps {
                        $($left if $left < STEPS => { sums = [start; SUMS]; break $label })*
                        _ => {}
                    }
                } step $($left $label)*)
            };
        }
        loop {
            turn!(
                1 's1 2 's2 3 's3 4 's4 5 's5 6 's6 7 's7 8 's8 9 's9 10 's10 11 's11
                12 's12 13 's13 14 's14 15 's15 16 's16 17 's17 18 's18 19 's19 20 's20 21 's21 22 's22
                23 's23 24 's24 25 's25 26 's26 27 's27 28 's28 29 's29 30 's30 31 's31 32 's32 33 's33
                34 's34 35 's35 36 's36 37 's37 38 's38 39 's39 40 's40 41 's41 42 's42 43 's43 44 's44
                45 's45 46 's46 47 's47 48 's48 49 's49 50 's50 51 's51 52 's52 53 's53 54 's54 55 's55
                56 's56 57 's57 58 's58 59 's59 60 's60 61 's61 62 's62 63 's63 64 's64
            );
            remaining -= steps;
            if remaining == 0 {
                return sums;
            }
            steps = STEPS;
            left = left.wrapping_add(STEPS * LEFT * NUMBER);
            others = others.wrapping_add(STEPS * LEFT * NUMBER);
            right = right.wrapping_add(STEPS * RIGHT * NUMBER);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numbers::numbers;

    proptest! {
        #[test]
        fn a_tile_is_the_product_of_its_panels(depth in 1..250_usize, seed in 0..1000_u32) {
            let (left, right) = (numbers(seed, depth * SUMS), numbers(seed + 1, depth * 8));
            let others = numbers(seed + 2, depth * SUMS);
            let (from, to) = (left.as_ptr(), right.as_ptr());
            // SAFETY: there are as many numbers; elsewhere than on WebAssembly a vector is aligned as a number is.
            let sums = unsafe { multiply::<SUMS, 8>(depth, from, others.as_ptr(), to, F32x4::splat(0.5)) };
            for (index, sum) in sums.into_iter().enumerate() {
                let number = |step: usize| match index {
                    0..ALONE => left[step * SUMS + index],
                    _ => others[step * SUMS + index - ALONE],
                };
                for (lane, got) in sum.to_array().into_iter().enumerate() {
                    let product = |step: usize| f64::from(number(step)) * f64::from(right[step * 8 + lane]);
                    let expected = 0.5 + (0..depth).map(product).sum::<f64>();
                    prop_assert!((f64::from(got) - expected).abs() <= 1e-5 * depth as f64, "{got} {expected}");
                }
            }
        }
    }
}
