//! Errors, as problem details: RFC 9457.

use std::fmt;

use serde::Serialize;

use crate::Response;

/// What is wrong with a request, or with answering it: `application/problem+json`, RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    header: Option<(&'static str, String)>,
}

#[derive(Serialize)]
struct Body<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
}

// === impl Problem ===

impl Problem {
    fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, title, detail: detail.into(), header: None }
    }

    /// 400: the request is not what it should be. `detail` says what is wrong with it and what was expected.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(400, "Bad request", detail)
    }

    /// 404: there is nothing here.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(404, "Not found", detail)
    }

    /// 405: another method was wanted.
    pub fn method_not_allowed(method: &str, allowed: &[&str]) -> Problem {
        let allowed = allowed.join(", ");
        let mut problem = Problem::new(405, "Method not allowed", format!("{method}, where {allowed} is answered"));
        problem.header = Some(("allow", allowed));
        problem
    }

    /// 406: the client accepts none of the types that there are.
    pub fn not_acceptable(accept: &str, available: &[&str]) -> Problem {
        let available = available.join(", ");
        Problem::new(406, "Not acceptable", format!("the request accepts {accept}, but the answer is {available}"))
    }

    /// 413: the request, or what it unpacks to, is too large.
    pub fn too_large(detail: impl Into<String>) -> Problem {
        Problem::new(413, "Content too large", detail)
    }

    /// 415: the body is of a type that is not taken.
    pub fn unsupported_media_type(found: Option<&str>, wanted: &[&str]) -> Problem {
        let wanted = wanted.join(", ");
        let detail = match found {
            Some(found) => format!("the body is {found}, where {wanted} is taken"),
            None => format!("the request has no content-type, where {wanted} is taken"),
        };
        let mut problem = Problem::new(415, "Unsupported media type", detail);
        problem.header = Some(("accept", wanted));
        problem
    }

    /// 422: the body is of the right form, but what is in it cannot be worked on.
    pub fn unprocessable(detail: impl Into<String>) -> Problem {
        Problem::new(422, "Unprocessable content", detail)
    }

    /// 500: the fault is the function's, or the model's.
    pub fn internal(detail: impl Into<String>) -> Problem {
        Problem::new(500, "Internal error", detail)
    }

    /// The status of the reply.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let Problem { status, title, detail, header } = problem;
        let body = serde_json::to_vec(&Body { status, title, detail: &detail }).unwrap_or_default();
        let response = Response::new("application/problem+json", body).with_status(status);
        match header {
            Some((name, value)) => response.with_header(name, value),
            None => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_is_wrong() {
        let response = Response::from(Problem::bad_request("the body is \"empty\""));
        assert_eq!(response.status(), 400);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        let wanted = serde_json::json!({"status": 400, "title": "Bad request", "detail": "the body is \"empty\""});
        assert_eq!(body, wanted);
    }

    #[test]
    fn what_would_be_right_is_in_a_header() {
        let response = Response::from(Problem::method_not_allowed("PUT", &["GET", "POST"]));
        assert_eq!(response.header("allow"), Some("GET, POST"));
        let response = Response::from(Problem::unsupported_media_type(None, &["image/png"]));
        assert_eq!((response.status(), response.header("accept")), (415, Some("image/png")));
    }
}
