use proptest::prelude::*;

use super::*;
use crate::activation::Bounds;
use crate::activation::tests::activations;
use crate::numbers::numbers;

/// What the product of a row and a column is, and its bias, in 64 bits.
fn plain(row: &[f32], weight: impl Fn(usize) -> f32, bias: f32, activation: Activation) -> f64 {
    let sum: f64 = row.iter().enumerate().map(|(step, x)| f64::from(*x) * f64::from(weight(step))).sum();
    activation.plain(sum + f64::from(bias))
}

/// Holds what was written, whose rows are `stride` apart, against the product of rows of `depth` numbers, `apart` from one to the
/// next, with weights and a bias; nothing else was written to.
fn is_product(
    [from, weights, bias, to]: [&[f32]; 4],
    [depth, apart, stride]: [usize; 3],
    activation: Activation,
) -> Result<(), TestCaseError> {
    let columns = bias.len();
    for (row, to) in to.chunks_exact(stride).enumerate() {
        prop_assert!(to[columns..].iter().all(|x| x.is_nan()), "nothing else is written to");
        for (column, got) in to[..columns].iter().enumerate() {
            let weight = |step: usize| weights[step * columns + column];
            let expected = plain(&from[row * apart..][..depth], weight, bias[column], activation);
            prop_assert!((f64::from(*got) - expected).abs() < 1e-5 * depth as f64, "{got} {expected}");
        }
    }
    Ok(())
}

fn packed(rows: &[f32], depth: usize) -> Vec<F32x4> {
    let count = rows.len() / depth;
    let mut packed = vec![F32x4::ZERO; strips::count(count) * depth];
    for part in parts(count, depth, packed.as_mut_ptr()) {
        let rows = std::array::from_fn(|index| rows[(part.first + index).min(part.last) * depth..].as_ptr());
        // SAFETY: each row has as many numbers, and there is room for all strips.
        unsafe { part.pack(0, rows, depth) };
    }
    packed
}

proptest! {
    #[test]
    fn a_product_is_that_of_rows_and_columns(
        rows in 1..32_usize, depth in 1..140_usize, columns in 1..27_usize, gap in 0..3_usize, seed in 0..1000_u32,
        activation in activations(),
    ) {
        let (weights, bias) = (numbers(seed, depth * columns), numbers(seed + 1, columns));
        let from = numbers(seed + 2, rows * depth);
        let product = Weights::pack(depth, columns, |step, column| weights[step * columns + column], |column| bias[column]);
        let stride = columns + gap;
        let mut to = vec![f32::NAN; rows * stride];
        // SAFETY: there is as much room.
        unsafe {
            product.multiply(rows, &packed(&from, depth), Target { to: to.as_mut_ptr(), stride }, activation);
            // The same, bit by bit, with the kernels for others.
            for tune in [Tune::Skylake, Tune::Aarch64] {
                let mut other = vec![f32::NAN; rows * stride];
                tune.choose();
                product.multiply(rows, &packed(&from, depth), Target { to: other.as_mut_ptr(), stride }, activation);
                Tune::X86_64.choose();
                prop_assert!(to.iter().zip(&other).all(|(x, y)| x.to_bits() == y.to_bits()), "{tune:?}");
            }
        }
        is_product([&from, &weights, &bias, &to], [depth, depth, stride], activation)?;
    }

    #[test]
    fn a_product_of_rows_as_they_lie_is_the_same(
        rows in 5..140_usize, depth in 1..140_usize, columns in 1..27_usize, gap in 0..3_usize, seed in 0..1000_u32,
        activation in activations(),
    ) {
        let (weights, bias) = (numbers(seed, depth * columns), numbers(seed + 1, columns));
        let apart = depth + gap;
        let from = numbers(seed + 2, rows * apart);
        let product = Weights::pack(depth, columns, |step, column| weights[step * columns + column], |column| bias[column]);
        let stride = columns + gap;
        let mut to = vec![f32::NAN; rows * stride];
        let lies = |row: usize| from[row * apart..].as_ptr();
        // SAFETY: there are as many rows, and as much room.
        unsafe { product.multiply_lying(rows, lies, Target { to: to.as_mut_ptr(), stride }, activation) };
        let mut other = vec![f32::NAN; rows * stride];
        let mut room = vec![F32x4::ZERO; product.room_for(rows)];
        for part in lying_parts(rows, depth, room.as_mut_ptr()) {
            let row = |index: usize| from[(part.first + index).min(part.last) * apart..].as_ptr();
            // SAFETY: each row has as many numbers, and there is room for all.
            unsafe {
                part.pack(0, std::array::from_fn(row), depth - 1);
                let last: [f32; 4] = std::array::from_fn(|index| *row(index).add(depth - 1));
                part.put(depth - 1, F32x4::load(last.as_ptr()));
            }
        }
        let (laid, target): (*const f32, _) = (room.as_ptr().cast(), Target { to: other.as_mut_ptr(), stride });
        // SAFETY: as above.
        unsafe { product.multiply_lying(rows, |row| laid.wrapping_add(row * depth), target, activation) };
        prop_assert!(to.iter().zip(&other).all(|(x, y)| x.to_bits() == y.to_bits()), "the same of rows that are laid there");
        is_product([&from, &weights, &bias, &to], [depth, apart, stride], activation)?;
    }

    #[test]
    fn what_is_left_of_lying_rows_is_as_many_as_a_tile_has(
        rows in 5..5000_usize, depth in 1..2000_usize, columns in 1..3000_usize,
    ) {
        let product = Weights { depth, columns, blocks: [].into(), bias: [].into() };
        let mut left = rows;
        while left > 0 {
            let some = product.lying_at_a_time(left);
            prop_assert!(some >= 5 && some <= left, "{some} of {left}");
            left -= some;
        }
    }

    #[test]
    fn rows_are_packed_once_and_find_room(rows in 0..100_usize, fewer in 0..100_usize, depth in 1..70_usize) {
        let product = Weights::pack(depth, 1, |_, _| 0.0, |_| 0.0);
        let mut packed = vec![F32x4::ZERO; product.vectors(rows)];
        let mut all = || parts(rows, depth, packed.as_mut_ptr());
        let each: Vec<usize> = all().flat_map(|part| part.first..=part.last).collect();
        prop_assert_eq!(each, (0..rows).collect::<Vec<_>>());
        // Nothing of a part is another's, and none is beyond the end.
        for step in 0..depth {
            for part in all() {
                // SAFETY: there is room for all parts.
                unsafe { part.put(step, F32x4::splat(1.0)) };
            }
        }
        let numbers: Vec<f32> = packed.iter().flat_map(|vector| vector.to_array()).collect();
        prop_assert!(numbers.iter().all(|x| *x == 1.0));
        prop_assert!(product.vectors(rows.saturating_sub(fewer)) <= product.room_for(rows));
    }

    #[test]
    fn weights_that_come_later_are_the_same(
        depth in 1..40_usize, columns in 1..27_usize, gap in 0..3_usize, seed in 0..1000_u32,
    ) {
        let row = numbers(seed, depth);
        for by_step in [true, false] {
            let stride = gap + if by_step { columns } else { depth };
            let weights = numbers(seed + 1, stride * if by_step { depth } else { columns });
            let (step_stride, column_stride) = if by_step { (stride, 1) } else { (1, stride) };
            let mut product = Weights::empty(depth, columns);
            let mut to = vec![f32::NAN; columns];
            // SAFETY: there are as many weights, and as much room.
            unsafe {
                product.fill(weights.as_ptr(), step_stride, column_stride);
                product.multiply(1, &packed(&row, depth), Target { to: to.as_mut_ptr(), stride: columns }, Activation::NONE);
            }
            for (column, got) in to.into_iter().enumerate() {
                let weight = |step: usize| weights[step * step_stride + column * column_stride];
                let expected = plain(&row, weight, 0.0, Activation::NONE);
                prop_assert!((f64::from(got) - expected).abs() < 1e-5 * depth as f64, "{got} {expected}");
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_so() {
    let product = Weights::pack(1, 1, |_, _| f32::NAN, |_| 0.0);
    let mut to = [0.0];
    // SAFETY: there is room for one number.
    unsafe {
        let clip = Activation::Clip(Bounds { low: 0.0, high: 6.0 });
        product.multiply(1, &packed(&[1.0], 1), Target { to: to.as_mut_ptr(), stride: 1 }, clip);
    }
    assert!(to[0].is_nan());
}
