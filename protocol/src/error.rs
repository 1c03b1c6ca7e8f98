//! What a request is refused with.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// Why a request gets no answer: each variant is one HTTP status, and its message is the body's `error`.
///
/// The protocol asks for a JSON object `{"error": <message>}` with every status but 200.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// 400: the request is malformed, or does not fit the model.
    BadRequest(String),
    /// 404: there is no such path, model or version.
    NotFound(String),
    /// 405: the path exists, but not for this method.
    MethodNotAllowed {
        /// The methods that the path answers, as the `Allow` header wants them.
        allow: &'static str,
    },
    /// 408: the client took too long to send the request.
    RequestTimeout(String),
    /// 413: the body is larger than the server allows.
    PayloadTooLarge(String),
    /// 413: a tensor in the body has more elements than the server allows.
    TensorTooLarge(String),
    /// 415: the body's `Content-Type` or `Content-Encoding` is not understood.
    UnsupportedMediaType(String),
    /// 429: this client, or this model, has too many requests waiting.
    TooManyRequests {
        /// What was exceeded.
        message: String,
        /// When to try again, in seconds, as the `Retry-After` header wants it.
        retry_after: u32,
    },
    /// 431: the request line and the headers are larger than the server allows.
    HeadersTooLarge(String),
    /// 500: the server or the model failed; the request may have been fine.
    Internal(String),
    /// 503: the server is overloaded or the model is not ready.
    Unavailable {
        /// What is missing.
        message: String,
        /// When to try again, in seconds, as the `Retry-After` header wants it.
        retry_after: u32,
    },
    /// 504: the inference took longer than it may.
    DeadlineExceeded(String),
}

impl Error {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::NotFound(_) => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::RequestTimeout(_) => 408,
            Self::PayloadTooLarge(_) | Self::TensorTooLarge(_) => 413,
            Self::UnsupportedMediaType(_) => 415,
            Self::TooManyRequests { .. } => 429,
            Self::HeadersTooLarge(_) => 431,
            Self::Internal(_) => 500,
            Self::Unavailable { .. } => 503,
            Self::DeadlineExceeded(_) => 504,
        }
    }

    /// What went wrong, in words for the client.
    #[must_use]
    pub fn message(&self) -> Cow<'_, str> {
        match self {
            Self::BadRequest(message)
            | Self::NotFound(message)
            | Self::RequestTimeout(message)
            | Self::PayloadTooLarge(message)
            | Self::TensorTooLarge(message)
            | Self::UnsupportedMediaType(message)
            | Self::TooManyRequests { message, .. }
            | Self::HeadersTooLarge(message)
            | Self::Internal(message)
            | Self::Unavailable { message, .. }
            | Self::DeadlineExceeded(message) => Cow::Borrowed(message),
            Self::MethodNotAllowed { allow } => Cow::Owned(format!("method not allowed, expected {allow}")),
        }
    }

    /// The value of the `Allow` header, where one is due.
    #[must_use]
    pub const fn allow(&self) -> Option<&'static str> {
        match self {
            Self::MethodNotAllowed { allow } => Some(allow),
            _ => None,
        }
    }

    /// The value of the `Retry-After` header in seconds, where one is due.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyRequests { retry_after, .. } | Self::Unavailable { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The body: `{"error": <message>}`, to be sent as `application/json`.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a str,
        }
        crate::repository::to_body(&Body { error: &self.message() })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
