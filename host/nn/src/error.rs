//! What can go wrong, by phase.

use std::path::PathBuf;

use crate::spec::{BackendKind, Device};

/// Why a graph could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Two graphs have the same name.
    #[error("two graphs have the name {name:?}: give each a name of its own")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The file could not be read.
    #[error("graph {graph:?}: cannot read {}: {reason}", path.display())]
    Read {
        /// The graph's name.
        graph: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file beside a component is another than the one that the component was made with.
    #[error(
        "graph {graph:?}: {} is not the file that the component was made with; compile the model again, or name the file \
         to use with --nn {graph}=MODEL.onnx",
        path.display()
    )]
    Changed {
        /// The graph's name.
        graph: String,
        /// The file.
        path: PathBuf,
    },
    /// Two components have different graphs of the same name.
    #[error(
        "graph {graph:?} is {} for one component and {} for another: compile one of them under another --name or --version",
        first.display(),
        second.display()
    )]
    Conflict {
        /// The graph's name.
        graph: String,
        /// The file that was loaded first.
        first: PathBuf,
        /// The file beside the other component.
        second: PathBuf,
    },
    /// The backend did not take the graph in the file.
    #[error("graph {graph:?} ({}): {reason}", path.display())]
    File {
        /// The graph's name.
        graph: String,
        /// The file.
        path: PathBuf,
        /// What the backend said.
        reason: BackendError,
    },
    /// The backend did not take the graph that a guest gave.
    #[error("the graph that the guest gave: {0}")]
    Bytes(BackendError),
    /// Guests may not bring graphs of their own.
    #[error("guests may not load graphs from bytes here; they are loaded by name")]
    Forbidden,
    /// Guests have brought as many graphs as are kept.
    #[error("guests have loaded {limit} graphs from bytes, and no more are kept")]
    Full {
        /// How many are kept.
        limit: usize,
    },
}

/// Why a backend did not take a graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The file is no ONNX model, is cut off, or holds what the backend cannot run.
    #[error("{backend} cannot load it: {reason}")]
    Model {
        /// The backend.
        backend: BackendKind,
        /// What is wrong with the model.
        reason: String,
    },
    /// The backend's library is not there, or of no use.
    #[error("backend={backend}: {reason}")]
    Library {
        /// The backend.
        backend: BackendKind,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The device is not there, or the backend cannot use it.
    #[error("device={device} cannot be used by backend={backend}: {reason}")]
    Device {
        /// The device that was asked for.
        device: Device,
        /// The backend.
        backend: BackendKind,
        /// Why not.
        reason: String,
    },
    /// The backend has no such setting.
    #[error("{setting} is not possible with backend={backend}: {reason}")]
    Setting {
        /// The setting, as `key=value`.
        setting: String,
        /// The backend.
        backend: BackendKind,
        /// Why not, or what is possible.
        reason: String,
    },
}

/// Why a computation gave no outputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// The inputs are not what the graph takes.
    #[error("{0}")]
    InvalidArgument(String),
    /// No context became free in time.
    #[error("all {contexts} contexts of graph {graph:?} were busy until the deadline")]
    Timeout {
        /// The graph.
        graph: String,
        /// How many contexts it has.
        contexts: usize,
    },
    /// There is not enough memory, on the host or on the device.
    #[error("not enough memory: {0}")]
    TooLarge(String),
    /// The backend failed on inputs that fit the graph.
    #[error("{0}")]
    Failed(String),
}

/// No graph has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGraph {
    /// The name that was asked for.
    pub name: String,
    /// The names that there are, sorted.
    pub known: Vec<String>,
}

impl std::fmt::Display for UnknownGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let UnknownGraph { name, known } = self;
        let name = shown(name);
        if known.is_empty() {
            write!(f, "unknown graph {name:?}: there are no graphs")
        } else {
            write!(f, "unknown graph {name:?}, expected one of {}", known.join(", "))
        }
    }
}

impl std::error::Error for UnknownGraph {}

/// A name from a guest, no more of it than one reads: a message is kept in the host's memory.
pub fn shown(name: &str) -> std::borrow::Cow<'_, str> {
    const SHOWN: usize = 100;
    match name.char_indices().nth(SHOWN) {
        None => name.into(),
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_repeats_no_more_of_a_name_than_one_reads() {
        let known = vec!["m".to_owned()];
        let error = UnknownGraph { name: "\u{1}".repeat(1 << 20), known };
        assert!(error.to_string().len() < 1000, "{} bytes", error.to_string().len());
        assert_eq!(shown("naïve"), "naïve");
        assert_eq!(shown(&"é".repeat(101)), "é".repeat(100) + "…");
    }
}
