//! Filters that are the same about their middle, or the opposite.

/// What may be done with some filters instead of a convolution with them.
#[derive(Debug, PartialEq, Eq)]
pub struct Symmetry {
    /// The filters before this one are even.
    pub even: usize,
}

impl Symmetry {
    /// That of `columns` filters of `steps` numbers, of which `weight` tells each by its step and its column: the first even,
    /// the others odd. None where some are neither.
    pub fn of(steps: usize, columns: usize, weight: impl Fn(usize, usize) -> f32) -> Option<Symmetry> {
        let folds = |column: usize, sign: f32| {
            (1..steps.div_ceil(2)).all(|step| weight(step, column) == sign * weight(steps - step, column))
        };
        let is_odd =
            |column: usize| weight(0, column) == 0.0 && weight(steps / 2, column) == 0.0 && folds(column, -1.0);
        // Filters of nothing are both: the imaginary part has as many as the real one.
        let even = (0..columns).rev().find(|column| !is_odd(*column)).map_or(0, |column| column + 1);
        (0..even).all(|column| folds(column, 1.0)).then_some(Symmetry { even })
    }
}
