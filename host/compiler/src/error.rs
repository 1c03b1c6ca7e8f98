//! Why a model was not compiled.

use std::path::PathBuf;

use samara_artifact::ManifestError;
use samara_runtime::{InferError, LoadError};

/// Why a model was not compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The component cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// Where it should have gone.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is empty.
    #[error("{} is empty; an ONNX model was expected", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else, or only the beginning of a model.
    #[error("{} is not an ONNX model, or a truncated one: {reason}", path.display())]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// What gave it away.
        reason: String,
    },
    /// The graph contradicts itself.
    #[error("the model's graph is not valid: {0}")]
    InvalidGraph(String),
    /// Operators that tract does not have.
    #[error("operators that are not supported: {}", list_operators(.0))]
    UnsupportedOperators(Vec<UnsupportedOperator>),
    /// Weights are in a file that is not there, or not whole.
    #[error("the weights of tensor {tensor:?} are in {}, which cannot be used: {reason}", path.display())]
    ExternalData {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// What is the matter.
        reason: String,
    },
    /// Weights are in a file of their own, where the model's file has to be all of it.
    #[error(
        "the weights of tensor {tensor:?} are in another file, and --target nn keeps the model's file alone: \
         save the model with its weights inside"
    )]
    WeightsElsewhere {
        /// The tensor.
        tensor: String,
    },
    /// The file does not say what an input or output is.
    #[error("the model does not declare all of {tensor:?}, its type and its shape: {reason}")]
    Undeclared {
        /// The input or output.
        tensor: String,
        /// What is missing, or why it cannot be found out.
        reason: String,
    },
    /// The ONNX file is no longer what was read of it.
    #[error("{} has changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The model cannot fit into 32-bit memory.
    #[error(
        "the model is too large: its weights take {} MiB and loading needs about twice that, \
         but a WebAssembly memory ends at 4096 MiB",
        weight_bytes >> 20
    )]
    TooLarge {
        /// Bytes of all its weights.
        weight_bytes: u64,
    },
    /// An input shape was given that does not fit the model.
    #[error("--input {input}: {reason}")]
    InputShape {
        /// The input's name.
        input: String,
        /// What does not fit.
        reason: String,
    },
    /// The graph needs a dimension to be known that is not.
    #[error(
        "the graph cannot be compiled while {} dynamic: fix {} with {}\n  cause: {reason}",
        if dimensions.len() == 1 { "a dimension is" } else { "dimensions are" },
        list_dimensions(dimensions),
        inputs.iter().map(|input| format!("--input {input}")).collect::<Vec<_>>().join(" ")
    )]
    SymbolicDimension {
        /// The dynamic dimensions, as input and position.
        dimensions: Vec<(String, usize)>,
        /// Shapes to start from, with a size for each dynamic dimension.
        inputs: Vec<String>,
        /// What failed.
        reason: String,
    },
    /// An input or output has a type that the protocol lacks.
    #[error("{tensor:?} has element type {datum_type}, which the inference protocol does not have")]
    Datatype {
        /// The tensor.
        tensor: String,
        /// Its type.
        datum_type: String,
    },
    /// tract fails to analyse, optimise or write the graph.
    #[error("the graph cannot be compiled: {0}")]
    Graph(String),
    /// The engine fails to load the graph.
    #[error("the engine cannot load the model: {0}")]
    Engine(String),
    /// The engine ran out of memory while loading the graph.
    #[error("the model is too large: loading it needs more than the 4096 MiB that a WebAssembly memory has")]
    OutOfMemory,
    /// The labels are not what they should be.
    #[error("labels: {0}")]
    Labels(String),
    /// The component cannot be put together.
    #[error("the component cannot be encoded: {0}")]
    Encode(String),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The finished component cannot be loaded.
    #[error("the compiled component cannot be loaded: {0}")]
    Load(LoadError),
    /// The finished component fails its first inference.
    #[error("the compiled model fails its first inference: {0}")]
    FirstInference(InferError),
}

/// An operator that tract does not have, and a node that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedOperator {
    /// The operator, with its domain where that is not ONNX's own.
    pub operator: String,
    /// A node that uses it.
    pub node: String,
    /// How many nodes use it.
    pub nodes: usize,
}

fn list_operators(operators: &[UnsupportedOperator]) -> String {
    operators
        .iter()
        .map(|unsupported| match unsupported.nodes {
            1 => format!("{} (node {:?})", unsupported.operator, unsupported.node),
            n => format!("{} ({n} nodes, the first {:?})", unsupported.operator, unsupported.node),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn list_dimensions(dimensions: &[(String, usize)]) -> String {
    dimensions
        .iter()
        .map(|(input, position)| format!("dimension {position} of {input:?}"))
        .collect::<Vec<_>>()
        .join(" and ")
}
