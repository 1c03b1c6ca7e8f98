//! What can go wrong, by phase.

use std::num::NonZeroU32;
use std::time::Duration;

use samara_artifact::InspectError;

use crate::interface::NN;

/// Why a component cannot be loaded as a handler.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It is no component.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// It exports no handler.
    #[error(
        "the component answers no HTTP requests: it exports neither wasi:http/incoming-handler@0.2 nor \
         wasi:http/handler@0.3, but {}",
        list(exports)
    )]
    NoHandler {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It exports both.
    #[error(
        "the component exports two handlers, wasi:http/incoming-handler@0.2 and wasi:http/handler@0.3, where hosts expect \
         one: leave one out"
    )]
    TwoHandlers,
    /// It wants what no host grants.
    #[error("the component imports what this host does not grant: {}{}", list(missing), hint(missing))]
    Imports {
        /// The interfaces.
        missing: Vec<String>,
    },
    /// Its instances are to answer several requests, and each can answer only one.
    #[error(
        "an instance is to answer {reuse} requests, but the component exports wasi:http/incoming-handler@0.2, whose \
         instances answer one each: build it for wasi:http/handler@0.3, or leave the reuse out"
    )]
    NotReusable {
        /// The number that was asked for.
        reuse: NonZeroU32,
    },
    /// Wasmtime could not compile or link it.
    #[error("the component cannot be compiled: {0:#}")]
    Compile(wasmtime::Error),
}

/// Why a request has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError {
    /// It took longer than it may.
    #[error("the function took longer than its deadline of {} ms", deadline.as_millis())]
    Deadline {
        /// How long it may take.
        deadline: Duration,
    },
    /// Whoever wanted a reply does not wait for it any more.
    #[error("nobody waits for the function any more")]
    Cancelled,
    /// The instance wanted more memory than it may have.
    #[error("the function needs more memory than an instance may have ({} MiB)", limit_bytes >> 20)]
    Memory {
        /// Bytes that each of its memories may have.
        limit_bytes: usize,
    },
    /// As many instances exist as may exist.
    #[error("all {limit} instances are busy")]
    Instances {
        /// How many may exist.
        limit: u32,
    },
    /// The instance trapped, or ended without a reply.
    #[error("the function failed: {0}")]
    Failed(String),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn hint(missing: &[String]) -> &'static str {
    if missing.iter().any(|import| import.starts_with("samara:inference/model")) {
        "; give the function its model with --model"
    } else if missing.iter().any(|import| import.starts_with(NN)) {
        "; name the graph with --nn NAME=MODEL.onnx"
    } else {
        ""
    }
}
