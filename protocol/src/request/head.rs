//! What the headers say of the body.

use crate::Error;
use crate::excerpt::excerpt;

/// The parts of a body, once its content coding is undone.
pub(super) enum Payload<'a> {
    /// Tensor data alone.
    Raw(&'a [u8]),
    /// JSON, and the bytes behind it where a header announced how long the JSON is.
    Json { json: &'a [u8], binary: Option<&'a [u8]> },
}

// === impl Payload ===

impl<'a> Payload<'a> {
    /// Splits a body by the `Inference-Header-Content-Length` header.
    pub(super) fn split(header_length: Option<&str>, body: &'a [u8]) -> Result<Self, Error> {
        let Some(text) = header_length else {
            return Ok(Self::Json { json: body, binary: None });
        };
        let length = parse_length(text.trim()).ok_or_else(|| {
            Error::BadRequest(format!(
                "Inference-Header-Content-Length is `{}`, expected a number of bytes",
                excerpt(text)
            ))
        })?;
        if length == 0 {
            return Ok(Self::Raw(body));
        }
        let (json, binary) =
            usize::try_from(length).ok().and_then(|length| body.split_at_checked(length)).ok_or_else(|| {
                Error::BadRequest(format!(
                    "Inference-Header-Content-Length is {length}, but the body has only {} bytes",
                    body.len()
                ))
            })?;
        Ok(Self::Json { json, binary: Some(binary) })
    }
}

/// Digits only: `str::parse` would let a sign pass.
fn parse_length(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    text.parse().ok()
}

/// Checks that the body's media type is one that inference requests come in.
pub(super) fn check_content_type(content_type: Option<&str>) -> Result<(), Error> {
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let is = |expected: &str| media_type.eq_ignore_ascii_case(expected);
    if media_type.is_empty() || is("application/json") || is("application/octet-stream") {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType(format!(
        "unsupported Content-Type `{}`, expected application/json, or application/octet-stream for \
         binary data; with curl, add -H 'Content-Type: application/json'",
        excerpt(media_type)
    )))
}
