//! An inference, as the host's `wasi:nn` runs it.

use samara_model::{Backend, Input, Output, RunError};
use samara_protocol::ModelMetadata;

use crate::bindings::wasi::nn::errors::{Error, ErrorCode};
use crate::bindings::wasi::nn::graph::load_by_name;
use crate::bindings::wasi::nn::tensor::Tensor;
use crate::tensor::{self, dimensions, tensor_type};

/// Has a graph of the host's run.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The name under which the host has the graph.
    pub graph: String,
}

impl Backend for Adapter {
    fn run(&self, metadata: &ModelMetadata, inputs: &[Input<'_>], wanted: &[usize]) -> Result<Vec<Output>, RunError> {
        let inputs = metadata
            .inputs
            .iter()
            .zip(inputs)
            .map(|(spec, input)| {
                let dimensions = dimensions(input.shape)
                    .map_err(|reason| RunError::InvalidArgument(format!("input {:?}: {reason}", spec.name)))?;
                Ok((spec.name.clone(), Tensor::new(&dimensions, tensor_type(input.datatype), input.data)))
            })
            .collect::<Result<Vec<_>, RunError>>()?;
        let context = load_by_name(&self.graph)?.init_execution_context()?;
        let results = context.compute(inputs)?;
        wanted
            .iter()
            .filter_map(|&index| metadata.outputs.get(index))
            .map(|spec| {
                let (_, tensor) = results.iter().find(|(name, _)| *name == spec.name).ok_or_else(|| {
                    RunError::Internal(format!("the host's graph {:?} gave no output {:?}", self.graph, spec.name))
                })?;
                tensor::output(spec.datatype, tensor.ty(), &tensor.dimensions(), tensor.data())
                    .map_err(|reason| RunError::Internal(format!("output {:?}: {reason}", spec.name)))
            })
            .collect()
    }
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        blame(error.code(), error.data())
    }
}

/// Whose fault an error of the host's is.
fn blame(code: ErrorCode, text: String) -> RunError {
    let text = if text.is_empty() { meaning(code).to_owned() } else { text };
    match code {
        ErrorCode::InvalidArgument => RunError::InvalidArgument(text),
        _ => RunError::Failed(text),
    }
}

/// What a code says where the host says no more.
fn meaning(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidArgument => "the host takes an argument to be invalid",
        ErrorCode::InvalidEncoding => "the host cannot read the graph",
        ErrorCode::Timeout => "the host ran out of time",
        ErrorCode::RuntimeError => "the host's backend failed",
        ErrorCode::UnsupportedOperation => "the host does not support what the graph needs",
        ErrorCode::TooLarge => "the graph is too large for the host",
        ErrorCode::NotFound => "the host has no such graph",
        ErrorCode::Security => "the host does not allow it",
        ErrorCode::Unknown => "the host's backend failed without a reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_invalid_argument_is_the_client_s_fault() {
        let reason = || "reason".to_owned();
        assert_eq!(blame(ErrorCode::InvalidArgument, reason()), RunError::InvalidArgument(reason()));
        for code in [
            ErrorCode::InvalidEncoding,
            ErrorCode::Timeout,
            ErrorCode::RuntimeError,
            ErrorCode::UnsupportedOperation,
            ErrorCode::TooLarge,
            ErrorCode::NotFound,
            ErrorCode::Security,
            ErrorCode::Unknown,
        ] {
            assert_eq!(blame(code, reason()), RunError::Failed(reason()), "{code:?}");
        }
    }

    #[test]
    fn an_error_without_a_text_still_says_what_failed() {
        let RunError::Failed(text) = blame(ErrorCode::NotFound, String::new()) else { panic!("another kind") };
        assert_eq!(text, "the host has no such graph");
    }
}
