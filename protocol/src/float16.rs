//! IEEE 754 binary16, which Rust has no stable type for.

/// What an infinity's exponent looks like in 16 bits, and the first magnitude that is not finite.
const INFINITY: u16 = 0x7c00;

/// The value of a binary16; every one has an exact binary32.
pub(crate) fn to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let fraction = u32::from(half & 0x3ff);
    match exponent {
        0 => {
            // Zero or subnormal: a multiple of 2^-24.
            let magnitude = fraction as f32 / (1 << 24) as f32;
            f32::from_bits(magnitude.to_bits() | sign)
        }
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The binary16 nearest to a number, ties to even, or `None` where that is not finite: from 65520 on.
pub(crate) fn from_f64(value: f64) -> Option<u16> {
    // Adding and taking away a power of two rounds to the wanted unit in the last place: 10 bits below
    // the number's own exponent, or 2^-24 where binary16 is subnormal.
    let magnitude = value.abs();
    let exponent = (magnitude.to_bits() >> 52) as i32 - 1023;
    let unit = (exponent - 10).max(-24);
    if exponent > 15 {
        return None;
    }
    let scale = f64::from_bits(((unit + 52 + 1023) as u64) << 52);
    let rounded = (magnitude + scale) - scale;
    let units = (rounded * f64::from_bits(((1023 - unit) as u64) << 52)) as u16;
    // A subnormal's bits are its units; a normal's have an implicit leading bit, which carries into the
    // exponent where rounding reached the next power of two.
    let bits = units + (((unit + 24) as u16) << 10);
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    (bits < INFINITY).then_some(sign | bits)
}

#[cfg(test)]
mod tests;
