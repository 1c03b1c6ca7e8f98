//! The typed export: `samara:inference/model`.

use samara_protocol::Datatype;

use crate::Component;
use crate::bindings::exports::samara::inference::model as wit;
use crate::graph::{self, Graph, Input, RunError};
use crate::tensor;

/// What an engine without a model answers.
pub const EMPTY: &str = "this engine carries no model: compile one with `samara compile`";

impl wit::Guest for Component {
    fn metadata() -> wit::ModelMetadata {
        graph::with(|graph| match graph {
            Some(Graph { metadata, .. }) => wit::ModelMetadata {
                name: metadata.name.clone(),
                version: metadata.version.clone(),
                inputs: metadata.inputs.iter().map(Into::into).collect(),
                outputs: metadata.outputs.iter().map(Into::into).collect(),
            },
            None => wit::ModelMetadata {
                name: String::new(),
                version: String::new(),
                inputs: Vec::new(),
                outputs: Vec::new(),
            },
        })
    }

    fn labels() -> Vec<String> {
        graph::with(|graph| graph.map(|graph| graph.labels.clone()).unwrap_or_default())
    }

    fn infer(inputs: Vec<wit::Tensor>, outputs: Vec<String>) -> Result<Vec<wit::Tensor>, wit::Error> {
        graph::with(|graph| {
            let graph = graph.ok_or_else(|| wit::Error::Failed(EMPTY.to_owned()))?;
            let wanted = wanted(graph, &outputs)?;
            let results = graph.run(inputs.iter().map(|input| Input {
                name: &input.name,
                datatype: input.datatype.into(),
                shape: &input.shape,
                data: &input.data,
            }))?;
            wanted
                .into_iter()
                .map(|index| {
                    let name = graph.metadata.outputs[index].name.clone();
                    let (datatype, shape, data) = tensor::into_bytes(&results[index])
                        .map_err(|error| wit::Error::Failed(format!("output {name:?}: {error:#}")))?;
                    Ok(wit::Tensor { name, datatype: datatype.into(), shape, data })
                })
                .collect()
        })
    }
}

/// The positions of the outputs with these names; of all outputs, if there are none.
fn wanted(graph: &Graph, names: &[String]) -> Result<Vec<usize>, wit::Error> {
    let outputs = &graph.metadata.outputs;
    if names.is_empty() {
        return Ok((0..outputs.len()).collect());
    }
    names
        .iter()
        .map(|name| {
            outputs.iter().position(|output| output.name == *name).ok_or_else(|| {
                let known = graph::names(outputs);
                wit::Error::InvalidArgument(format!("unknown output {name:?}: the model gives {known}"))
            })
        })
        .collect()
}

impl From<RunError> for wit::Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::InvalidArgument(message) => wit::Error::InvalidArgument(message),
            RunError::Failed(message) => wit::Error::Failed(message),
        }
    }
}

impl From<&samara_protocol::TensorSpec> for wit::TensorSpec {
    fn from(spec: &samara_protocol::TensorSpec) -> Self {
        wit::TensorSpec { name: spec.name.clone(), datatype: spec.datatype.into(), shape: spec.shape.clone() }
    }
}

impl From<Datatype> for wit::Datatype {
    fn from(datatype: Datatype) -> Self {
        match datatype {
            Datatype::Bool => wit::Datatype::Bool,
            Datatype::Uint8 => wit::Datatype::Uint8,
            Datatype::Uint16 => wit::Datatype::Uint16,
            Datatype::Uint32 => wit::Datatype::Uint32,
            Datatype::Uint64 => wit::Datatype::Uint64,
            Datatype::Int8 => wit::Datatype::Int8,
            Datatype::Int16 => wit::Datatype::Int16,
            Datatype::Int32 => wit::Datatype::Int32,
            Datatype::Int64 => wit::Datatype::Int64,
            Datatype::Fp16 => wit::Datatype::Fp16,
            Datatype::Fp32 => wit::Datatype::Fp32,
            Datatype::Fp64 => wit::Datatype::Fp64,
            Datatype::Bytes => wit::Datatype::Bytes,
        }
    }
}

impl From<wit::Datatype> for Datatype {
    fn from(datatype: wit::Datatype) -> Self {
        match datatype {
            wit::Datatype::Bool => Datatype::Bool,
            wit::Datatype::Uint8 => Datatype::Uint8,
            wit::Datatype::Uint16 => Datatype::Uint16,
            wit::Datatype::Uint32 => Datatype::Uint32,
            wit::Datatype::Uint64 => Datatype::Uint64,
            wit::Datatype::Int8 => Datatype::Int8,
            wit::Datatype::Int16 => Datatype::Int16,
            wit::Datatype::Int32 => Datatype::Int32,
            wit::Datatype::Int64 => Datatype::Int64,
            wit::Datatype::Fp16 => Datatype::Fp16,
            wit::Datatype::Fp32 => Datatype::Fp32,
            wit::Datatype::Fp64 => Datatype::Fp64,
            wit::Datatype::Bytes => Datatype::Bytes,
        }
    }
}
