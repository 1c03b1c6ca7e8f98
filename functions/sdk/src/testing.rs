//! Models for tests without a host.

use crate::{Datatype, Metadata, Model, ModelError, Tensor, TensorSpec};

type Infer = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>, ModelError>;

/// A model that answers with what a closure makes of the inputs.
pub struct FakeModel {
    metadata: Metadata,
    labels: Vec<String>,
    infer: Box<Infer>,
}

// === impl FakeModel ===

impl FakeModel {
    /// A model named `fake`, without a declaration of inputs and outputs.
    pub fn new(infer: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, ModelError> + 'static) -> FakeModel {
        let (name, version) = ("fake".to_owned(), "1".to_owned());
        FakeModel {
            metadata: Metadata { name, version, inputs: Vec::new(), outputs: Vec::new() },
            labels: Vec::new(),
            infer: Box::new(infer),
        }
    }

    /// A model that must not be asked.
    pub fn unasked() -> FakeModel {
        FakeModel::new(|_| Err(ModelError::Failed("this request should not get to the model".to_owned())))
    }

    /// The same with labels.
    #[must_use]
    pub fn with_labels<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> FakeModel {
        self.labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// The same with an input in its declaration.
    #[must_use]
    pub fn with_input(mut self, name: &str, datatype: Datatype, shape: &[i64]) -> FakeModel {
        self.metadata.inputs.push(TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec() });
        self
    }

    /// The same with an output in its declaration.
    #[must_use]
    pub fn with_output(mut self, name: &str, datatype: Datatype, shape: &[i64]) -> FakeModel {
        self.metadata.outputs.push(TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec() });
        self
    }
}

impl Model for FakeModel {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn labels(&self) -> Vec<String> {
        self.labels.clone()
    }

    /// Gives what the closure gives: of that, the outputs that were asked for.
    fn infer(&self, inputs: Vec<Tensor>, outputs: &[&str]) -> Result<Vec<Tensor>, ModelError> {
        let results = (self.infer)(&inputs)?;
        if outputs.is_empty() {
            return Ok(results);
        }
        outputs
            .iter()
            .map(|name| {
                let found = results.iter().find(|tensor| tensor.name == *name);
                found.cloned().ok_or_else(|| ModelError::InvalidArgument(format!("unknown output {name:?}")))
            })
            .collect()
    }
}
