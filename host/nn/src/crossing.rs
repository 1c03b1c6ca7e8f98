//! Tensors as `wasi:nn` has them.
//!
//! `wasi:nn` has names for seven datatypes, and graphs have thirteen. A tensor whose datatype has no name there crosses as
//! `U8`, with its own dimensions and its raw bytes: one byte for each BOOL, eight for each UINT64, and for BYTES each
//! element's length as a little-endian `u32` and then its bytes. The graph's own declaration says what the bytes are.

use bytes::Bytes;
use samara_protocol::{Datatype, TensorSpec};

use crate::{ComputeError, Tensor};

/// The datatypes that have a name in both forms of `wasi:nn`, which graphs have too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Fp16,
    Fp32,
    Fp64,
    U8,
    I32,
    I64,
}

impl Named {
    /// The name under which a datatype crosses.
    pub fn of(datatype: Datatype) -> Named {
        match datatype {
            Datatype::Fp16 => Named::Fp16,
            Datatype::Fp32 => Named::Fp32,
            Datatype::Fp64 => Named::Fp64,
            Datatype::Int32 => Named::I32,
            Datatype::Int64 => Named::I64,
            Datatype::Bool
            | Datatype::Uint8
            | Datatype::Uint16
            | Datatype::Uint32
            | Datatype::Uint64
            | Datatype::Int8
            | Datatype::Int16
            | Datatype::Bytes => Named::U8,
        }
    }
}

/// Takes a guest's tensor for what the graph declares.
pub fn from_guest(spec: &TensorSpec, given: Named, dimensions: &[u32], data: Bytes) -> Result<Tensor, ComputeError> {
    let TensorSpec { name, datatype, shape } = spec;
    let expected = Named::of(*datatype);
    if given != expected {
        let reason = format!("input {name:?}: expected {datatype}, which crosses as {expected:?}, got {given:?}");
        return Err(ComputeError::InvalidArgument(reason));
    }
    // `wasi:nn` has no scalars: "to represent a tensor containing a single value, use `[1]`".
    let dimensions = if shape.is_empty() && dimensions == [1] { &[] } else { dimensions };
    let shape = dimensions.iter().map(|&size| u64::from(size)).collect();
    Ok(Tensor { datatype: *datatype, shape, data })
}

/// The dimensions of an output, where they fit.
pub fn dimensions(name: &str, tensor: &Tensor) -> Result<Vec<u32>, ComputeError> {
    let too_large = || ComputeError::TooLarge(format!("output {name:?} has the shape {:?}", tensor.shape));
    tensor.shape.iter().map(|&size| u32::try_from(size).map_err(|_| too_large())).collect()
}
