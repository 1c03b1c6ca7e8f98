//! The model that a function is linked to.

use crate::{Datatype, Problem, Tensor};

/// A model: `samara:inference/model`.
pub trait Model {
    /// What the model is, takes and gives.
    fn metadata(&self) -> Metadata;

    /// The names of its classes; none where it has no classes, or nobody has named them.
    fn labels(&self) -> Vec<String>;

    /// Runs the model once.
    ///
    /// `outputs` names the outputs to give, in their order; an empty list means all of them.
    ///
    /// # Errors
    ///
    /// Why there is no result.
    fn infer(&self, inputs: Vec<Tensor>, outputs: &[&str]) -> Result<Vec<Tensor>, ModelError>;
}

/// What a model is, takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The name it is served under.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it takes.
    pub inputs: Vec<TensorSpec>,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
}

/// One input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub datatype: Datatype,
    /// The extent of each dimension, outermost first; -1 where any is right.
    pub shape: Vec<i64>,
}

/// Why an inference gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// The tensors do not fit the model: the function is linked to another model than it was made for.
    InvalidArgument(String),
    /// The tensors fit, and the model failed on them.
    Failed(String),
}

// === impl ModelError ===

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ModelError::InvalidArgument(message) => write!(f, "the model does not take what it was given: {message}"),
            ModelError::Failed(message) => write!(f, "the model failed: {message}"),
        }
    }
}

impl std::error::Error for ModelError {}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        Problem::internal(error.to_string())
    }
}
