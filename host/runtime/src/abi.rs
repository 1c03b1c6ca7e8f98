//! The types and functions of `samara:inference/model`, as the host calls them.

#![allow(missing_docs, reason = "generated from wit/model.wit, which documents each item")]

use samara_protocol as protocol;

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "samara:inference/served",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub use exports::samara::inference::model as wit;

impl From<protocol::Datatype> for wit::Datatype {
    fn from(datatype: protocol::Datatype) -> Self {
        match datatype {
            protocol::Datatype::Bool => wit::Datatype::Bool,
            protocol::Datatype::Uint8 => wit::Datatype::Uint8,
            protocol::Datatype::Uint16 => wit::Datatype::Uint16,
            protocol::Datatype::Uint32 => wit::Datatype::Uint32,
            protocol::Datatype::Uint64 => wit::Datatype::Uint64,
            protocol::Datatype::Int8 => wit::Datatype::Int8,
            protocol::Datatype::Int16 => wit::Datatype::Int16,
            protocol::Datatype::Int32 => wit::Datatype::Int32,
            protocol::Datatype::Int64 => wit::Datatype::Int64,
            protocol::Datatype::Fp16 => wit::Datatype::Fp16,
            protocol::Datatype::Fp32 => wit::Datatype::Fp32,
            protocol::Datatype::Fp64 => wit::Datatype::Fp64,
            protocol::Datatype::Bytes => wit::Datatype::Bytes,
        }
    }
}

impl From<wit::Datatype> for protocol::Datatype {
    fn from(datatype: wit::Datatype) -> Self {
        match datatype {
            wit::Datatype::Bool => protocol::Datatype::Bool,
            wit::Datatype::Uint8 => protocol::Datatype::Uint8,
            wit::Datatype::Uint16 => protocol::Datatype::Uint16,
            wit::Datatype::Uint32 => protocol::Datatype::Uint32,
            wit::Datatype::Uint64 => protocol::Datatype::Uint64,
            wit::Datatype::Int8 => protocol::Datatype::Int8,
            wit::Datatype::Int16 => protocol::Datatype::Int16,
            wit::Datatype::Int32 => protocol::Datatype::Int32,
            wit::Datatype::Int64 => protocol::Datatype::Int64,
            wit::Datatype::Fp16 => protocol::Datatype::Fp16,
            wit::Datatype::Fp32 => protocol::Datatype::Fp32,
            wit::Datatype::Fp64 => protocol::Datatype::Fp64,
            wit::Datatype::Bytes => protocol::Datatype::Bytes,
        }
    }
}

impl From<wit::TensorSpec> for protocol::TensorSpec {
    fn from(spec: wit::TensorSpec) -> Self {
        protocol::TensorSpec { name: spec.name, datatype: spec.datatype.into(), shape: spec.shape }
    }
}

impl From<wit::ModelMetadata> for protocol::ModelMetadata {
    fn from(metadata: wit::ModelMetadata) -> Self {
        protocol::ModelMetadata {
            name: metadata.name,
            version: metadata.version,
            platform: protocol::PLATFORM.to_owned(),
            inputs: metadata.inputs.into_iter().map(Into::into).collect(),
            outputs: metadata.outputs.into_iter().map(Into::into).collect(),
        }
    }
}
