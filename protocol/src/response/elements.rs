//! A tensor's elements as JSON, without the brackets.

use std::io;

use serde_json::ser::{CompactFormatter, Formatter};

use crate::{Datatype, bytes_elements, float16};

/// Writes every element, parted by commas. The error is what JSON cannot hold, for a message.
pub(super) fn write(datatype: Datatype, data: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let written = match datatype {
        Datatype::Bool => write_all(data, out, |[byte], out| json().write_bool(out, byte != 0)),
        Datatype::Uint8 => write_all(data, out, |[byte], out| json().write_u8(out, byte)),
        Datatype::Uint16 => write_all(data, out, |bytes, out| json().write_u16(out, u16::from_le_bytes(bytes))),
        Datatype::Uint32 => write_all(data, out, |bytes, out| json().write_u32(out, u32::from_le_bytes(bytes))),
        Datatype::Uint64 => write_all(data, out, |bytes, out| json().write_u64(out, u64::from_le_bytes(bytes))),
        Datatype::Int8 => write_all(data, out, |bytes, out| json().write_i8(out, i8::from_le_bytes(bytes))),
        Datatype::Int16 => write_all(data, out, |bytes, out| json().write_i16(out, i16::from_le_bytes(bytes))),
        Datatype::Int32 => write_all(data, out, |bytes, out| json().write_i32(out, i32::from_le_bytes(bytes))),
        Datatype::Int64 => write_all(data, out, |bytes, out| json().write_i64(out, i64::from_le_bytes(bytes))),
        Datatype::Fp16 => write_all(data, out, |bytes, out| write_f32(float16::to_f32(u16::from_le_bytes(bytes)), out)),
        Datatype::Fp32 => write_all(data, out, |bytes, out| write_f32(f32::from_le_bytes(bytes), out)),
        Datatype::Fp64 => write_all(data, out, |bytes, out| {
            let value = f64::from_le_bytes(bytes);
            finite(value.is_finite())?;
            json().write_f64(out, value)
        }),
        Datatype::Bytes => return write_strings(data, out),
    };
    written.map_err(|_| "holds NaN or an infinity")
}

/// Writes a JSON string, escaped.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing to a vector does not fail, and a string has no part that JSON lacks.
    let _ = serde_json::to_writer(out, text);
}

/// Writes sizes, parted by commas.
pub(super) fn write_sizes(sizes: &[u64], out: &mut Vec<u8>) {
    for (axis, &size) in sizes.iter().enumerate() {
        if axis > 0 {
            out.push(b',');
        }
        let _ = json().write_u64(out, size);
    }
}

const fn json() -> CompactFormatter {
    CompactFormatter
}

/// Writes elements of `N` bytes each.
fn write_all<const N: usize>(
    data: &[u8],
    out: &mut Vec<u8>,
    write: impl Fn([u8; N], &mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    for (index, bytes) in data.as_chunks::<N>().0.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(*bytes, out)?;
    }
    Ok(())
}

fn write_f32(value: f32, out: &mut Vec<u8>) -> io::Result<()> {
    finite(value.is_finite())?;
    json().write_f32(out, value)
}

fn finite(is_finite: bool) -> io::Result<()> {
    if is_finite { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn write_strings(data: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    for (index, element) in bytes_elements(data).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let text =
            element.ok().and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or("holds bytes that are not UTF-8")?;
        write_string(text, out);
    }
    Ok(())
}
