//! What an ONNX file says that its model takes and gives, without any analysis of the graph.

use std::collections::HashSet;

use samara_protocol::{Datatype, TensorSpec};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, TensorShapeProto, ValueInfoProto};

use super::{Dimension, InputShape};
use crate::CompileError;

/// The inputs, with the shapes that the user fixed.
pub fn inputs(graph: &GraphProto, shapes: &[InputShape]) -> Result<Vec<TensorSpec>, CompileError> {
    // Old files list weights as inputs too, which then have a default.
    let weights: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let given: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|input| !weights.contains(input.name.as_str())).collect();
    if let Some(shape) = shapes.iter().find(|shape| given.iter().all(|input| input.name != shape.name)) {
        let names: Vec<&str> = given.iter().map(|input| input.name.as_str()).collect();
        let reason = format!("the model has no such input; its inputs are {}", names.join(", "));
        return Err(CompileError::InputShape { input: shape.name.clone(), reason });
    }
    given
        .into_iter()
        .map(|input| {
            let (datatype, declared) = tensor(input)?;
            // Whatever runs the graph goes by the file, not by what is fixed here.
            let declared = declared.ok_or_else(|| {
                undeclared(
                    input,
                    "a host goes by what the file declares: give it a shape there, of dynamic dimensions too",
                )
            })?;
            let mut shape = dimensions(declared);
            for fixed in shapes.iter().filter(|shape| shape.name == input.name) {
                shape = fix(Some(shape), fixed)?;
            }
            Ok(TensorSpec { name: input.name.clone(), datatype, shape })
        })
        .collect()
}

/// The outputs.
pub fn outputs(graph: &GraphProto) -> Result<Vec<TensorSpec>, CompileError> {
    graph
        .output
        .iter()
        .map(|output| {
            let (datatype, shape) = tensor(output)?;
            let shape = shape.ok_or_else(|| undeclared(output, "it has no shape"))?;
            Ok(TensorSpec { name: output.name.clone(), datatype, shape: dimensions(shape) })
        })
        .collect()
}

fn undeclared(value: &ValueInfoProto, reason: &str) -> CompileError {
    CompileError::Undeclared { tensor: value.name.clone(), reason: reason.to_owned() }
}

/// The datatype, and the shape if there is one.
fn tensor(value: &ValueInfoProto) -> Result<(Datatype, Option<&TensorShapeProto>), CompileError> {
    let Some(Type::TensorType(tensor)) = value.r#type.as_ref().and_then(|value| value.value.as_ref()) else {
        return Err(undeclared(value, "it is no tensor, or has no type"));
    };
    let element = DataType::try_from(tensor.elem_type).ok();
    let datatype = match element {
        Some(DataType::Bool) => Datatype::Bool,
        Some(DataType::Uint8) => Datatype::Uint8,
        Some(DataType::Uint16) => Datatype::Uint16,
        Some(DataType::Uint32) => Datatype::Uint32,
        Some(DataType::Uint64) => Datatype::Uint64,
        Some(DataType::Int8) => Datatype::Int8,
        Some(DataType::Int16) => Datatype::Int16,
        Some(DataType::Int32) => Datatype::Int32,
        Some(DataType::Int64) => Datatype::Int64,
        Some(DataType::Float16) => Datatype::Fp16,
        Some(DataType::Float) => Datatype::Fp32,
        Some(DataType::Double) => Datatype::Fp64,
        Some(DataType::String) => Datatype::Bytes,
        Some(DataType::Undefined) => return Err(undeclared(value, "it has no element type")),
        Some(other) => return Err(unknown(value, format!("{other:?}"))),
        None => return Err(unknown(value, format!("number {}", tensor.elem_type))),
    };
    Ok((datatype, tensor.shape.as_ref()))
}

fn unknown(value: &ValueInfoProto, datum_type: String) -> CompileError {
    CompileError::Datatype { tensor: value.name.clone(), datum_type }
}

/// The extents, -1 where they have names, are unknown, or are negative, which some writers mean by it.
fn dimensions(shape: &TensorShapeProto) -> Vec<i64> {
    let size = |value: &Option<Size>| match value {
        Some(Size::DimValue(size)) => (*size).max(-1),
        Some(Size::DimParam(_)) | None => -1,
    };
    shape.dim.iter().map(|dimension| size(&dimension.value)).collect()
}

/// The declared shape of an input, with what the user fixed of it.
fn fix(declared: Option<Vec<i64>>, shape: &InputShape) -> Result<Vec<i64>, CompileError> {
    let wrong = |reason: String| CompileError::InputShape { input: shape.name.clone(), reason };
    let declared = declared.unwrap_or_else(|| vec![-1; shape.dimensions.len()]);
    if declared.len() != shape.dimensions.len() {
        return Err(wrong(format!(
            "{} dimensions are given, the model has {}",
            shape.dimensions.len(),
            declared.len()
        )));
    }
    declared
        .into_iter()
        .zip(&shape.dimensions)
        .enumerate()
        .map(|(position, (declared, dimension))| {
            dimension.check(position, usize::try_from(declared).ok()).map_err(wrong)?;
            match dimension {
                Dimension::Symbolic(_) => Ok(-1),
                Dimension::Fixed(size) => i64::try_from(*size).map_err(|_| wrong(format!("{size} is too large"))),
            }
        })
        .collect()
}
