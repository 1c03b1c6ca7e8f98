//! Weights as kernels have them: in vectors.

use crate::vector::F32x4;

/// Four of `count` numbers, from `first` on, of which `of` tells each; zeros behind them, and for numbers nearer to zero than
/// 2^-126, the subnormal ones: many processors take a hundred times as long to multiply by these.
pub fn vector(count: usize, first: usize, of: impl Fn(usize) -> f32) -> F32x4 {
    let numbers: [f32; 4] = std::array::from_fn(|lane| {
        let number = if first + lane < count { of(first + lane) } else { 0.0 };
        if number.is_subnormal() { 0.0 } else { number }
    });
    // SAFETY: there are four numbers.
    unsafe { F32x4::load(numbers.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_subnormal_weights_and_none_behind_the_last() {
        let of = |index: usize| [1.5, -1e-39, f32::NAN, -f32::MIN_POSITIVE, 1e-45, 2.0][index];
        let [a, b, c, d] = vector(6, 0, of).to_array();
        assert!((a, b, d) == (1.5, 0.0, -f32::MIN_POSITIVE) && c.is_nan());
        assert_eq!(vector(6, 4, of).to_array(), [0.0, 2.0, 0.0, 0.0]);
    }
}
