//! Content codings: `gzip` and `deflate`, in and out.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use flate2::{Compression, Decompress, FlushDecompress, Status};

use crate::Error;
use crate::excerpt::excerpt;

/// Below this many bytes, sending a body takes less time than compressing it: making a compressor alone
/// takes 0.2 ms and more, which is as long as a small model runs, and most HTTP clients accept `gzip`
/// without having been asked to.
const MIN_COMPRESSED_BYTES: usize = 16 << 10;

/// The first piece of memory for inflated bytes; each further one is as large as all before it.
const FIRST_CHUNK_BYTES: u64 = 16 << 10;

/// A content coding that can be read and written.
///
/// Source: RFC 9110, section 8.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, RFC 1952.
    Gzip,
    /// `deflate`: a deflate stream in zlib's wrapping, RFC 1950.
    Deflate,
}

// === impl Coding ===

impl Coding {
    /// The name in `Content-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The coding that a client prefers by its `Accept-Encoding`, or `None` to send the body as it is.
    ///
    /// The highest q-value wins and 0 forbids; between equals, `gzip`, then `deflate`, then `identity`.
    /// Items that cannot be parsed are passed over.
    #[must_use]
    pub fn preferred(accept_encoding: Option<&str>) -> Option<Self> {
        let (mut gzip, mut deflate, mut identity, mut others) = (None, None, None, None);
        for item in accept_encoding?.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let weighed = match parts.next().unwrap_or_default() {
                name if name.eq_ignore_ascii_case("gzip") => &mut gzip,
                name if name.eq_ignore_ascii_case("x-gzip") => &mut gzip,
                name if name.eq_ignore_ascii_case("deflate") => &mut deflate,
                name if name.eq_ignore_ascii_case("identity") => &mut identity,
                "*" => &mut others,
                _ => continue,
            };
            if let Some(weight) = parts.next().map_or(Some(1000), parse_weight) {
                *weighed = Some(weight);
            }
        }
        let gzip = gzip.or(others).unwrap_or(0);
        let deflate = deflate.or(others).unwrap_or(0);
        let best = gzip.max(deflate);
        if best == 0 || best < identity.unwrap_or(0) {
            None
        } else if best == gzip {
            Some(Self::Gzip)
        } else {
            Some(Self::Deflate)
        }
    }
}

/// A parameter such as `q=0.5`, in thousandths.
fn parse_weight(parameter: &str) -> Option<u16> {
    let value = parameter.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?;
    let weight: f32 = value.trim_start().parse().ok()?;
    (0.0..=1.0).contains(&weight).then_some((weight * 1000.0) as u16)
}

/// Undoes a body's `Content-Encoding`; `None`, an empty one and `identity` leave the body as it is.
///
/// `deflate` is read with zlib's wrapping, as the standard has it, and without, as some clients send it.
/// Never more than `max_bytes` are held: a body that would inflate beyond them is left off there.
///
/// # Errors
///
/// [`Error::UnsupportedMediaType`] for another coding, [`Error::BadRequest`] for a broken or unfinished
/// stream, and [`Error::PayloadTooLarge`] for more than `max_bytes`, coded or not.
pub fn decompress<'a>(content_encoding: Option<&str>, body: &'a [u8], max_bytes: u64) -> Result<Cow<'a, [u8]>, Error> {
    let name = content_encoding.unwrap_or_default().trim();
    let is = |coding: &str| name.eq_ignore_ascii_case(coding);
    let inflated = if name.is_empty() || is("identity") {
        Cow::Borrowed(body)
    } else if is("gzip") || is("x-gzip") {
        Cow::Owned(gunzip(body, max_bytes)?)
    } else if is("deflate") {
        Cow::Owned(inflate(body, max_bytes)?)
    } else {
        return Err(Error::UnsupportedMediaType(format!(
            "unsupported Content-Encoding `{}`, expected gzip, deflate or identity",
            excerpt(name)
        )));
    };
    if inflated.len() as u64 > max_bytes {
        return Err(Error::PayloadTooLarge(format!("the body holds more than {max_bytes} bytes")));
    }
    Ok(inflated)
}

/// Inflates until the end of the stream, or one byte beyond `max_bytes`.
fn gunzip(body: &[u8], max_bytes: u64) -> Result<Vec<u8>, Error> {
    let mut inflated = Vec::new();
    MultiGzDecoder::new(body)
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut inflated)
        .map_err(|error| broken("gzip", &error))?;
    Ok(inflated)
}

/// Inflates until the end of the stream, or one byte beyond `max_bytes`.
fn inflate(body: &[u8], max_bytes: u64) -> Result<Vec<u8>, Error> {
    let mut stream = Decompress::new(has_zlib_header(body));
    let mut inflated = Vec::new();
    while inflated.len() as u64 <= max_bytes {
        let held = inflated.len() as u64;
        let room = held.max(FIRST_CHUNK_BYTES).min(max_bytes.saturating_sub(held).saturating_add(1));
        inflated.reserve_exact(usize::try_from(room).unwrap_or(usize::MAX));
        let read = stream.total_in();
        let rest = usize::try_from(read).ok().and_then(|read| body.get(read..));
        let status = stream
            .decompress_vec(rest.unwrap_or_default(), &mut inflated, FlushDecompress::None)
            .map_err(|error| broken("deflate", &error))?;
        if status == Status::StreamEnd {
            if stream.total_in() != body.len() as u64 {
                return Err(broken("deflate", &"bytes follow the end of the stream"));
            }
            break;
        }
        if stream.total_in() == read && inflated.len() as u64 == held {
            return Err(broken("deflate", &"the stream ends early"));
        }
    }
    Ok(inflated)
}

/// Whether a deflate stream is in zlib's wrapping: method 8, and a header that is a multiple of 31.
fn has_zlib_header(body: &[u8]) -> bool {
    matches!(body, &[method, flags, ..]
        if method & 0x0f == 8 && (u16::from(method) << 8 | u16::from(flags)) % 31 == 0)
}

fn broken(coding: &str, why: &dyn std::fmt::Display) -> Error {
    Error::BadRequest(format!("the body is not valid {coding}: {why}"))
}

/// Compresses a body, or `None` where it is shorter than 16 KiB or would not shrink.
#[must_use]
pub fn compress(coding: Coding, body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < MIN_COMPRESSED_BYTES {
        return None;
    }
    let compressed = Vec::with_capacity(body.len() / 2);
    let level = Compression::fast();
    let compressed = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(compressed, level);
            encoder.write_all(body).ok()?;
            encoder.finish().ok()?
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(compressed, level);
            encoder.write_all(body).ok()?;
            encoder.finish().ok()?
        }
    };
    (compressed.len() < body.len()).then_some(compressed)
}

#[cfg(test)]
mod tests;
