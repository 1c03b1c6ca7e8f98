//! The graph in the parts that the engine takes.
//!
//! NNEF is tract's own interchange format: a text for the graph, and a file for each tensor. The engine reads it with a
//! fraction of the code that ONNX takes.

use std::io::Read;

use tract_nnef::internal::*;

use crate::CompileError;

/// A part of the graph: its name, and its content.
pub struct Part {
    pub label: String,
    pub content: Vec<u8>,
}

/// Writes `model` in parts, the largest first.
///
/// The order is for the engine's heap. A large tensor leaves a large hole when its weights have been packed, in which the
/// next ones find room.
pub fn parts(model: &TypedModel) -> Result<Vec<Part>, CompileError> {
    write(model).map_err(|error| CompileError::Graph(format!("{error:#}")))
}

fn write(model: &TypedModel) -> TractResult<Vec<Part>> {
    // What the file says about itself is in the manifest; NNEF has no way to quote some of it.
    let mut model = model.clone();
    model.properties.clear();
    let archive = samara_graph::framework().write_to_tar_with_config(&model, Vec::new(), false, true)?;
    let mut parts = Vec::new();
    for entry in tar::Archive::new(archive.as_slice()).entries()? {
        let mut entry = entry?;
        let label = entry.path()?.to_string_lossy().into_owned();
        let mut content = Vec::with_capacity(usize::try_from(entry.size())?);
        entry.read_to_end(&mut content)?;
        parts.push(Part { label, content });
    }
    parts.sort_by(|a, b| b.content.len().cmp(&a.content.len()).then_with(|| a.label.cmp(&b.label)));
    Ok(parts)
}
