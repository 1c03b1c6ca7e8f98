//! The graph that a model has its host run.

use std::path::Path;
use std::sync::Arc;

use samara_artifact::Manifest;
use samara_nn::{Graph, Registry};
use samara_protocol::TensorSpec;

use crate::LoadError;

/// The graph that a model has its host run, if it has it run one: the one that is registered under its name, else the one
/// in the file beside the component, which is then registered.
///
/// # Errors
///
/// There is no such graph, it cannot be loaded, or it takes or gives something else than the model.
pub fn graph_of(
    manifest: &Manifest,
    directory: Option<&Path>,
    graphs: &Registry,
) -> Result<Option<Arc<Graph>>, LoadError> {
    let Some(wanted) = &manifest.nn else { return Ok(None) };
    let graph = match directory {
        Some(directory) => graphs.provide(&wanted.graph, &directory.join(&wanted.file), &wanted.sha256)?,
        None => graphs.get(&wanted.graph)?,
    };
    let info = graph.info();
    let other = |wanted: &[TensorSpec], given: &[TensorSpec]| {
        let (wanted, given) = (list(wanted), list(given));
        LoadError::OtherGraph { graph: info.name.clone(), wanted, given }
    };
    // The graph may give more than the model does, but not want more.
    if info.inputs.len() != manifest.inputs.len() || !are_served_by(&manifest.inputs, &info.inputs) {
        return Err(other(&manifest.inputs, &info.inputs));
    }
    if !are_served_by(&manifest.outputs, &info.outputs) {
        return Err(other(&manifest.outputs, &info.outputs));
    }
    Ok(Some(graph))
}

/// Whether each of a model's tensors can be one of a graph's.
fn are_served_by(model: &[TensorSpec], graph: &[TensorSpec]) -> bool {
    model.iter().all(|model| graph.iter().any(|graph| is_served_by(model, graph)))
}

/// Whether a tensor of a model can be one of a graph.
fn is_served_by(model: &TensorSpec, graph: &TensorSpec) -> bool {
    let sizes = || model.shape.iter().zip(&graph.shape);
    model.name == graph.name
        && model.datatype == graph.datatype
        && model.shape.len() == graph.shape.len()
        && sizes().all(|(&model, &graph)| model < 0 || graph < 0 || model == graph)
}

fn list(specs: &[TensorSpec]) -> String {
    let specs = specs.iter().map(|spec| format!("{} {}{:?}", spec.name, spec.datatype, spec.shape));
    specs.collect::<Vec<_>>().join(", ")
}
