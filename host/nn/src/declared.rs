//! What an ONNX model says about itself, without any analysis of its graph.

use std::collections::HashSet;

use prost::Message;
use samara_protocol::{Datatype, TensorSpec};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

/// Reads a model, and checks that it has a graph with outputs.
pub fn decode(bytes: &[u8]) -> Result<ModelProto, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let model = ModelProto::decode(bytes).map_err(|error| format!("it is no ONNX model, or cut off: {error}"))?;
    match &model.graph {
        None => Err("it is no ONNX model, or cut off: it holds no graph".to_owned()),
        Some(graph) if graph.output.is_empty() => Err("its graph has no outputs".to_owned()),
        Some(_) => Ok(model),
    }
}

/// The inputs that have no default.
pub fn inputs(graph: &GraphProto) -> Result<Vec<TensorSpec>, String> {
    // Old files list weights as inputs too, which then have a default.
    let weights: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let given = graph.input.iter().filter(|input| !weights.contains(input.name.as_str()));
    given.map(|input| tensor(input)?.ok_or_else(|| format!("input {:?} has no declared shape", input.name))).collect()
}

/// The outputs; absent where the model tells no type or shape.
pub fn outputs(graph: &GraphProto) -> Result<Vec<Option<TensorSpec>>, String> {
    graph.output.iter().map(tensor).collect()
}

fn tensor(value: &ValueInfoProto) -> Result<Option<TensorSpec>, String> {
    let Some(Type::TensorType(tensor)) = value.r#type.as_ref().and_then(|value| value.value.as_ref()) else {
        return Ok(None);
    };
    if tensor.elem_type == DataType::Undefined as i32 {
        return Ok(None);
    }
    let datatype = DataType::try_from(tensor.elem_type).ok().and_then(datatype).ok_or_else(|| {
        format!(
            "{:?} has elements of ONNX type {}, which the protocol has no datatype for",
            value.name, tensor.elem_type
        )
    })?;
    let Some(shape) = &tensor.shape else { return Ok(None) };
    let size = |value: &Option<Size>| match value {
        Some(Size::DimValue(size)) => (*size).max(-1),
        Some(Size::DimParam(_)) | None => -1,
    };
    let shape = shape.dim.iter().map(|dimension| size(&dimension.value)).collect();
    Ok(Some(TensorSpec { name: value.name.clone(), datatype, shape }))
}

fn datatype(element: DataType) -> Option<Datatype> {
    Some(match element {
        DataType::Bool => Datatype::Bool,
        DataType::Uint8 => Datatype::Uint8,
        DataType::Uint16 => Datatype::Uint16,
        DataType::Uint32 => Datatype::Uint32,
        DataType::Uint64 => Datatype::Uint64,
        DataType::Int8 => Datatype::Int8,
        DataType::Int16 => Datatype::Int16,
        DataType::Int32 => Datatype::Int32,
        DataType::Int64 => Datatype::Int64,
        DataType::Float16 => Datatype::Fp16,
        DataType::Float => Datatype::Fp32,
        DataType::Double => Datatype::Fp64,
        DataType::String => Datatype::Bytes,
        _ => return None,
    })
}

/// Checks that a model names no files: one from a guest could have the host read files that the guest may not see.
pub fn names_no_files(model: &ModelProto) -> Result<(), String> {
    model.graph.iter().try_for_each(graph_names_no_files)?;
    model.functions.iter().flat_map(|function| &function.node).try_for_each(node_names_no_files)
}

fn graph_names_no_files(graph: &GraphProto) -> Result<(), String> {
    graph.initializer.iter().try_for_each(is_here)?;
    graph
        .sparse_initializer
        .iter()
        .flat_map(|sparse| sparse.values.iter().chain(&sparse.indices))
        .try_for_each(is_here)?;
    graph.node.iter().try_for_each(node_names_no_files)
}

fn node_names_no_files(node: &NodeProto) -> Result<(), String> {
    for attribute in &node.attribute {
        attribute.t.iter().chain(&attribute.tensors).try_for_each(is_here)?;
        attribute.g.iter().chain(&attribute.graphs).try_for_each(graph_names_no_files)?;
        let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors);
        sparse.flat_map(|sparse| sparse.values.iter().chain(&sparse.indices)).try_for_each(is_here)?;
    }
    Ok(())
}

fn is_here(tensor: &TensorProto) -> Result<(), String> {
    if tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty() {
        return Err(format!(
            "the weights {:?} are in another file, which only a graph in a file may have",
            tensor.name
        ));
    }
    Ok(())
}
