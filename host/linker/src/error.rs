//! Why a function cannot be lifted or linked.

use samara_artifact::{InspectError, Signature, SignatureError};

/// Why a function cannot be lifted or linked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The core module says nothing of its interfaces.
    #[error(
        "it is a core module without a description of its interfaces: build it as a `cdylib` with a handler that is \
         exported, as with samara_function::export!"
    )]
    NoInterfaces,
    /// The core module cannot be made a component.
    #[error("the core module cannot be made a component: {0}")]
    Lift(String),
    /// The function is no component.
    #[error("the function is {0}")]
    Function(InspectError),
    /// The model is no component.
    #[error("the model is {0}")]
    Model(InspectError),
    /// The function asks no model.
    #[error("the function does not import `{interface}`, so there is nothing to link; it imports {}", list(imports))]
    AsksNoModel {
        /// The interface.
        interface: &'static str,
        /// What it imports.
        imports: Vec<String>,
    },
    /// The model is none.
    #[error("the model does not export `{interface}`; it exports {}", list(exports))]
    NoModel {
        /// The interface.
        interface: &'static str,
        /// What it exports.
        exports: Vec<String>,
    },
    /// The function's description of its model cannot be read.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The function was made for another model.
    #[error("the function was made for another model: {reason}\n  it wants      {wanted}\n  the model is  {found}")]
    Mismatch {
        /// What does not fit.
        reason: String,
        /// The signature that the function wants.
        wanted: Box<Signature>,
        /// The model's.
        found: Box<Signature>,
    },
    /// The two cannot be put together.
    #[error("the function and the model cannot be linked: {0}")]
    Compose(String),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
