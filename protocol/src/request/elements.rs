//! A tensor's elements from JSON, straight into bytes.
//!
//! The text is one JSON value whose grammar has been checked, so it is enough to look at brackets and at
//! what is between them. No tree is built, and nesting takes no stack.

mod nesting;
mod number;

use std::borrow::Cow;

use self::nesting::Nesting;
use crate::excerpt::excerpt;
use crate::{Datatype, push_bytes_element};

/// The fewest bytes that an element and what parts it from the next take: `1,`.
const MIN_ELEMENT_BYTES: usize = 2;

/// Reads `data`: an array, flat or nested like `shape`, of `count` elements.
///
/// The error is the rest of a sentence about the input.
pub(super) fn read(datatype: Datatype, shape: &[u64], count: u64, json: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(capacity(datatype, count, json));
    let mut nesting = Nesting::new(shape, count);
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => at += 1,
            b'[' => {
                nesting.open()?;
                at += 1;
            }
            b']' => {
                nesting.close()?;
                at += 1;
            }
            _ => {
                let index = nesting.element()?;
                let end = at + token_length(bytes.get(at..).unwrap_or_default());
                let token = json.get(at..end).unwrap_or_default();
                if !push(datatype, token, &mut out) {
                    return Err(format!(
                        "element {index} of `data` is {}, expected {}",
                        excerpt(token),
                        expectation(datatype)
                    ));
                }
                at = end;
            }
        }
    }
    nesting.finish()?;
    Ok(out)
}

/// How much memory the elements take, no more than text of that length can fill.
fn capacity(datatype: Datatype, count: u64, json: &str) -> usize {
    let most = json.len() / MIN_ELEMENT_BYTES + 1;
    let count = usize::try_from(count).map_or(most, |count| count.min(most));
    match datatype.size() {
        Some(size) => count.saturating_mul(size),
        None => json.len().saturating_add(count.saturating_mul(2)),
    }
}

/// The length of the string, number, literal or object at the start of `bytes`; at least 1.
fn token_length(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&b'"') {
        return bytes
            .iter()
            .position(|byte| matches!(byte, b',' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
            .unwrap_or(bytes.len())
            .max(1);
    }
    let mut escaped = false;
    bytes
        .iter()
        .skip(1)
        .position(|&byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        })
        .map_or(bytes.len(), |inside| inside + 2)
}

/// Appends one element, or says that it is not of the datatype.
fn push(datatype: Datatype, token: &str, out: &mut Vec<u8>) -> bool {
    match datatype {
        Datatype::Bool => push_bool(token, out),
        Datatype::Uint8 => number::push_integer::<1>(token, 0, u8::MAX.into(), out),
        Datatype::Uint16 => number::push_integer::<2>(token, 0, u16::MAX.into(), out),
        Datatype::Uint32 => number::push_integer::<4>(token, 0, u32::MAX.into(), out),
        Datatype::Uint64 => number::push_integer::<8>(token, 0, u64::MAX, out),
        Datatype::Int8 => number::push_integer::<1>(token, 1 << 7, (1 << 7) - 1, out),
        Datatype::Int16 => number::push_integer::<2>(token, 1 << 15, (1 << 15) - 1, out),
        Datatype::Int32 => number::push_integer::<4>(token, 1 << 31, (1 << 31) - 1, out),
        Datatype::Int64 => number::push_integer::<8>(token, 1 << 63, (1 << 63) - 1, out),
        Datatype::Fp16 => number::push_fp16(token, out),
        Datatype::Fp32 => number::push_fp32(token, out),
        Datatype::Fp64 => number::push_fp64(token, out),
        Datatype::Bytes => push_string(token, out),
    }
}

/// What an element of a datatype looks like, for a message.
const fn expectation(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "true or false (BOOL)",
        Datatype::Uint8 => "an integer from 0 to 255 (UINT8)",
        Datatype::Uint16 => "an integer from 0 to 65535 (UINT16)",
        Datatype::Uint32 => "an integer from 0 to 4294967295 (UINT32)",
        Datatype::Uint64 => "an integer from 0 to 18446744073709551615 (UINT64)",
        Datatype::Int8 => "an integer from -128 to 127 (INT8)",
        Datatype::Int16 => "an integer from -32768 to 32767 (INT16)",
        Datatype::Int32 => "an integer from -2147483648 to 2147483647 (INT32)",
        Datatype::Int64 => "an integer from -9223372036854775808 to 9223372036854775807 (INT64)",
        Datatype::Fp16 => "a number between -65520 and 65520 (FP16)",
        Datatype::Fp32 => "a number that 32 bits of floating point can hold (FP32)",
        Datatype::Fp64 => "a number that 64 bits of floating point can hold (FP64)",
        Datatype::Bytes => "a string (BYTES)",
    }
}

fn push_bool(token: &str, out: &mut Vec<u8>) -> bool {
    match token {
        "true" => out.push(1),
        "false" => out.push(0),
        _ => return false,
    }
    true
}

fn push_string(token: &str, out: &mut Vec<u8>) -> bool {
    let plain = token.strip_prefix('"').and_then(|token| token.strip_suffix('"')).filter(|text| !text.contains('\\'));
    let text = match plain {
        Some(text) => Cow::Borrowed(text),
        None => match serde_json::from_str::<String>(token) {
            Ok(text) => Cow::Owned(text),
            Err(_) => return false,
        },
    };
    push_bytes_element(out, text.as_bytes());
    true
}

#[cfg(test)]
mod tests;
