//! The component: a request of `wasi:http` 0.3 is read, answered, and the reply sent, with Spin's SDK.

use http_body_util::BodyExt;
use samara_function::{Function, LinkedModel, Problem, Request, Response};
use spin_sdk::http::{BoxBody, FullBody, IntoResponse, box_body};

use crate::Classify;

/// What Spin's SDK exports as `wasi:http/handler`.
#[spin_sdk::http_service]
async fn handle(incoming: spin_sdk::http::Request) -> impl IntoResponse {
    let (parts, body) = incoming.into_parts();
    let is_head = parts.method.as_str() == "HEAD";
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(parts.method.as_str(), path);
    for (name, value) in &parts.headers {
        request = request.with_header(name.as_str(), value.as_bytes());
    }
    let response = match read(body, Classify::MAX_BODY_BYTES).await {
        Ok(body) => samara_function::answer::<Classify>(&request.with_body(body), &LinkedModel),
        Err(problem) => problem.into(),
    };
    outgoing(response, is_head)
}

/// Reads a body, and no more of it than is allowed.
async fn read(mut body: spin_sdk::wasip3::http_compat::IncomingRequestBody, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut content = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Problem::bad_request(format!("the request's body cannot be read: {error}")))?;
        // The other kind of frame are trailers.
        let Some(bytes) = frame.data_ref() else { continue };
        if content.len() + bytes.len() > limit {
            return Err(Problem::too_large(format!("the body has more than {limit} bytes, which are the most")));
        }
        content.extend_from_slice(bytes);
    }
    Ok(content)
}

/// The reply as Spin's SDK wants it. To `HEAD`, without the body.
fn outgoing(response: Response, head_only: bool) -> spin_sdk::http::Result<spin_sdk::http::Response<BoxBody>> {
    let mut builder = spin_sdk::http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        builder = builder.header(*name, value);
    }
    // Hosts that are not told the length send the body in chunks.
    builder = builder.header("content-length", response.body().len());
    let body = if head_only { Vec::new() } else { response.into_body() };
    Ok(builder.body(box_body(FullBody::from(body)))?)
}
