//! The HTTP export: a request of `wasi:http` is read, answered, and the reply sent.

use samara_protocol::Error;

use super::Component;
use super::bindings::exports::wasi::http::incoming_handler;
use super::bindings::wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use super::bindings::wasi::io::streams::StreamError;
use crate::{Reply, Request, answer};

/// What is read at once.
const READ_BYTES: u64 = 64 << 10;

/// What a stream takes at once without the host's consent: `blocking-write-and-flush` of `wasi:io`.
const WRITE_BYTES: usize = 4096;

impl incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let method = method(&request.method());
        let path = request.path_with_query().unwrap_or_else(|| "/".to_owned());
        let reply = crate::with(|model| answer(model, &method, &path, &request));
        send(reply, out, method == "HEAD");
    }
}

impl Request for IncomingRequest {
    fn header(&self, name: &str) -> Option<String> {
        self.headers().get(name).into_iter().next().and_then(|value| String::from_utf8(value).ok())
    }

    fn body(&self, limit: u64) -> Result<Vec<u8>, Error> {
        let unreadable = || Error::BadRequest("the request's body cannot be read".to_owned());
        let body = self.consume().map_err(|()| unreadable())?;
        let mut content = Vec::new();
        {
            let stream = body.stream().map_err(|()| unreadable())?;
            loop {
                match stream.blocking_read(READ_BYTES) {
                    Ok(mut bytes) => content.append(&mut bytes),
                    Err(StreamError::Closed) => break,
                    Err(StreamError::LastOperationFailed(_)) => return Err(unreadable()),
                }
                if content.len() as u64 > limit {
                    return Err(Error::PayloadTooLarge(format!("the request's body is larger than {limit} bytes")));
                }
            }
        }
        drop(IncomingBody::finish(body));
        Ok(content)
    }
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

fn send(reply: Reply, out: ResponseOutparam, head_only: bool) {
    let headers = Fields::new();
    for (name, value) in &reply.headers {
        // Refused are names and values that HTTP forbids, of which there are none.
        let _ = headers.append(name, value.as_bytes());
    }
    // Hosts that are not told the length send the body in chunks, the last of which is a packet of its own.
    let _ = headers.append("content-length", reply.body.len().to_string().as_bytes());
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(reply.status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if !head_only && let Ok(stream) = body.write() {
        for chunk in reply.body.chunks(WRITE_BYTES) {
            // The client is gone if this fails.
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
