//! The innermost part of a matrix product: a tile of the result, in registers.

use crate::vector::F32x4;

/// Rows of a tile.
pub const ROWS: usize = 4;

/// Vectors of a row.
pub const VECTORS: usize = 2;

/// Steps of a product that needs no loop.
pub const SHORT: usize = 32;

/// No turn of a loop, for products of at most [`SHORT`] steps.
pub const STRAIGHT: usize = 0;

/// Steps between two turns of a loop: few, for two tiles beside each other, and for processors that have little room for decoded
/// instructions: 1,536 in Intel's Skylake, of which a step is more than 20.
pub const TIGHT: usize = 24;

const _: () = assert!(TIGHT <= SHORT, "what has no loop has as many steps as a turn of one at the least");

/// Rows of a tile of the product of two panels, and the vectors of each.
pub type Sums = [[F32x4; VECTORS]; ROWS];

/// A tile of the product of two panels: for each of `depth` steps [`ROWS`] numbers at `left` and [`VECTORS`] vectors at
/// `right`, with `LEFT` and `RIGHT` numbers from one step to the next. Each of its rows is added to `start`.
///
/// Eight sums, two vectors and four factors are what Cranelift finds 16 registers for, written like this; with more it spills
/// ([`crate::twelve`] is written otherwise). Processors of
/// 32 registers have room for two such tiles, one beside the other, so that those with four multipliers have enough to do, and
/// a factor is used more often: `TILES` of them, whose numbers at `right` are `beside` apart. The rest of how
/// it is written is for Cranelift too. Where a loop turns, all vectors are saved, since the host may be called there; so
/// the steps are unrolled: `STEPS` of them, one of the constants above, are between two turns. What has no side effects is
/// computed as late as possible; so after each step the loop may be left, for which all sums must be there: otherwise the
/// operands of all steps would be loaded first, and be too many.
///
/// # Safety
///
/// `depth` is not 0, and at most [`SHORT`] if `STEPS` is [`STRAIGHT`]. Of each step, there are four numbers at `left`, and
/// eight at `right` for each tile.
#[inline(always)]
pub unsafe fn multiply<const TILES: usize, const LEFT: usize, const RIGHT: usize, const STEPS: usize>(
    depth: usize,
    mut left: *const f32,
    right: *const f32,
    beside: usize,
    start: [[F32x4; VECTORS]; TILES],
) -> [Sums; TILES] {
    let mut sums = start.map(|start| [start; ROWS]);
    let mut remaining = depth;
    // By themselves, as LLVM else takes the second for a sum, and Cranelift an instruction for that in each step.
    let mut first: [_; TILES] = std::array::from_fn(|tile| right.wrapping_add(tile * beside));
    let mut second: [_; TILES] = std::array::from_fn(|tile| right.wrapping_add(tile * beside + 4));
    macro_rules! steps {
        ($($step:literal)*) => {$(
            // SAFETY: of this step there is what the caller says.
            unsafe { step::<TILES, LEFT, RIGHT, $step>(&mut sums, left, &first, &second) };
            remaining -= 1;
            if remaining == 0 {
                break;
            }
        )*};
    }
    loop {
        steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
        if STEPS != TIGHT {
            steps!(24 25 26 27 28 29 30 31);
        }
        if STEPS == STRAIGHT {
            break;
        }
        left = left.wrapping_add(STEPS * LEFT);
        first = first.map(|vector| vector.wrapping_add(STEPS * RIGHT));
        second = second.map(|vector| vector.wrapping_add(STEPS * RIGHT));
    }
    sums
}

/// Step `STEP` after those at `left`, and at `first` and `second`, the two vectors of each tile. A function, as the compiler checks
/// what is borrowed in all steps at once otherwise, which takes half a minute.
///
/// # Safety
///
/// There are four numbers of the step at the left, and four each at the others.
#[inline(always)]
unsafe fn step<const TILES: usize, const LEFT: usize, const RIGHT: usize, const STEP: usize>(
    sums: &mut [Sums; TILES],
    left: *const f32,
    first: &[*const f32; TILES],
    second: &[*const f32; TILES],
) {
    // SAFETY: what the caller says.
    let (factors, vectors) = unsafe {
        let vectors: [_; TILES] =
            std::array::from_fn(|tile| [first, second].map(|vector| F32x4::load(vector[tile].add(STEP * RIGHT))));
        (F32x4::load(left.add(STEP * LEFT)), vectors)
    };
    macro_rules! row {
        ($row:literal) => {
            let factor = factors.lane::<$row>();
            for (sums, vectors) in sums.iter_mut().zip(vectors) {
                for (index, (sum, vector)) in sums[$row].iter_mut().zip(vectors).enumerate() {
                    // On x86-64 a result takes the place of its first operand, which costs a copy where that is needed
                    // again. Cranelift computes the sums from the last to the first: the second vector is needed last in the
                    // first row's second sum, and each factor in its row's first.
                    *sum = if $row == 0 && index == VECTORS - 1 {
                        vector.mul_add(factor, *sum)
                    } else {
                        factor.mul_add(vector, *sum)
                    };
                }
            }
        };
    }
    row!(0);
    row!(1);
    row!(2);
    row!(3);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The product, summed up in 64 bits.
    fn plain(depth: usize, left: &[f32], right: &[f32], start: [f32; 2]) -> [[f64; 4 * VECTORS]; ROWS] {
        std::array::from_fn(|row| {
            std::array::from_fn(|column| {
                let product = |step: usize| f64::from(left[step * 8 + row]) * f64::from(right[step * 8 + column]);
                f64::from(start[column / 4]) + (0..depth).map(product).sum::<f64>()
            })
        })
    }

    proptest! {
        #[test]
        fn a_tile_is_the_product_of_its_panels(
            panels in (1..250_usize).prop_flat_map(|depth| {
                (prop::collection::vec(-1.0_f32..1.0, depth * 8), prop::collection::vec(-1.0_f32..1.0, depth * 8))
            }),
            start in prop::array::uniform2(-1.0_f32..1.0),
        ) {
            let (left, right) = panels;
            let vectors = start.map(F32x4::splat);
            let depth = left.len() / 8;
            // SAFETY: there are eight numbers of each step in both.
            let [tile] = unsafe { multiply::<1, 8, 8, TIGHT>(depth, left.as_ptr(), right.as_ptr(), 0, [vectors]) };
            let numbers = |tile: [[F32x4; VECTORS]; ROWS]| tile.map(|row| row.map(F32x4::to_array));
            if depth <= SHORT {
                // SAFETY: as above.
                let [straight] = unsafe { multiply::<1, 8, 8, STRAIGHT>(depth, left.as_ptr(), right.as_ptr(), 0, [vectors]) };
                prop_assert_eq!(numbers(straight), numbers(tile));
            }
            // Beside it the tile that begins a step later, of as many steps as there are then.
            // SAFETY: there are eight numbers of each of so many steps, from the second on, too.
            let (one, wide) = unsafe {
                let fewer = depth - usize::from(depth > 1);
                let later = 8 * (depth - fewer);
                let [one] = multiply::<1, 8, 8, TIGHT>(fewer, left.as_ptr(), right.as_ptr().add(later), 0, [vectors]);
                (one, multiply::<2, 8, 8, TIGHT>(fewer, left.as_ptr(), right.as_ptr(), later, [vectors; 2]))
            };
            prop_assert_eq!(numbers(wide[1]), numbers(one));
            for (row, expected) in tile.iter().zip(plain(depth, &left, &right, start)) {
                let row = row.iter().flat_map(|vector| vector.to_array());
                for (got, expected) in row.zip(expected) {
                    prop_assert!((f64::from(got) - expected).abs() <= 1e-5 * depth as f64, "{got} {expected}");
                }
            }
        }
    }
}
