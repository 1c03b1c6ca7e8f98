//! Sizes that a graph computes in 32 bits.
//!
//! Operators take shapes as `INT64`, and `Shape` gives them so; but exporters from Paddle and TensorFlow cast them to `INT32`, compute, and
//! cast the result back. tract loses there what it knows of a dimension whose size is not known: a shape made of it is "variable". So
//! the same is computed in 64 bits, which gives the same for every size that a tensor in a 32-bit memory can have.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, attribute_proto, tensor_proto::DataType};

/// The model with sizes in 64 bits.
pub fn in_64_bits(model: Cow<'_, ModelProto>) -> Cow<'_, ModelProto> {
    let nodes = model.graph.as_ref().map_or(&[][..], |graph| &graph.node);
    let shapes: HashSet<&String> =
        nodes.iter().filter(|node| is(node, &["Shape"])).flat_map(|node| &node.output).collect();
    if !nodes.iter().any(|node| casts_to(node, DataType::Int32) && node.input.iter().any(|name| shapes.contains(name)))
    {
        return model;
    }
    let mut model = model.into_owned();
    if let Some(graph) = &mut model.graph {
        widen(graph);
    }
    Cow::Owned(model)
}

/// Whether a node has one of ONNX's own operators.
fn is(node: &NodeProto, operators: &[&str]) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx") && operators.contains(&node.op_type.as_str())
}

fn casts_to(node: &NodeProto, datatype: DataType) -> bool {
    let to = node.attribute.iter().find(|attribute| attribute.name == "to");
    is(node, &["Cast"]) && to.is_some_and(|to| to.i == i64::from(datatype as i32))
}

fn widen(graph: &mut GraphProto) {
    // Whoever uses these has been told that they are `INT32`.
    let mut fixed: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    for node in &graph.node {
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).for_each(|body| used(body, &mut fixed));
        }
    }
    let mut shapes: HashSet<String> = HashSet::new();
    let mut casts = Casts::default();
    let mut wide: HashSet<String> = HashSet::new();
    for mut node in std::mem::take(&mut graph.node) {
        let is_free = !node.output.iter().any(|output| fixed.contains(output));
        let takes = |names: &HashSet<String>, node: &NodeProto| node.input.iter().any(|input| names.contains(input));
        let first = node.input.first().is_some_and(|input| wide.contains(input));
        if is(&node, &["Shape"]) {
            shapes.extend(node.output.iter().cloned());
        } else if is_free && takes(&shapes, &node) && casts_to(&node, DataType::Int32) {
            node.attribute = vec![to(DataType::Int64)];
            wide.extend(node.output.iter().cloned());
        } else if is_free && first && is(&node, &["Slice", "Gather", "Squeeze", "Unsqueeze", "Identity"]) {
            // What comes after the first input are indices, which may be of either type.
            casts.replace(&mut node, &wide, |input, is_wide| input > 0 && is_wide, DataType::Int32);
            wide.extend(node.output.iter().cloned());
        } else if is_free && takes(&wide, &node) && is(&node, &["Concat", "Add", "Sub", "Mul", "Div"]) {
            casts.replace(&mut node, &wide, |_, is_wide| !is_wide, DataType::Int64);
            wide.extend(node.output.iter().cloned());
        } else if !is(&node, &["Cast"]) {
            casts.replace(&mut node, &wide, |_, is_wide| is_wide, DataType::Int32);
        }
        graph.node.append(&mut casts.made);
        graph.node.push(node);
    }
    graph.value_info.retain(|value| !wide.contains(&value.name));
}

/// The names that are used in the body of a loop or a branch, which may come from outside of it.
fn used(body: &GraphProto, names: &mut HashSet<String>) {
    names.extend(body.output.iter().map(|output| output.name.clone()));
    for node in &body.node {
        names.extend(node.input.iter().cloned());
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).for_each(|inner| used(inner, names));
        }
    }
}

fn to(datatype: DataType) -> AttributeProto {
    AttributeProto {
        name: "to".to_owned(),
        r#type: attribute_proto::AttributeType::Int as i32,
        i: i64::from(datatype as i32),
        ..AttributeProto::default()
    }
}

/// Casts that are put before nodes.
#[derive(Default)]
struct Casts {
    /// Those that have no place in the graph yet.
    made: Vec<NodeProto>,
    /// What each tensor is called in the other type.
    names: HashMap<String, String>,
}

impl Casts {
    /// Casts some inputs of a node, by their position and whether they are wide.
    fn replace(
        &mut self,
        node: &mut NodeProto,
        wide: &HashSet<String>,
        which: impl Fn(usize, bool) -> bool,
        datatype: DataType,
    ) {
        for (position, input) in node.input.iter_mut().enumerate() {
            if input.is_empty() || !which(position, wide.contains(input)) {
                continue;
            }
            let count = self.names.len();
            let cast = self.names.entry(input.clone()).or_insert_with(|| {
                let cast = format!("samara.sizes.{count}");
                self.made.push(NodeProto {
                    name: cast.clone(),
                    op_type: "Cast".to_owned(),
                    input: vec![input.clone()],
                    output: vec![cast.clone()],
                    attribute: vec![to(datatype)],
                    ..NodeProto::default()
                });
                cast
            });
            input.clone_from(cast);
        }
    }
}
