//! The model of an instance, and what runs it.

use std::cell::OnceCell;

use samara_protocol::{Datatype, ModelMetadata};

/// A model: what it takes and gives, and what runs it.
pub struct Model {
    /// Its name, version, inputs and outputs.
    pub metadata: ModelMetadata,
    /// The names of the classes; none where the model has no classes.
    pub labels: Vec<String>,
    /// What runs it.
    pub backend: Box<dyn Backend>,
}

/// What runs a model.
pub trait Backend {
    /// Runs the model once, and gives the outputs at the positions in `wanted`, in that order.
    ///
    /// `inputs` holds every input in the order of `metadata`: its datatype, its shape and the length of its data have been
    /// checked. A position may be wanted more than once.
    ///
    /// # Errors
    ///
    /// [`RunError`] says whether the inputs, the model or what runs it is to blame.
    fn run(&self, metadata: &ModelMetadata, inputs: &[Input<'_>], wanted: &[usize]) -> Result<Vec<Output>, RunError>;
}

/// An input: its element type, its extents and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// The datatype of the elements.
    pub datatype: Datatype,
    /// The size of each dimension, outermost first.
    pub shape: &'a [u64],
    /// The elements, little-endian and row-major.
    pub data: &'a [u8],
}

/// An output: its element type, its extents and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The datatype of the elements.
    pub datatype: Datatype,
    /// The size of each dimension, outermost first.
    pub shape: Vec<u64>,
    /// The elements, little-endian and row-major.
    pub data: Vec<u8>,
}

/// Why a run gave no outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The inputs do not fit the model.
    InvalidArgument(String),
    /// The model failed on inputs that do.
    Failed(String),
    /// What the model gave cannot be told.
    Internal(String),
}

thread_local! {
    static MODEL: OnceCell<Model> = const { OnceCell::new() };
}

/// Makes `model` the one that this instance is. The first call counts.
pub fn install(model: Model) {
    MODEL.with(|cell| {
        let _ = cell.set(model);
    });
}

/// Calls `f` with the model, or with nothing where there is none.
pub fn with<R>(f: impl FnOnce(Option<&Model>) -> R) -> R {
    MODEL.with(|cell| f(cell.get()))
}
