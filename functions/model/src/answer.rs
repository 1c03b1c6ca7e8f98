//! The Open Inference Protocol v2, answered for one model.

use samara_protocol::{Error, InferHead, Limits, ModelMetadata, OutputTensor, Route, repository};

use crate::{EMPTY, Input, Model, RunError};

/// The headers and the body of a request.
pub trait Request {
    /// The first header of a name, if it is text.
    fn header(&self, name: &str) -> Option<String>;

    /// The body, read once.
    ///
    /// # Errors
    ///
    /// [`Error::PayloadTooLarge`] where it has more than `limit` bytes, and [`Error::BadRequest`] where it breaks off.
    fn body(&self, limit: u64) -> Result<Vec<u8>, Error>;
}

/// A reply, before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers, without the body's length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Answers a request to `path`.
pub fn answer(model: Option<&Model>, method: &str, path: &str, request: &dyn Request) -> Reply {
    attempt(model, method, path, request).unwrap_or_else(|error| refuse(&error))
}

fn attempt(model: Option<&Model>, method: &str, path: &str, request: &dyn Request) -> Result<Reply, Error> {
    let route = Route::parse(method, path)?;
    let model = model.ok_or_else(|| Error::Internal(EMPTY.to_owned()))?;
    let metadata = &model.metadata;
    let served = |name: &str, version: Option<&str>| check_served(metadata, name, version);
    let body = match &route {
        Route::Server => repository::server_metadata(
            "samara",
            env!("CARGO_PKG_VERSION"),
            &[repository::CODEC_EXTENSIONS, &["model_repository"]].concat(),
        ),
        Route::Live | Route::Ready => repository::health(true, true),
        Route::Model { name, version } => {
            served(name, version.as_deref())?;
            repository::model_metadata(metadata, None)
        }
        Route::ModelReady { name, version } => {
            served(name, version.as_deref())?;
            repository::model_ready(&metadata.name, true)
        }
        Route::ModelConfig { name, version } => {
            served(name, version.as_deref())?;
            repository::model_config(metadata, None)
        }
        Route::RepositoryIndex => {
            repository::index_wants_ready_only(&body(request)?)?;
            let entry =
                repository::IndexEntry { name: &metadata.name, version: &metadata.version, ready: true, reason: "" };
            repository::index(&[entry])
        }
        Route::ModelStats { .. } | Route::AllStats => {
            return Err(Error::NotFound(
                "a component keeps no statistics, since every request gets a fresh instance of it".to_owned(),
            ));
        }
        Route::Infer { name, version } => {
            served(name, version.as_deref())?;
            return infer(model, request);
        }
    };
    Ok(Reply { status: 200, headers: vec![("content-type", "application/json".to_owned())], body })
}

fn check_served(metadata: &ModelMetadata, name: &str, version: Option<&str>) -> Result<(), Error> {
    if name != metadata.name {
        return Err(Error::NotFound(format!("unknown model {name:?}: this component serves {:?}", metadata.name)));
    }
    match version {
        Some(version) if version != metadata.version => Err(Error::NotFound(format!(
            "unknown version {version:?} of model {name:?}: this component serves version {:?}",
            metadata.version
        ))),
        _ => Ok(()),
    }
}

fn infer(model: &Model, request: &dyn Request) -> Result<Reply, Error> {
    let content_type = request.header("content-type");
    let header_length = request.header("inference-header-content-length");
    let content_encoding = request.header("content-encoding");
    let accept_encoding = request.header("accept-encoding");
    let body = body(request)?;
    let head = InferHead {
        content_type: content_type.as_deref(),
        inference_header_content_length: header_length.as_deref(),
        content_encoding: content_encoding.as_deref(),
        accept_encoding: accept_encoding.as_deref(),
    };
    let Model { metadata, backend, .. } = model;
    let decoded = samara_protocol::decode(&head, &body, metadata, &Limits::default())?;
    let inputs: Vec<Input<'_>> = decoded
        .inputs
        .iter()
        .map(|input| Input { datatype: input.datatype, shape: &input.shape, data: &input.data })
        .collect();
    let wanted: Vec<usize> = decoded.plan.outputs.iter().map(|requested| requested.index).collect();
    let results = backend.run(metadata, &inputs, &wanted).map_err(|error| match error {
        RunError::InvalidArgument(message) => Error::BadRequest(message),
        RunError::Failed(message) => Error::BadRequest(format!("the model failed: {message}")),
        RunError::Internal(message) => Error::Internal(message),
    })?;
    let outputs: Vec<OutputTensor<'_>> = wanted
        .iter()
        .zip(results)
        .filter_map(|(&index, output)| {
            let name = (&*metadata.outputs.get(index)?.name).into();
            Some(OutputTensor { name, datatype: output.datatype, shape: output.shape.into(), data: output.data.into() })
        })
        .collect();
    let response = samara_protocol::encode(&decoded.plan, metadata, &outputs)?;
    let mut headers = vec![("content-type", response.content_type.to_owned())];
    if let Some(length) = response.inference_header_content_length {
        headers.push(("inference-header-content-length", length.to_string()));
    }
    if let Some(encoding) = response.content_encoding {
        headers.push(("content-encoding", encoding.to_owned()));
    }
    Ok(Reply { status: 200, headers, body: response.body })
}

fn body(request: &dyn Request) -> Result<Vec<u8>, Error> {
    request.body(Limits::default().max_body_bytes)
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

#[cfg(test)]
mod tests;
