//! What a model takes and gives.

use serde::{Deserialize, Serialize};

use crate::Datatype;

/// The [`platform`](ModelMetadata::platform) of the models that Samara compiles.
pub const PLATFORM: &str = "samara_wasm";

/// One input or output that a model declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// The tensor's name.
    pub name: String,
    /// The datatype of its elements.
    pub datatype: Datatype,
    /// The size of each dimension, outermost first; -1 where each request chooses.
    pub shape: Vec<i64>,
}

/// A model's name and signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The name under which the model is served.
    pub name: String,
    /// The version, a string in the protocol; usually a number.
    pub version: String,
    /// The framework behind it, such as [`PLATFORM`].
    pub platform: String,
    /// The tensors that a request must give, in the engine's order.
    pub inputs: Vec<TensorSpec>,
    /// The tensors that a request may ask for, in the engine's order.
    pub outputs: Vec<TensorSpec>,
}
