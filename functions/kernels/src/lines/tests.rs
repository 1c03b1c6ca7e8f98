use proptest::prelude::*;

use super::*;

/// Rows of numbers, all as long.
fn matrices() -> impl Strategy<Value = (usize, Vec<f32>)> {
    (1..7_usize, 1..40_usize)
        .prop_flat_map(|(rows, columns)| (Just(columns), prop::collection::vec(-4.0_f32..4.0, rows * columns)))
}

/// What a reduction gives, in 64 bits.
fn plain(reduction: Reduction, numbers: impl Iterator<Item = f32>) -> f64 {
    let numbers = numbers.map(f64::from);
    match reduction {
        Reduction::Sum => numbers.sum(),
        Reduction::SumOfSquares => numbers.map(|x| x * x).sum(),
        Reduction::Max => numbers.fold(f64::NEG_INFINITY, f64::max),
        Reduction::Min => numbers.fold(f64::INFINITY, f64::min),
    }
}

proptest! {
    #[test]
    fn rows_and_columns_are_reduced((columns, numbers) in matrices()) {
        let rows = numbers.len() / columns;
        for reduction in [Reduction::Sum, Reduction::SumOfSquares, Reduction::Max, Reduction::Min] {
            let (mut of_rows, mut of_columns) = (vec![f32::NAN; rows], vec![f32::NAN; columns]);
            reduction.rows(columns, &numbers, &mut of_rows);
            reduction.columns(&numbers, &mut of_columns);
            for (row, got) in of_rows.into_iter().enumerate() {
                let expected = plain(reduction, numbers[row * columns..][..columns].iter().copied());
                prop_assert!((f64::from(got) - expected).abs() < 1e-4, "{reduction:?} of row {row}: {got} {expected}");
            }
            for (column, got) in of_columns.into_iter().enumerate() {
                let expected = plain(reduction, numbers[column..].iter().step_by(columns).copied());
                prop_assert!((f64::from(got) - expected).abs() < 1e-4, "{reduction:?} of column {column}: {got} {expected}");
            }
        }
    }

    #[test]
    fn softmax_is_each_numbers_share((columns, numbers) in matrices()) {
        let mut shares = numbers.clone();
        softmax(columns, &mut shares);
        for (row, shares) in numbers.chunks_exact(columns).zip(shares.chunks_exact(columns)) {
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            for (x, share) in row.iter().zip(shares) {
                prop_assert!((f64::from(*share) - f64::from(*x).exp() / sum).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn no_share_is_subnormal(least in -130.0_f32..-80.0, columns in 2..70_usize) {
        let mut shares: Vec<f32> = (0..columns).map(|column| least * column as f32 / (columns - 1) as f32).collect();
        let expected: Vec<f64> = shares.iter().map(|x| f64::from(*x).exp()).collect();
        softmax(columns, &mut shares);
        let sum: f64 = expected.iter().sum();
        for (share, expected) in shares.iter().zip(expected) {
            prop_assert!(!share.is_subnormal(), "{share:e}");
            // Not 0 already where it is further from it than by rounding.
            prop_assert!(*share > 0.0 || expected / sum < 1.2e-38, "{expected:e}");
        }
    }

    #[test]
    fn rows_are_normalized((columns, numbers) in matrices(), centered in any::<bool>()) {
        let factors: Vec<f32> = (0..columns).map(|column| 1.0 + column as f32 / 8.0).collect();
        let summands: Vec<f32> = (0..columns).map(|column| column as f32 / 4.0 - 1.0).collect();
        let mut normalized = numbers.clone();
        normalize(Normalization { centered, epsilon: 1e-3 }, &factors, &summands, &mut normalized);
        for (row, got) in numbers.chunks_exact(columns).zip(normalized.chunks_exact(columns)) {
            let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
            let mean = if centered { row.iter().sum::<f64>() / columns as f64 } else { 0.0 };
            let squares = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / columns as f64;
            for (column, got) in got.iter().enumerate() {
                let x = (row[column] - mean) / (squares + 1e-3).sqrt();
                let expected = x * f64::from(factors[column]) + f64::from(summands[column]);
                prop_assert!((f64::from(*got) - expected).abs() < 2e-4, "{got} {expected}");
            }
        }
    }

    #[test]
    fn columns_become_rows((columns, numbers) in matrices(), gap in 0..3_usize) {
        let rows = numbers.len() / columns;
        let stride = rows + gap;
        let mut to = vec![f32::NAN; columns * stride];
        // SAFETY: there are as many numbers, and as much room.
        unsafe { transpose(rows, columns, numbers.as_ptr(), columns, to.as_mut_ptr(), stride) };
        for (column, to) in to.chunks_exact(stride).enumerate() {
            prop_assert!(to[..rows].iter().enumerate().all(|(row, x)| *x == numbers[row * columns + column]));
            prop_assert!(to[rows..].iter().all(|x| x.is_nan()), "nothing else is written to");
        }
    }
}

#[test]
fn large_numbers_do_not_overflow_and_what_is_no_number_makes_none() {
    let mut shares = [1000.0, 1000.0, -1000.0];
    softmax(3, &mut shares);
    assert_eq!(shares[..2], [0.5, 0.5]);
    assert!(shares[2] < 1e-30);
    let mut shares = [f32::NAN, 1.0];
    softmax(2, &mut shares);
    assert!(shares.iter().all(|x| x.is_nan()));
    let mut largest = [0.0];
    Reduction::Max.rows(2, &[f32::NAN, 1.0], &mut largest);
    assert!(largest[0].is_nan());
}

#[test]
fn nothing_is_reduced_to_what_changes_nothing() {
    let mut results = [1.0; 2];
    Reduction::Max.rows(0, &[], &mut results);
    assert_eq!(results, [f32::NEG_INFINITY; 2]);
    Reduction::Sum.columns(&[], &mut results);
    assert_eq!(results, [0.0; 2]);
}
