//! Where a picture is in a request, and which kind it is.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use samara_function::{Problem, Request};
use serde::Deserialize;

use crate::TYPES;

/// The body in JSON. Unknown members are ignored.
#[derive(Deserialize)]
struct Body {
    image: String,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
}

/// The file of the picture that a request holds.
pub(crate) fn file_in(request: &Request) -> Result<Cow<'_, [u8]>, Problem> {
    let body = request.body_of(TYPES)?;
    if request.content_type().as_deref() != Some("application/json") {
        return Ok(Cow::Borrowed(body));
    }
    let Body { image } = request.json()?;
    if image.is_empty() {
        return Err(Problem::bad_request("\"image\" is empty, where a JPEG, PNG or WebP in base64 is expected"));
    }
    match STANDARD.decode(&image) {
        Ok(file) => Ok(Cow::Owned(file)),
        Err(error) => Err(Problem::bad_request(format!("\"image\" as base64 (RFC 4648, section 4): {error}"))),
    }
}

// === impl Format ===

impl Format {
    /// The kind that a file's first bytes tell: WHATWG MIME Sniffing, section 6.1.
    pub(crate) fn of(file: &[u8]) -> Result<Format, Problem> {
        if file.starts_with(b"\xff\xd8\xff") {
            Ok(Format::Jpeg)
        } else if file.starts_with(b"\x89PNG\r\n\x1a\n") {
            Ok(Format::Png)
        } else if file.starts_with(b"RIFF") && file.get(8..14) == Some(b"WEBPVP") {
            Ok(Format::Webp)
        } else {
            Err(Problem::unprocessable("the picture begins neither like a JPEG nor like a PNG or a WebP"))
        }
    }
}
