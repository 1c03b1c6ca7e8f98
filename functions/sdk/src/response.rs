//! A reply, with all of its body.

use serde::Serialize;

use crate::Problem;

/// A reply, with all of its body. Its length is sent with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

// === impl Response ===

impl Response {
    /// A reply with the status 200.
    pub fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        Response { status: 200, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    /// A reply in JSON.
    ///
    /// # Errors
    ///
    /// The value has no form in JSON: a map whose keys are no strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Response, Problem> {
        let body = serde_json::to_vec(value).map_err(|error| Problem::internal(format!("the answer: {error}")))?;
        Ok(Response::new("application/json", body))
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Response {
        self.status = status;
        self
    }

    /// The same with another header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// All headers, as pairs of name and value.
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, given up.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}
