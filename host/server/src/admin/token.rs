//! What whoever makes admin calls has to know.

use std::fmt;
use std::path::Path;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ServeError;

/// A bearer token ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750)), kept as its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

// === impl Token ===

impl Token {
    /// The token in a file, without the white space around it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no token.
    pub fn read(path: &Path) -> Result<Token, ServeError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|reason| ServeError::Path { path: path.to_owned(), reason })?;
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ServeError::NoToken { path: path.to_owned() });
        }
        Ok(Token::of(token.as_bytes()))
    }

    /// Whether a request has it. How long that takes tells nothing of the token.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let given = given.and_then(|value| value.split_at_checked(BEARER.len()));
        given.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(BEARER) && Token::of(token.trim_ascii()).0.ct_eq(&self.0).into()
        })
    }

    fn of(token: &[u8]) -> Token {
        Token(Sha256::digest(token).into())
    }
}

const BEARER: &[u8] = b"Bearer ";

/// Not even its hash belongs into a log.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_the_token_opens() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let token = Token::read(file.path()).unwrap();
        let opens = |value: &'static str| {
            token.is_in(&HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]))
        };
        assert!(opens("Bearer s3cret") && opens("bearer s3cret"));
        for value in ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret"] {
            assert!(!opens(value), "{value}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", " \n", "two words", "ü"] {
            std::fs::write(file.path(), text).unwrap();
            assert!(matches!(Token::read(file.path()), Err(ServeError::NoToken { .. })), "{text:?}");
        }
        assert!(matches!(Token::read(Path::new("/absent")), Err(ServeError::Path { .. })));
    }
}
