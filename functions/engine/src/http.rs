//! The HTTP export: the Open Inference Protocol v2 on any host that speaks `wasi:http`.

use samara_protocol::{Error, InferHead, Limits, ModelMetadata, OutputTensor, Route, repository};

use crate::Component;
use crate::bindings::exports::wasi::http::incoming_handler;
use crate::bindings::wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use crate::bindings::wasi::io::streams::StreamError;
use crate::graph::{self, Graph, Input, RunError};
use crate::model::EMPTY;
use crate::tensor;

/// A reply, before it is sent.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let method = method(&request.method());
        let path = request.path_with_query().unwrap_or_else(|| "/".to_owned());
        let reply = answer(&method, &path, &request).unwrap_or_else(|error| refuse(&error));
        send(reply, out, method == "HEAD");
    }
}

fn answer(method: &str, path: &str, request: &IncomingRequest) -> Result<Reply, Error> {
    let route = Route::parse(method, path)?;
    graph::with(|graph| {
        let graph = graph.ok_or_else(|| Error::Internal(EMPTY.to_owned()))?;
        let model = &graph.metadata;
        let served = |name: &str, version: Option<&str>| check_served(model, name, version);
        let body = match &route {
            Route::Server => repository::server_metadata(
                "samara",
                env!("CARGO_PKG_VERSION"),
                &[repository::CODEC_EXTENSIONS, &["model_repository"]].concat(),
            ),
            Route::Live | Route::Ready => repository::health(true, true),
            Route::Model { name, version } => {
                served(name, version.as_deref())?;
                repository::model_metadata(model)
            }
            Route::ModelReady { name, version } => {
                served(name, version.as_deref())?;
                repository::model_ready(&model.name, true)
            }
            Route::ModelConfig { name, version } => {
                served(name, version.as_deref())?;
                repository::model_config(model)
            }
            Route::RepositoryIndex => {
                repository::index_wants_ready_only(&read_body(request)?)?;
                let entry =
                    repository::IndexEntry { name: &model.name, version: &model.version, ready: true, reason: "" };
                repository::index(&[entry])
            }
            Route::ModelStats { .. } | Route::AllStats => {
                return Err(Error::NotFound(
                    "a component keeps no statistics, since every request gets a fresh instance of it".to_owned(),
                ));
            }
            Route::Infer { name, version } => {
                served(name, version.as_deref())?;
                return infer(graph, request);
            }
        };
        Ok(Reply { status: 200, headers: vec![("content-type", "application/json".to_owned())], body })
    })
}

fn check_served(model: &ModelMetadata, name: &str, version: Option<&str>) -> Result<(), Error> {
    if name != model.name {
        return Err(Error::NotFound(format!("unknown model {name:?}: this component serves {:?}", model.name)));
    }
    match version {
        Some(version) if version != model.version => Err(Error::NotFound(format!(
            "unknown version {version:?} of model {name:?}: this component serves version {:?}",
            model.version
        ))),
        _ => Ok(()),
    }
}

fn infer(graph: &Graph, request: &IncomingRequest) -> Result<Reply, Error> {
    let headers = request.headers();
    let header = |name: &str| headers.get(name).into_iter().next().and_then(|value| String::from_utf8(value).ok());
    let content_type = header("content-type");
    let header_length = header("inference-header-content-length");
    let content_encoding = header("content-encoding");
    let accept_encoding = header("accept-encoding");
    let body = read_body(request)?;
    let head = InferHead {
        content_type: content_type.as_deref(),
        inference_header_content_length: header_length.as_deref(),
        content_encoding: content_encoding.as_deref(),
        accept_encoding: accept_encoding.as_deref(),
    };
    let model = &graph.metadata;
    let decoded = samara_protocol::decode(&head, &body, model, &Limits::default())?;
    let results = graph
        .run(decoded.inputs.iter().map(|input| Input {
            name: &input.name,
            datatype: input.datatype,
            shape: &input.shape,
            data: &input.data,
        }))
        .map_err(|error| match error {
            RunError::InvalidArgument(message) => Error::BadRequest(message),
            RunError::Failed(message) => Error::BadRequest(format!("the model failed: {message}")),
        })?;
    let outputs = decoded
        .plan
        .outputs
        .iter()
        .map(|requested| {
            let name = &model.outputs[requested.index].name;
            let (datatype, shape, data) = tensor::into_bytes(&results[requested.index])
                .map_err(|error| Error::Internal(format!("output {name:?}: {error:#}")))?;
            Ok(OutputTensor { name: name.into(), datatype, shape: shape.into(), data: data.into() })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let response = samara_protocol::encode(&decoded.plan, model, &outputs)?;
    let mut headers = vec![("content-type", response.content_type.to_owned())];
    if let Some(length) = response.inference_header_content_length {
        headers.push(("inference-header-content-length", length.to_string()));
    }
    if let Some(encoding) = response.content_encoding {
        headers.push(("content-encoding", encoding.to_owned()));
    }
    Ok(Reply { status: 200, headers, body: response.body })
}

fn refuse(error: &Error) -> Reply {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if let Some(allow) = error.allow() {
        headers.push(("allow", allow.to_owned()));
    }
    if let Some(seconds) = error.retry_after() {
        headers.push(("retry-after", seconds.to_string()));
    }
    Reply { status: error.status(), headers, body: error.body() }
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

/// Reads a request's body, and no more of it than is allowed.
fn read_body(request: &IncomingRequest) -> Result<Vec<u8>, Error> {
    const CHUNK: u64 = 64 << 10;
    let limit = Limits::default().max_body_bytes;
    let unreadable = || Error::BadRequest("the request's body cannot be read".to_owned());
    let body = request.consume().map_err(|()| unreadable())?;
    let mut content = Vec::new();
    {
        let stream = body.stream().map_err(|()| unreadable())?;
        loop {
            match stream.blocking_read(CHUNK) {
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
        for chunk in reply.body.chunks(4096) {
            // The client is gone if this fails.
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
