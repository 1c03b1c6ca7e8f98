//! Functions of four numbers at a time, accurate to a few units of the last place where a result is not tiny.

use crate::vector::F32x4;

/// The natural logarithm of 2^-126, the smallest number that is not subnormal.
const LOG_OF_LEAST: f32 = -87.336_54;

/// A polynomial by Horner's rule, its highest coefficient first.
#[inline(always)]
fn polynomial<const N: usize>(x: F32x4, coefficients: [f32; N]) -> F32x4 {
    let mut sum = F32x4::splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, F32x4::splat(coefficient));
    }
    sum
}

/// e to the power of each; 0 where that is below 2^-126, and never above 2^127. The reduction and the polynomial are those of
/// Cephes' `expf` (Moshier, 1992).
#[inline(always)]
pub fn exp(x: F32x4) -> F32x4 {
    bounded_exp(x).unless_below(x, F32x4::splat(LOG_OF_LEAST))
}

/// The same, but 2^-126 where that is 0.
#[inline(always)]
fn bounded_exp(x: F32x4) -> F32x4 {
    let x = x.at_least(F32x4::splat(LOG_OF_LEAST)).at_most(F32x4::splat(88.029_69));
    let power = (x * F32x4::splat(std::f32::consts::LOG2_E)).nearest();
    // ln 2 in two parts, of which the first has few bits.
    let x = power.mul_add(F32x4::splat(-0.693_359_4), x);
    let x = power.mul_add(F32x4::splat(2.121_944_4e-4), x);
    let sum = polynomial(x, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    let one = F32x4::splat(1.0);
    (sum.mul_add(x * x, x) + one) * power.power_of_two()
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: F32x4) -> F32x4 {
    let one = F32x4::splat(1.0);
    one / (one + bounded_exp(F32x4::ZERO - x))
}

/// The hyperbolic tangent: the rational function that Eigen has for it, exact to 1 beyond its ends.
#[inline(always)]
pub fn tanh(x: F32x4) -> F32x4 {
    let x = x.at_least(F32x4::splat(-7.905_311)).at_most(F32x4::splat(7.905_311));
    let square = x * x;
    let above = polynomial(
        square,
        [-2.760_768_5e-16, 2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619e-4, 4.893_524_6e-3],
    );
    let below = polynomial(square, [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3]);
    (x * above) / below
}

/// The error function: the rational function that Eigen has for it, exact to 1 beyond its ends.
#[inline(always)]
pub fn erf(x: F32x4) -> F32x4 {
    let x = x.at_least(F32x4::splat(-4.0)).at_most(F32x4::splat(4.0));
    let square = x * x;
    let above = polynomial(
        square,
        [
            -2.726_142_3e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_5e-5,
            -7.349_906_4e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    let below = polynomial(square, [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2]);
    (x * above) / below
}

/// x times the share of a normal distribution that is below x: GELU in its exact form.
#[inline(always)]
pub fn gelu(x: F32x4) -> F32x4 {
    let half = F32x4::splat(0.5) * x;
    erf(x * F32x4::splat(std::f32::consts::FRAC_1_SQRT_2)).mul_add(half, half)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(function: fn(F32x4) -> F32x4, x: f32) -> f64 {
        f64::from(function(F32x4::splat(x)).to_array()[0])
    }

    /// The error function, by its series. Its terms are large for large numbers: beyond 4.5, 1 is nearer than the sum.
    fn plain_erf(x: f64) -> f64 {
        if x.abs() > 4.5 {
            return x.signum();
        }
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    proptest! {
        #[test]
        fn exp_is_exact_to_a_few_places(x in -87.0_f32..88.0) {
            let expected = f64::from(x).exp();
            prop_assert!((one(exp, x) / expected - 1.0).abs() < 3e-7, "{x}");
        }

        #[test]
        fn the_others_are_exact_to_a_few_places(x in -12.0_f32..12.0) {
            let wide = f64::from(x);
            prop_assert!((one(sigmoid, x) * (1.0 + (-wide).exp()) - 1.0).abs() < 1e-6, "sigmoid of {x}");
            prop_assert!((one(tanh, x) - wide.tanh()).abs() < 5e-7, "tanh of {x}");
            prop_assert!((one(erf, x) - plain_erf(wide)).abs() < 5e-7, "erf of {x}");
            let expected = wide * 0.5 * (1.0 + plain_erf(wide / 2_f64.sqrt()));
            prop_assert!((one(gelu, x) - expected).abs() < 1e-6 * (1.0 + wide.abs()), "gelu of {x}");
        }
    }

    #[test]
    fn the_ends_are_reached() {
        assert_eq!((one(tanh, 1e30), one(tanh, -1e30)), (one(tanh, 7.91), -one(tanh, 7.91)));
        assert!(one(exp, -87.33) > 1.17e-38 && one(exp, f32::INFINITY) > 1e38);
        assert_eq!((one(exp, -87.34), one(exp, f32::NEG_INFINITY)), (0.0, 0.0));
        assert_eq!((one(sigmoid, f32::INFINITY), one(sigmoid, -200.0) < 1e-37), (1.0, true));
        for function in [exp, sigmoid, tanh, erf, gelu] {
            assert!(one(function, f32::NAN).is_nan());
        }
    }
}
