//! What every backend does: it loads a graph, and makes contexts that run it.

mod onnxruntime;
#[cfg(feature = "openvino")]
mod openvino;
mod tract;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use samara_protocol::TensorSpec;

use crate::registry::Options;
use crate::spec::{BackendKind, Device, GraphSpec};
use crate::{BackendError, ComputeError, Tensor};

/// A loaded graph. Its weights are in memory once, whatever the number of its contexts.
pub trait Backend: Send + Sync {
    /// Makes a context. That is cheap.
    fn context(&self) -> Result<Box<dyn Context>, ComputeError>;
}

/// What one computation at a time uses.
pub trait Context: Send {
    /// Runs the graph on inputs in the order in which it declares them; they have been checked against its declaration.
    /// Gives the outputs in the order in which it declares those.
    fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError>;
}

/// A loaded graph, and what its backend tells about it.
pub struct Loaded {
    pub backend: Box<dyn Backend>,
    /// The version of what runs it.
    pub version: String,
    /// Where it runs; never [`Device::Auto`].
    pub device: Device,
    /// Why it does not run on a GPU, where one was looked for.
    pub fell_back: Option<String>,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

/// Where a graph's model is.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// In a file of the operator's, which may name further files with its weights.
    File(&'a Path),
    /// In memory, from a guest. It may name no files.
    Bytes(&'a [u8]),
}

/// Loads a graph as `spec` says.
pub fn load(source: Source<'_>, spec: &GraphSpec, options: &Options) -> Result<Loaded, BackendError> {
    // Models that contradict themselves make some backends panic.
    let loaded = catch_unwind(AssertUnwindSafe(|| match spec.backend {
        BackendKind::Tract => tract::load(source, spec),
        BackendKind::Onnxruntime => onnxruntime::load(source, spec, options),
        #[cfg(feature = "openvino")]
        BackendKind::Openvino => openvino::load(source, spec),
        #[cfg(not(feature = "openvino"))]
        BackendKind::Openvino => {
            let _ = options;
            Err(BackendError::Library {
                backend: BackendKind::Openvino,
                reason: "this build is without it: build with `--features openvino`, or choose tract or onnxruntime"
                    .to_owned(),
            })
        }
    }));
    loaded.unwrap_or_else(|panic| {
        let reason = format!("it panicked: {}", panic_message(&*panic));
        Err(BackendError::Model { backend: spec.backend, reason })
    })
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
