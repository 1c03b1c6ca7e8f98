//! What can be checked of an ONNX file without analysing its graph.

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path};

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto};

use super::quantized;
use crate::CompileError;
use crate::error::UnsupportedOperator;

/// The domains whose operators tract has: ONNX's own, its machine-learning ones, and some of ONNX Runtime's.
const KNOWN_DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// The most that the weights may take. A 32-bit memory has 4 GiB, and a weight is in it twice while it is packed.
const MAX_WEIGHT_BYTES: u64 = 3 << 30;

/// Names the operators that tract does not have.
pub fn operators(graph: &GraphProto) -> Result<(), CompileError> {
    let Onnx { op_register, .. } = tract_onnx::onnx();
    let mut unsupported: BTreeMap<String, UnsupportedOperator> = BTreeMap::new();
    each_node(graph, &mut |node| {
        // tract looks at an operator's name only; the same name means something else in a domain that it does not know.
        let known = KNOWN_DOMAINS.contains(&node.domain.as_str()) && op_register.0.contains_key(&node.op_type)
            || quantized::is_known(&node.domain, &node.op_type);
        if !known {
            let operator = match node.domain.as_str() {
                "" | "ai.onnx" => node.op_type.clone(),
                domain => format!("{domain}.{}", node.op_type),
            };
            let name =
                if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() };
            unsupported.entry(operator.clone()).and_modify(|known| known.nodes += 1).or_insert(UnsupportedOperator {
                operator,
                node: name,
                nodes: 1,
            });
        }
    });
    if unsupported.is_empty() {
        Ok(())
    } else {
        Err(CompileError::UnsupportedOperators(unsupported.into_values().collect()))
    }
}

fn each_node<'a>(graph: &'a GraphProto, f: &mut impl FnMut(&'a NodeProto)) {
    for node in &graph.node {
        f(node);
        for attribute in &node.attribute {
            for nested in attribute.g.iter().chain(&attribute.graphs) {
                each_node(nested, f);
            }
        }
    }
}

/// Checks that every tensor that is used is also made.
pub fn names(graph: &GraphProto) -> Result<(), CompileError> {
    let made: HashSet<&str> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .chain(graph.initializer.iter().map(|tensor| tensor.name.as_str()))
        .chain(graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str)))
        .collect();
    let used = graph
        .node
        .iter()
        .flat_map(|node| node.input.iter().map(|name| (name, "a node's input")))
        .chain(graph.output.iter().map(|output| (&output.name, "an output of the model")));
    for (name, role) in used {
        if !name.is_empty() && !made.contains(name.as_str()) {
            return Err(CompileError::InvalidGraph(format!("{role}, {name:?}, is made by no node")));
        }
    }
    Ok(())
}

/// Checks that the weights are there, and that they fit into a 32-bit memory.
pub fn weights(graph: &GraphProto, directory: &Path) -> Result<(), CompileError> {
    let mut weight_bytes = 0_u64;
    let mut external = Vec::new();
    for tensor in &graph.initializer {
        let elements =
            tensor.dims.iter().try_fold(1_u64, |elements, &size| elements.checked_mul(u64::try_from(size).ok()?));
        let Some(elements) = elements else {
            return Err(CompileError::InvalidGraph(format!(
                "the weights {:?} have the shape {:?}",
                tensor.name, tensor.dims
            )));
        };
        let needed = elements.saturating_mul(element_size(tensor));
        weight_bytes = weight_bytes.saturating_add(needed);
        if tensor.data_location == Some(tensor_proto::DataLocation::External as i32) {
            external.push((tensor, needed));
        }
    }
    if weight_bytes > MAX_WEIGHT_BYTES {
        return Err(CompileError::TooLarge { weight_bytes });
    }
    external.into_iter().try_for_each(|(tensor, needed)| check_external(tensor, needed, directory))
}

/// Checks that all weights are in the model's own file.
pub fn holds_its_weights(graph: &GraphProto) -> Result<(), CompileError> {
    let is_elsewhere =
        |tensor: &&TensorProto| tensor.data_location == Some(tensor_proto::DataLocation::External as i32);
    let mut elsewhere = graph.initializer.iter().find(is_elsewhere);
    each_node(graph, &mut |node| {
        for attribute in &node.attribute {
            let nested = attribute.g.iter().chain(&attribute.graphs).flat_map(|graph| &graph.initializer);
            elsewhere =
                elsewhere.or_else(|| attribute.t.iter().chain(&attribute.tensors).chain(nested).find(is_elsewhere));
        }
    });
    match elsewhere {
        Some(tensor) => Err(CompileError::WeightsElsewhere { tensor: tensor.name.clone() }),
        None => Ok(()),
    }
}

fn element_size(tensor: &TensorProto) -> u64 {
    use tensor_proto::DataType;
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64) => 8,
        Ok(DataType::Complex128) => 16,
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Bool) => 1,
        _ => 4,
    }
}

/// Checks that the file with a tensor's weights is there, and long enough for the `needed` bytes.
fn check_external(tensor: &TensorProto, needed: u64, directory: &Path) -> Result<(), CompileError> {
    let value = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &*entry.value);
    let location = Path::new(value("location").unwrap_or_default());
    let path = directory.join(location);
    let unusable =
        |reason: String| CompileError::ExternalData { tensor: tensor.name.clone(), path: path.clone(), reason };
    // ONNX: the location is a relative path, and must not lead out of the model's directory.
    if location.as_os_str().is_empty() || !location.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(unusable("the path is not one inside the model's directory".to_owned()));
    }
    let bytes = std::fs::metadata(&path).map_err(|error| unusable(error.to_string()))?.len();
    let number = |key: &str| -> Result<Option<u64>, CompileError> {
        value(key).map(|text| text.parse().map_err(|_| unusable(format!("{key} {text:?} is not a number")))).transpose()
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let end = offset.saturating_add(length.unwrap_or(needed));
    if end > bytes {
        return Err(unusable(format!("it has {bytes} bytes, and {end} are needed")));
    }
    Ok(())
}
