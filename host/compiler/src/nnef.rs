//! The graph in the parts that the engine takes.
//!
//! NNEF is tract's own interchange format: a text for the graph, and a file for each tensor. The engine reads it with a
//! fraction of the code that ONNX takes.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Component, PathBuf};

use tract_nnef::ProtoModel;
use tract_nnef::ast::{LValue, RValue};
use tract_nnef::internal::*;
use tract_nnef::ser::{rewrite_model, to_proto_model};
use tract_nnef::tract_core::ops::scan::Scan;

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
    // Outputs are told by their places; what they are called may be what some other node is called.
    model.outlet_labels.clear();
    // What tract makes of it for the text, so that what is added then has names of its own too.
    rewrite_model(&mut model)?;
    rename(&mut model);
    let framework = samara_graph::framework();
    check_names(&to_proto_model(&framework, &model)?)?;
    let archive = framework.write_to_tar_with_config(&model, Vec::new(), false, true)?;
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

/// Gives nodes names of their own in the text, which has but letters, digits and underscores for them: `a.1` and `a_1` would be one, and
/// whoever takes the first would be given the second. Names that no file could have are others, too.
fn rename(model: &mut TypedModel) {
    let mut taken = HashSet::new();
    for node in model.nodes_mut() {
        if let Some(name) = visible(&node.name) {
            node.name = format!("{name}_{}", node.id);
        }
        let name = node.name.clone();
        let mut others = 0;
        // Further outputs are named after the first.
        while (0..node.outputs.len()).any(|slot| taken.contains(&written(&node.name, slot))) {
            others += 1;
            node.name = format!("{name}_{}_{others}", node.id);
        }
        taken.extend((0..node.outputs.len()).map(|slot| written(&node.name, slot)));
        if let Some(scan) = node.op_as_mut::<Scan>() {
            rename(&mut scan.body);
        }
    }
}

/// The name of an output of a node as the text has it.
fn written(name: &str, slot: usize) -> String {
    let name: String =
        name.chars().map(|character| if character.is_alphanumeric() { character } else { '_' }).collect();
    if slot == 0 { name } else { format!("{name}_{slot}") }
}

/// Refuses a graph in which two tensors would have one name: tract names some that it adds after those that are there.
fn check_names(graph: &ProtoModel) -> TractResult<()> {
    let fragments = graph.doc.fragments.iter().filter_map(|fragment| fragment.body.as_deref());
    for body in fragments.chain([&*graph.doc.graph_def.body]) {
        let mut known: HashMap<String, &RValue> = HashMap::new();
        for assignment in body {
            let mut open = vec![&assignment.left];
            while let Some(left) = open.pop() {
                match left {
                    LValue::Identifier(name) => {
                        let other = known.insert(written(&name.0, 0), &assignment.right);
                        ensure!(
                            other.is_none_or(|other| *other == assignment.right),
                            "two tensors would be called {:?}: rename one of the nodes",
                            name.0
                        );
                    }
                    LValue::Tuple(several) | LValue::Array(several) => open.extend(several),
                }
            }
        }
    }
    Ok(())
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
