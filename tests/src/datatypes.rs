//! A tensor of each number type.

use half::f16;

use crate::onnx::Type;
use crate::tensor::Tensor;

/// Each number type: ONNX's, the protocol's, and two elements of it that are at its ends.
#[must_use]
pub fn numbers() -> Vec<(Type, Tensor)> {
    let tensor =
        |datatype: &str, elements: [&[u8]; 2]| Tensor::new(&datatype.to_lowercase(), datatype, &[2], elements.concat());
    vec![
        (Type::Uint8, tensor("UINT8", [&[0], &[u8::MAX]])),
        (Type::Uint16, tensor("UINT16", [&[0, 0], &u16::MAX.to_le_bytes()])),
        (Type::Uint32, tensor("UINT32", [&[0; 4], &u32::MAX.to_le_bytes()])),
        (Type::Uint64, tensor("UINT64", [&[0; 8], &u64::MAX.to_le_bytes()])),
        (Type::Int8, tensor("INT8", [&i8::MIN.to_le_bytes(), &i8::MAX.to_le_bytes()])),
        (Type::Int16, tensor("INT16", [&i16::MIN.to_le_bytes(), &i16::MAX.to_le_bytes()])),
        (Type::Int32, tensor("INT32", [&i32::MIN.to_le_bytes(), &i32::MAX.to_le_bytes()])),
        (Type::Int64, tensor("INT64", [&i64::MIN.to_le_bytes(), &i64::MAX.to_le_bytes()])),
        (Type::Float16, tensor("FP16", [&f16::MIN.to_le_bytes(), &f16::MAX.to_le_bytes()])),
        (Type::Float, tensor("FP32", [&f32::MIN.to_le_bytes(), &f32::MAX.to_le_bytes()])),
        (Type::Double, tensor("FP64", [&f64::MIN.to_le_bytes(), &f64::MAX.to_le_bytes()])),
    ]
}
