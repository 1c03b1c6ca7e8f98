//! Filters that are the same about their middle, or the opposite.

/// How many of `columns` filters of `steps` numbers are even, where all others, which come after them, are odd; `weight` tells each
/// number by its step and its column. None where some are neither.
pub fn even(steps: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> Option<usize> {
    let folds = |column: usize, sign: f32| {
        (1..steps.div_ceil(2)).all(|step| weight(step, column) == sign * weight(steps - step, column))
    };
    let is_odd = |column: usize| weight(0, column) == 0.0 && weight(steps / 2, column) == 0.0 && folds(column, -1.0);
    // Filters of nothing are both: the imaginary part has as many as the real one.
    let even = (0..columns).rev().find(|column| !is_odd(*column)).map_or(0, |column| column + 1);
    (0..even).all(|column| folds(column, 1.0)).then_some(even)
}
