//! What can go wrong, by phase.

use std::path::PathBuf;
use std::time::Duration;

use samara_artifact::ManifestError;

/// Why a runtime could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Wasmtime refused the configuration, or the system the address space that the pool reserves.
    #[error("the WebAssembly engine cannot start: {0:#}")]
    Engine(wasmtime::Error),
    /// The thread that watches deadlines could not be started.
    #[error("no thread for the deadlines: {0}")]
    Thread(std::io::Error),
}

/// Why a component could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It is no component, or its manifest is broken.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It is a component, but it has no model in it.
    #[error("the component does not export `{interface}`: {reason}")]
    MissingExport {
        /// The interface that is looked for.
        interface: &'static str,
        /// What is missing or differs.
        reason: String,
    },
    /// It asks for a version of `wasi:nn` that there is not.
    #[error("the component imports `{import}`, where this host has wasi:nn@0.2.0-rc-2024-10-28")]
    OtherNn {
        /// What it imports.
        import: String,
    },
    /// The graph that its host is to run cannot be loaded.
    #[error(transparent)]
    Graph(Box<samara_nn::LoadError>),
    /// The graph that its host is to run is not registered.
    #[error(transparent)]
    UnknownGraph(#[from] samara_nn::UnknownGraph),
    /// The graph that is registered takes or gives something else than the model.
    #[error("graph {graph:?} is not the model's: the model has {wanted}, the graph has {given}")]
    OtherGraph {
        /// The graph's name.
        graph: String,
        /// What the model takes, or gives.
        wanted: String,
        /// What the graph takes, or gives.
        given: String,
    },
    /// Wasmtime could not compile it, or the code is of no use to it.
    #[error("the component cannot be compiled: {0:#}")]
    Compile(wasmtime::Error),
    /// The component has no manifest, and its `metadata` function failed.
    #[error("the component does not tell what its model is: {0}")]
    Metadata(InferError),
}

impl From<samara_nn::LoadError> for LoadError {
    fn from(error: samara_nn::LoadError) -> LoadError {
        LoadError::Graph(Box::new(error))
    }
}

/// Why an inference gave no outputs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// The model refused the inputs.
    #[error("{0}")]
    InvalidArgument(String),
    /// The model failed on inputs that fit it.
    #[error("the model failed: {0}")]
    Failed(String),
    /// The graph that the host runs failed on inputs that fit it.
    #[error("the graph failed: {0}")]
    Backend(String),
    /// The host, or its device, has not enough memory to run the graph.
    #[error("the graph cannot be run now: {0}")]
    BackendMemory(String),
    /// The inference took longer than it may.
    #[error("the inference took longer than its deadline of {} ms", deadline.as_millis())]
    Deadline {
        /// How long it may take.
        deadline: Duration,
    },
    /// Whoever wanted the inference does not wait for it any more.
    #[error("nobody waits for the inference any more")]
    Cancelled,
    /// The instance wanted more memory than it may have.
    #[error("the inference needs more memory than an instance may have ({} MiB)", limit_bytes >> 20)]
    Memory {
        /// Bytes that it may have.
        limit_bytes: usize,
    },
    /// As many instances exist as may exist.
    #[error("all {limit} instances are busy")]
    Instances {
        /// How many may exist.
        limit: u32,
    },
    /// The instance trapped: a bug in the engine, or a component that is not Samara's.
    #[error("the instance trapped: {0}")]
    Trap(String),
    /// The component answered with something that is no answer.
    #[error("the component gave an invalid output: {0}")]
    InvalidOutput(String),
}
