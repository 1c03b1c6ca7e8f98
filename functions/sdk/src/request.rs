//! A request, with all of its body.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::{Problem, accept};

/// A request, with all of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    method: String,
    path_with_query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

// === impl Request ===

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, path_with_query: impl Into<String>) -> Request {
        Request { method: method.into(), path_with_query: path_with_query.into(), ..Request::default() }
    }

    /// A `POST` with a body of some type, as tests want it.
    pub fn post(path_with_query: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", path_with_query).with_header("content-type", content_type).with_body(body)
    }

    /// The same with another header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Request {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// The method, in capitals.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.path_with_query.split_once('?').map_or(&*self.path_with_query, |(path, _)| path)
    }

    /// The value of a parameter of the query, unescaped. The first, if it is there more than once.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, query) = self.path_with_query.split_once('?')?;
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A number that the query gives within `range`, or `default` where it gives none.
    ///
    /// # Errors
    ///
    /// The parameter is no number, or one outside the range.
    pub fn query_number<N>(&self, name: &str, range: std::ops::RangeInclusive<N>, default: N) -> Result<N, Problem>
    where
        N: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.query(name) else { return Ok(default) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => {
                let (least, most) = range.into_inner();
                Err(Problem::bad_request(format!("{name}={text}, where a number from {least} to {most} is taken")))
            }
        }
    }

    /// The value of a header, if it is text. The first, if it is there more than once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The type of the body without parameters, in small letters: `image/png`.
    pub fn content_type(&self) -> Option<String> {
        accept::essence(self.header("content-type")?)
    }

    /// The body, which has to be of one of these types.
    ///
    /// # Errors
    ///
    /// 415 for another type, or none; 400 for an empty body.
    pub fn body_of(&self, types: &[&str]) -> Result<&[u8], Problem> {
        let found = self.content_type();
        if !found.as_deref().is_some_and(|found| types.contains(&found)) {
            return Err(Problem::unsupported_media_type(self.header("content-type"), types));
        }
        if self.body.is_empty() {
            return Err(Problem::bad_request(format!("the body is empty, where {} is expected", types.join(" or "))));
        }
        Ok(&self.body)
    }

    /// What the body says in JSON. A request without a content-type is taken at its word.
    ///
    /// # Errors
    ///
    /// 415 for another type; 400 for what is no JSON, or says something else, with the line and the column.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body = match self.header("content-type") {
            Some(_) => self.body_of(&["application/json"])?,
            None => &self.body,
        };
        serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("the body as JSON: {error}")))
    }

    /// The type, of those that the answer can have, which the client likes best; the first where it says nothing.
    ///
    /// # Errors
    ///
    /// 406 where it accepts none of them.
    pub fn accepts<'a>(&self, available: &[&'a str]) -> Result<&'a str, Problem> {
        let accept = self.header("accept").unwrap_or("*/*");
        accept::choose(accept, available).ok_or_else(|| Problem::not_acceptable(accept, available))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_told_apart() {
        let request = Request::new("POST", "/classify?top=3&name=a%20b+c&top=4");
        assert_eq!(request.path(), "/classify");
        assert_eq!(request.query("top").as_deref(), Some("3"));
        assert_eq!(request.query("name").as_deref(), Some("a b c"));
        assert_eq!(request.query("other"), None);
        assert_eq!(Request::new("GET", "/").query("top"), None);
    }

    #[test]
    fn numbers_have_a_range() {
        let request = Request::new("POST", "/?top=3&many=300&word=x&negative=-1");
        assert_eq!(request.query_number("top", 1..=100, 5), Ok(3));
        assert_eq!(request.query_number("none", 1..=100, 5), Ok(5));
        for name in ["many", "word", "negative"] {
            let problem = request.query_number("many", 1_u8..=100, 5).unwrap_err();
            assert_eq!(problem.status(), 400, "{name}");
        }
        let problem = request.query_number("word", 1..=100, 5).unwrap_err();
        assert_eq!(problem.detail(), "word=x, where a number from 1 to 100 is taken");
    }

    #[test]
    fn bodies_have_a_type() {
        let request = Request::post("/", "Image/PNG; q=1", "x");
        assert_eq!(request.body_of(&["image/jpeg", "image/png"]), Ok(&b"x"[..]));
        assert_eq!(request.body_of(&["image/jpeg"]).unwrap_err().status(), 415);
        assert_eq!(Request::new("POST", "/").with_body("x").body_of(&["image/png"]).unwrap_err().status(), 415);
        assert_eq!(Request::post("/", "image/png", "").body_of(&["image/png"]).unwrap_err().status(), 400);
    }

    #[test]
    fn json_is_checked() {
        assert_eq!(Request::post("/", "application/json; charset=utf-8", "[1]").json(), Ok(vec![1]));
        assert_eq!(Request::new("POST", "/").with_body("[1]").json(), Ok(vec![1]));
        let problem = Request::post("/", "application/json", "[1,\n x]").json::<Vec<i32>>().unwrap_err();
        assert!(problem.detail().contains("line 2 column 2"), "{problem}");
        assert_eq!(Request::post("/", "text/plain", "[1]").json::<Vec<i32>>().unwrap_err().status(), 415);
    }
}
