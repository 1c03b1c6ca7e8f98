//! The bodies of every route but inference, all of them `application/json`.
//!
//! Sources: KServe's Open Inference Protocol v2 for health and metadata; Triton's model configuration,
//! model repository and statistics extensions for the rest.

mod config;
mod statistics;

use serde::{Deserialize, Serialize};

pub use self::config::{BACKEND, DynamicBatching, model_config};
pub use self::statistics::{
    BatchStatistics, DurationStatistic, FunctionStatistics, GraphMetadata, GraphStatistics, ModelStatistics, statistics,
};
use crate::object::Object;
use crate::{Error, ModelMetadata, TensorSpec};

/// The extensions that this crate implements for any server: binary tensor data, and the model's
/// configuration.
///
/// A server that also answers the routes adds `statistics` and `model_repository`.
pub const CODEC_EXTENSIONS: &[&str] = &["binary_tensor_data", "model_configuration"];

/// One model of a repository's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry<'a> {
    /// The model's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Whether it answers inference requests; state `READY`, or else `UNAVAILABLE`.
    pub ready: bool,
    /// Why it does not; empty where it does.
    pub reason: &'a str,
}

impl IndexEntry<'_> {
    /// The name of its state, as Triton has it.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        if self.ready { "READY" } else { "UNAVAILABLE" }
    }
}

/// The body of [`Route::Server`](crate::Route::Server): the server's name and version, and the protocol
/// extensions that it has, such as [`CODEC_EXTENSIONS`].
#[must_use]
pub fn server_metadata(name: &str, version: &str, extensions: &[&str]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        name: &'a str,
        version: &'a str,
        extensions: &'a [&'a str],
    }
    to_body(&Body { name, version, extensions })
}

/// The body of [`Route::Live`](crate::Route::Live) and [`Route::Ready`](crate::Route::Ready), of which
/// clients read one key each.
///
/// The status counts too: 200 where the route's question is answered with yes, and 503 where it is not.
#[must_use]
pub fn health(live: bool, ready: bool) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body {
        live: bool,
        ready: bool,
    }
    to_body(&Body { live, ready })
}

/// The body of [`Route::Model`](crate::Route::Model).
///
/// `graph` is what the server runs for the model, where the model does not run by itself: an addition to the protocol.
#[must_use]
pub fn model_metadata(model: &ModelMetadata, graph: Option<&GraphMetadata<'_>>) -> Vec<u8> {
    model_metadata_of_versions(model, &[&model.version], graph, None)
}

/// The same of a model that is there in several versions, of which `model` stands for all. `batching` is how requests run
/// together, where they do: another addition to the protocol.
#[must_use]
pub fn model_metadata_of_versions(
    model: &ModelMetadata,
    versions: &[&str],
    graph: Option<&GraphMetadata<'_>>,
    batching: Option<DynamicBatching>,
) -> Vec<u8> {
    /// What is not Triton's: who shares an instance.
    #[derive(Serialize)]
    struct Batching {
        max_batch_size: u64,
        #[serde(flatten)]
        dynamic: DynamicBatching,
        isolation: &'static str,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        name: &'a str,
        versions: &'a [&'a str],
        platform: &'a str,
        inputs: &'a [TensorSpec],
        outputs: &'a [TensorSpec],
        #[serde(skip_serializing_if = "Option::is_none")]
        graph: Option<&'a GraphMetadata<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        dynamic_batching: Option<Batching>,
    }
    to_body(&Body {
        name: &model.name,
        versions,
        platform: &model.platform,
        inputs: &model.inputs,
        outputs: &model.outputs,
        graph,
        dynamic_batching: batching.map(|dynamic| Batching {
            max_batch_size: dynamic.max_batch_size,
            dynamic,
            isolation: "batch",
        }),
    })
}

/// The body of [`Route::ModelReady`](crate::Route::ModelReady); the status is 200 or 503 as with [`health`].
#[must_use]
pub fn model_ready(name: &str, ready: bool) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        name: &'a str,
        ready: bool,
    }
    to_body(&Body { name, ready })
}

/// Whether the body of a [`Route::RepositoryIndex`](crate::Route::RepositoryIndex) request wants only the
/// models that are ready. An empty body wants all.
///
/// # Errors
///
/// [`Error::BadRequest`] for a body that is neither empty nor an object with at most a boolean `ready`.
pub fn index_wants_ready_only(body: &[u8]) -> Result<bool, Error> {
    #[derive(Deserialize)]
    struct Request {
        #[serde(default)]
        ready: bool,
    }
    if body.trim_ascii().is_empty() {
        return Ok(false);
    }
    serde_json::from_slice(body).map(|Object(Request { ready })| ready).map_err(|error| {
        Error::BadRequest(format!("invalid index request, expected an object like {{\"ready\": true}}: {error}"))
    })
}

/// The body of the reply to a [`Route::RepositoryIndex`](crate::Route::RepositoryIndex) request.
#[must_use]
pub fn index(models: &[IndexEntry<'_>]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Row<'a> {
        name: &'a str,
        version: &'a str,
        state: &'static str,
        reason: &'a str,
    }
    let rows: Vec<Row<'_>> = models
        .iter()
        .map(|model| Row { name: model.name, version: model.version, state: model.state(), reason: model.reason })
        .collect();
    to_body(&rows)
}

/// Writes a body. Nothing here has a map with keys that are not strings, so nothing fails.
pub(crate) fn to_body<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests;
