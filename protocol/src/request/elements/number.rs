//! JSON numbers as integers and floating-point numbers.
//!
//! Each function appends a number little-endian, or says that the token is not one of the datatype.

use crate::float16;

/// Appends an integer of `N` bytes, not above `max`, or if it is negative not below `-lowest`.
///
/// Fractions and exponents are refused even where the value is whole, as Triton does: data that has them
/// was not made for an integer datatype.
pub(super) fn push_integer<const N: usize>(token: &str, lowest: u64, max: u64, out: &mut Vec<u8>) -> bool {
    let (digits, negative) = match token.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (token, false),
    };
    let limit = if negative { lowest } else { max };
    let Some(magnitude) = parse_digits(digits).filter(|&magnitude| magnitude <= limit) else {
        return false;
    };
    let value = if negative { magnitude.wrapping_neg() } else { magnitude };
    // Two's complement: the low bytes are the same in every width that holds the value.
    let Some(bytes) = value.to_le_bytes().first_chunk::<N>().copied() else {
        return false;
    };
    out.extend_from_slice(&bytes);
    true
}

fn parse_digits(digits: &str) -> Option<u64> {
    let mut magnitude = 0_u64;
    for digit in digits.bytes() {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(magnitude)
}

/// Appends the binary16 nearest to the binary64 that is nearest to the number.
pub(super) fn push_fp16(token: &str, out: &mut Vec<u8>) -> bool {
    let bits = token.parse().ok().and_then(float16::from_f64);
    bits.is_some_and(|bits| {
        out.extend_from_slice(&bits.to_le_bytes());
        true
    })
}

/// Appends the binary32 nearest to the number.
pub(super) fn push_fp32(token: &str, out: &mut Vec<u8>) -> bool {
    let value = token.parse().ok().filter(|value: &f32| value.is_finite());
    value.is_some_and(|value| {
        out.extend_from_slice(&value.to_le_bytes());
        true
    })
}

/// Appends the binary64 nearest to the number.
pub(super) fn push_fp64(token: &str, out: &mut Vec<u8>) -> bool {
    let value = token.parse().ok().filter(|value: &f64| value.is_finite());
    value.is_some_and(|value| {
        out.extend_from_slice(&value.to_le_bytes());
        true
    })
}
