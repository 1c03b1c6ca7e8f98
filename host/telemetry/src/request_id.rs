//! Ids by which a request is found again, in logs and replies.

use std::fmt;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// How long an id may be that a client gives.
const LONGEST: usize = 128;

/// An id by which a request is found again: the client's, or one of its own. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// `x-request-id`.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// The id that a client gives, if that is 1 to 128 visible characters of ASCII; else a new one, 128 random bits.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> RequestId {
        let given = headers.get(Self::HEADER).filter(|id| {
            let id = id.as_bytes();
            (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
        });
        given.cloned().map_or_else(RequestId::random, RequestId)
    }

    fn random() -> RequestId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bits = fastrand::u128(..);
        let mut text = [0; 32];
        for (index, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (index * 4)) as usize & 15];
        }
        RequestId(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("none")))
    }

    /// As the header has it.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> RequestId {
        RequestId::of(&HeaderMap::from_iter([(RequestId::HEADER, HeaderValue::from_bytes(value).unwrap())]))
    }

    #[test]
    fn a_clients_id_is_kept_if_it_is_one() {
        assert_eq!(of(b"a-b:c").to_string(), "a-b:c");
        for value in [&b""[..], b"a b", b"\xff", &[b'x'; 129]] {
            let made = of(value).to_string();
            assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        }
        assert_ne!(RequestId::random(), RequestId::random());
    }
}
