//! A function, and how a request is put to it.

use crate::{Model, Problem, Request, Response};

/// A function around a model.
pub trait Function {
    /// The methods that it answers. `HEAD` comes with `GET`.
    const METHODS: &'static [&'static str] = &["POST"];

    /// How large a request's body may be, in bytes. A larger one is refused with 413, and not read to its end.
    const MAX_BODY_BYTES: usize = 16 << 20;

    /// Answers a request, with the help of the model that the function is linked to.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, or with the model.
    fn answer(request: &Request, model: &dyn Model) -> Result<Response, Problem>;
}

/// Puts a request to a function: checks its method, and makes a reply of what went wrong.
pub fn answer<F: Function>(request: &Request, model: &dyn Model) -> Response {
    let wanted = if request.method() == "HEAD" { "GET" } else { request.method() };
    if !F::METHODS.contains(&wanted) {
        return Problem::method_not_allowed(request.method(), F::METHODS).into();
    }
    F::answer(request, model).unwrap_or_else(Response::from)
}
