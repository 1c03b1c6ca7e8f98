//! Tensors of the protocol as those of `wasi:nn`, and back.

use samara_model::Output;
use samara_protocol::{Datatype, check_data};

use crate::bindings::wasi::nn::tensor::TensorType;

/// The type as which elements of `datatype` cross. Those that `wasi:nn` has no name for cross as bytes.
pub fn tensor_type(datatype: Datatype) -> TensorType {
    match datatype {
        Datatype::Fp16 => TensorType::Fp16,
        Datatype::Fp32 => TensorType::Fp32,
        Datatype::Fp64 => TensorType::Fp64,
        Datatype::Int32 => TensorType::I32,
        Datatype::Int64 => TensorType::I64,
        Datatype::Uint8
        | Datatype::Bool
        | Datatype::Uint16
        | Datatype::Uint32
        | Datatype::Uint64
        | Datatype::Int8
        | Datatype::Int16
        | Datatype::Bytes => TensorType::U8,
    }
}

/// A shape as `wasi:nn` has it.
pub fn dimensions(shape: &[u64]) -> Result<Vec<u32>, String> {
    shape.iter().map(|&size| u32::try_from(size).map_err(|_| format!("a dimension of {size} is too large"))).collect()
}

/// An output of `datatype`, made of what the host gave.
pub fn output(datatype: Datatype, given: TensorType, dimensions: &[u32], data: Vec<u8>) -> Result<Output, String> {
    let expected = tensor_type(datatype);
    if given != expected {
        let (expected, given) = (name(expected), name(given));
        return Err(format!("the host gave elements of type {given}; {datatype} crosses as {expected}"));
    }
    let shape: Vec<u64> = dimensions.iter().map(|&size| u64::from(size)).collect();
    check_data(datatype, &shape, &data).map_err(|error| format!("what the host gave is no {datatype}: {error}"))?;
    Ok(Output { datatype, shape, data })
}

fn name(tensor_type: TensorType) -> &'static str {
    match tensor_type {
        TensorType::Fp16 => "FP16",
        TensorType::Fp32 => "FP32",
        TensorType::Fp64 => "FP64",
        TensorType::Bf16 => "BF16",
        TensorType::U8 => "U8",
        TensorType::I32 => "I32",
        TensorType::I64 => "I64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_datatype_crosses_under_its_own_name_or_as_bytes() {
        let named: Vec<(&str, &str)> = Datatype::ALL
            .into_iter()
            .map(|datatype| (datatype.name(), name(tensor_type(datatype))))
            .filter(|(_, name)| *name != "U8")
            .collect();
        assert_eq!(named, [("INT32", "I32"), ("INT64", "I64"), ("FP16", "FP16"), ("FP32", "FP32"), ("FP64", "FP64")]);
    }

    #[test]
    fn an_output_comes_back_as_the_metadata_s_datatype() {
        for (datatype, data) in [
            (Datatype::Bool, vec![0, 1]),
            (Datatype::Uint16, vec![1, 0, 2, 0]),
            (Datatype::Int8, vec![0xff, 1]),
            (Datatype::Uint64, vec![0; 16]),
            (Datatype::Bytes, vec![1, 0, 0, 0, b'a', 0, 0, 0, 0]),
        ] {
            let output = output(datatype, TensorType::U8, &[2], data.clone()).expect("it fits");
            assert_eq!(output, Output { datatype, shape: vec![2], data });
        }
        let scalar = output(Datatype::Fp32, TensorType::Fp32, &[], vec![0; 4]).expect("it fits");
        assert!(scalar.shape.is_empty());
    }

    #[test]
    fn what_the_host_gave_is_held_against_the_metadata() {
        let refused = |datatype, given, dimensions: &[u32], data: &[u8]| {
            output(datatype, given, dimensions, data.to_vec()).expect_err("it does not fit")
        };
        assert_eq!(
            refused(Datatype::Fp16, TensorType::Fp32, &[1], &[0; 4]),
            "the host gave elements of type FP32; FP16 crosses as FP16"
        );
        assert_eq!(
            refused(Datatype::Bool, TensorType::I64, &[1], &[0; 8]),
            "the host gave elements of type I64; BOOL crosses as U8"
        );
        assert_eq!(
            refused(Datatype::Uint32, TensorType::U8, &[2], &[0; 4]),
            "what the host gave is no UINT32: expected 8 bytes of data, got 4"
        );
        refused(Datatype::Bytes, TensorType::U8, &[1], &[9, 0, 0, 0, b'a']);
        refused(Datatype::Bool, TensorType::U8, &[1], &[2]);
        refused(Datatype::Fp64, TensorType::Fp64, &[u32::MAX, u32::MAX, u32::MAX], &[]);
    }

    #[test]
    fn a_dimension_has_32_bits() {
        assert_eq!(dimensions(&[0, 3, u64::from(u32::MAX)]), Ok(vec![0, 3, u32::MAX]));
        assert_eq!(dimensions(&[1 << 32]), Err("a dimension of 4294967296 is too large".to_owned()));
        assert_eq!(dimensions(&[]), Ok(Vec::new()));
    }
}
