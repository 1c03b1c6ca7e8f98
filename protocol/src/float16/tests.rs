use super::{INFINITY, from_f64, to_f32};

/// Every binary16 that is finite and not negative, in order.
fn magnitudes() -> std::ops::Range<u16> {
    0..INFINITY
}

#[test]
fn every_binary16_has_its_value() {
    for bits in magnitudes() {
        let (exponent, fraction) = (i32::from(bits >> 10), f64::from(bits & 0x3ff));
        let expected = match exponent {
            0 => fraction * 2_f64.powi(-24),
            _ => (fraction + 1024.0) * 2_f64.powi(exponent - 25),
        };
        assert_eq!(f64::from(to_f32(bits)), expected, "{bits:#06x}");
        assert_eq!(to_f32(bits | 0x8000).to_bits(), (-to_f32(bits)).to_bits(), "-{bits:#06x}");
    }
    assert_eq!(to_f32(INFINITY), f32::INFINITY);
    assert_eq!(to_f32(INFINITY | 0x8000), f32::NEG_INFINITY);
    for bits in INFINITY + 1..0x8000 {
        assert!(to_f32(bits).is_nan(), "{bits:#06x}");
    }
}

#[test]
fn every_finite_binary16_survives_a_round_trip() {
    for bits in magnitudes() {
        for bits in [bits, bits | 0x8000] {
            assert_eq!(from_f64(to_f32(bits).into()), Some(bits), "{bits:#06x}");
        }
    }
}

#[test]
fn numbers_between_two_neighbours_round_to_the_nearest_and_ties_to_even() {
    for low in 0..INFINITY - 1 {
        let high = low + 1;
        let even = low + low % 2;
        let middle = f64::midpoint(to_f32(low).into(), to_f32(high).into());
        for (value, expected) in [(middle.next_down(), low), (middle, even), (middle.next_up(), high)] {
            assert_eq!(from_f64(value), Some(expected), "{value}");
            assert_eq!(from_f64(-value), Some(expected | 0x8000), "-{value}");
        }
    }
}

#[test]
fn numbers_too_small_are_zero() {
    for value in [2_f64.powi(-25), 1e-300, f64::from_bits(1), 0.0] {
        assert_eq!(from_f64(value), Some(0), "{value}");
        assert_eq!(from_f64(-value), Some(0x8000), "-{value}");
    }
}

#[test]
fn refuses_what_rounds_to_an_infinity() {
    assert_eq!(from_f64(65504.0), Some(0x7bff));
    assert_eq!(from_f64(65520_f64.next_down()), Some(0x7bff));
    for value in [65520.0, -65520.0, 65536.0, 1e300, f64::INFINITY, f64::NAN] {
        assert_eq!(from_f64(value), None, "{value}");
    }
}
