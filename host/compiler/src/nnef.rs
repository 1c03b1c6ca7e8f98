//! The graph in the parts that the engine takes.
//!
//! NNEF is tract's own interchange format: a text for the graph, and a file for each tensor. The engine reads it with a
//! fraction of the code that ONNX takes.

use std::io::Read;
use std::path::{Component, PathBuf};

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
    for node in model.nodes_mut() {
        if let Some(name) = visible(&node.name) {
            node.name = format!("{name}_{}", node.id);
        }
    }
    let archive = samara_graph::framework().write_to_tar_with_config(&model, Vec::new(), false, true)?;
    let mut parts = Vec::new();
    for entry in tar::Archive::new(archive.as_slice()).entries()? {
        let mut entry = entry?;
        // Where a path is too long for the header of a file, the archive has it as it was written: `.//a/b`, which would be hidden.
        let path: PathBuf = entry.path()?.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        let label = path.to_string_lossy().into_owned();
        let mut content = Vec::with_capacity(usize::try_from(entry.size())?);
        entry.read_to_end(&mut content)?;
        parts.push(Part { label, content });
    }
    parts.sort_by(|a, b| b.content.len().cmp(&a.content.len()).then_with(|| a.label.cmp(&b.label)));
    Ok(parts)
}

/// A name that is a path of names of files, where `name` is none: tensors become files that are named after nodes, and what is hidden is
/// not read.
fn visible(name: &str) -> Option<String> {
    let is_hidden = |part: &str| part.is_empty() || part.starts_with('.');
    if !name.trim_start_matches('/').split(['/', '\\']).any(is_hidden) {
        return None;
    }
    let parts = name.split(['/', '\\']).map(|part| part.trim_start_matches('.'));
    Some(parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}
