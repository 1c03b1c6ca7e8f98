//! A function and its model, made one component.

use std::borrow::Cow;

use samara_artifact::{Inspection, MODEL_INTERFACE, Manifest, Signature, served};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};

use crate::LinkError;

/// Links a function with the model that it asks: two components, made one.
///
/// The signature that the function wants is held against the model's, if both are told.
pub fn link(function: &[u8], model: &[u8]) -> Result<Vec<u8>, LinkError> {
    let imports = Inspection::of(function).map_err(LinkError::Function)?.imports;
    let exports = Inspection::of(model).map_err(LinkError::Model)?.exports;
    if !imports.iter().any(|import| import == MODEL_INTERFACE) {
        return Err(LinkError::AsksNoModel { interface: MODEL_INTERFACE, imports });
    }
    if !exports.iter().any(|export| export == MODEL_INTERFACE) {
        return Err(LinkError::NoModel { interface: MODEL_INTERFACE, exports });
    }
    if let (Some(wanted), Ok(manifest)) = (Signature::wanted_by(function)?, Manifest::read_from(model)) {
        let found = Signature { inputs: manifest.inputs, outputs: manifest.outputs };
        if let Some(reason) = wanted.mismatch(&found) {
            return Err(LinkError::Mismatch { reason, wanted: Box::new(wanted), found: Box::new(found) });
        }
    }
    // The function answers HTTP, and each of its instances has one of the model.
    let model = served(model).unwrap_or(Cow::Borrowed(model));
    compose(function, &model).map_err(LinkError::Compose)
}

/// Whether a component asks a model that is yet to be linked.
pub fn asks_model(component: &[u8]) -> Result<bool, LinkError> {
    let imports = Inspection::of(component).map_err(LinkError::Function)?.imports;
    Ok(imports.iter().any(|import| import == MODEL_INTERFACE))
}

fn compose(function: &[u8], model: &[u8]) -> Result<Vec<u8>, String> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, component: &[u8]| {
        let package = Package::from_bytes(name, None, component, graph.types_mut()).map_err(|e| format!("{e:#}"))?;
        graph.register_package(package).map_err(|error| error.to_string())
    };
    let function = register("samara:function", function)?;
    let model = register("samara:model", model)?;
    plug(&mut graph, vec![model], function).map_err(|error| error.to_string())?;
    graph.encode(EncodeOptions::default()).map_err(|error| error.to_string())
}
