//! The handler: a request of `wasi:http` 0.2 is read, answered, and the reply sent.

use super::LinkedModel;
use super::bindings::wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use super::bindings::wasi::io::streams::StreamError;
use crate::{Function, Problem, Request, Response};

/// What a stream takes at once without the host's consent: `blocking-write-and-flush` of `wasi:io`.
const WRITE_BYTES: usize = 4096;

/// What is read at once.
const READ_BYTES: u64 = 64 << 10;

/// Answers a request with the help of a function.
pub fn handle<F: Function>(incoming: IncomingRequest, out: ResponseOutparam) {
    let method = method(&incoming.method());
    let path = incoming.path_with_query().unwrap_or_else(|| "/".to_owned());
    let is_head = method == "HEAD";
    let mut request = Request::new(method, path);
    for (name, value) in incoming.headers().entries() {
        request = request.with_header(&name, value);
    }
    let response = match read_body(&incoming, F::MAX_BODY_BYTES) {
        Ok(body) => crate::answer::<F>(&request.with_body(body), &LinkedModel),
        Err(problem) => problem.into(),
    };
    send(&response, out, is_head);
}

/// Reads a body, and no more of it than is allowed.
fn read_body(request: &IncomingRequest, limit: usize) -> Result<Vec<u8>, Problem> {
    let unreadable = || Problem::bad_request("the request's body cannot be read");
    let body = request.consume().map_err(|()| unreadable())?;
    let mut content = Vec::new();
    {
        let stream = body.stream().map_err(|()| unreadable())?;
        loop {
            match stream.blocking_read(READ_BYTES) {
                Ok(mut bytes) => content.append(&mut bytes),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(_)) => return Err(unreadable()),
            }
            if content.len() > limit {
                return Err(Problem::too_large(format!("the body has more than {limit} bytes, which are the most")));
            }
        }
    }
    drop(IncomingBody::finish(body));
    Ok(content)
}

fn send(response: &Response, out: ResponseOutparam, head_only: bool) {
    let headers = Fields::new();
    for (name, value) in response.headers() {
        // Refused are names and values that HTTP forbids. A reply without one of its headers is better than none.
        let _ = headers.append(name, value.as_bytes());
    }
    // Hosts that are not told the length send the body in chunks, the last of which is a packet of its own.
    let _ = headers.append("content-length", response.body().len().to_string().as_bytes());
    let outgoing = OutgoingResponse::new(headers);
    let _ = outgoing.set_status_code(response.status());
    let Ok(body) = outgoing.body() else { return };
    ResponseOutparam::set(out, Ok(outgoing));
    if !head_only && let Ok(stream) = body.write() {
        for chunk in response.body().chunks(WRITE_BYTES) {
            // The client is gone if this fails.
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

fn method(method: &Method) -> String {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => other,
    }
    .to_owned()
}
