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
    // The graph may give more than the model does, but not want more.
    let fits = [info.inputs.len() == manifest.inputs.len(), true];
    let sides = [(&manifest.inputs, &info.inputs), (&manifest.outputs, &info.outputs)];
    for ((wanted, given), fits) in sides.into_iter().zip(fits) {
        if !fits || !wanted.iter().all(|wanted| given.iter().any(|given| is_served_by(wanted, given))) {
            let (wanted, given) = (list(wanted), list(given));
            return Err(LoadError::OtherGraph { graph: info.name.clone(), wanted, given });
        }
    }
    Ok(Some(graph))
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
