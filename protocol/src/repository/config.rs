//! A model's configuration, in the JSON form of Triton's `ModelConfig` message.

use serde::Serialize;

use super::to_body;
use crate::{Datatype, ModelMetadata, TensorSpec};

/// What runs the model, where Triton names one of its backends.
pub const BACKEND: &str = "samara";

#[derive(Serialize)]
struct Config<'a> {
    name: &'a str,
    platform: &'a str,
    backend: &'static str,
    version_policy: VersionPolicy<'a>,
    max_batch_size: u64,
    input: Vec<Tensor<'a>>,
    output: Vec<Tensor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dynamic_batching: Option<DynamicBatching>,
}

/// How the requests of a model run together: Triton's `ModelDynamicBatching`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DynamicBatching {
    /// The most items of a batch.
    #[serde(skip)]
    pub max_batch_size: u64,
    /// How long a request waits for others at the most, in microseconds.
    pub max_queue_delay_microseconds: u64,
}

#[derive(Serialize)]
struct VersionPolicy<'a> {
    specific: Specific<'a>,
}

/// Triton's versions are numbers; others are given as the strings they are.
#[derive(Serialize)]
struct Specific<'a> {
    versions: [Version<'a>; 1],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Version<'a> {
    Number(i64),
    Text(&'a str),
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    data_type: &'static str,
    dims: &'a [i64],
}

/// The body of [`Route::ModelConfig`](crate::Route::ModelConfig).
///
/// Without `batching`, `max_batch_size` is 0, which in Triton's terms says that `dims` are the whole shape: a batch dimension,
/// where the model has one, is among them. With it, `dims` are what follows the batch dimension.
#[must_use]
pub fn model_config(model: &ModelMetadata, batching: Option<DynamicBatching>) -> Vec<u8> {
    let version = model.version.parse().map_or(Version::Text(&model.version), Version::Number);
    to_body(&Config {
        name: &model.name,
        platform: &model.platform,
        backend: BACKEND,
        version_policy: VersionPolicy { specific: Specific { versions: [version] } },
        max_batch_size: batching.map_or(0, |batching| batching.max_batch_size),
        input: tensors(&model.inputs, batching.is_some()),
        output: tensors(&model.outputs, batching.is_some()),
        dynamic_batching: batching,
    })
}

fn tensors(specs: &[TensorSpec], batched: bool) -> Vec<Tensor<'_>> {
    specs
        .iter()
        .map(|spec| Tensor { name: &spec.name, data_type: data_type(spec.datatype), dims: dims(spec, batched) })
        .collect()
}

/// The shape, or that of an item where the first dimension is the batch's.
fn dims(spec: &TensorSpec, batched: bool) -> &[i64] {
    match spec.shape.split_first() {
        Some((_, item)) if batched => item,
        _ => &spec.shape,
    }
}

/// The name that Triton's configurations have for a datatype.
const fn data_type(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "TYPE_BOOL",
        Datatype::Uint8 => "TYPE_UINT8",
        Datatype::Uint16 => "TYPE_UINT16",
        Datatype::Uint32 => "TYPE_UINT32",
        Datatype::Uint64 => "TYPE_UINT64",
        Datatype::Int8 => "TYPE_INT8",
        Datatype::Int16 => "TYPE_INT16",
        Datatype::Int32 => "TYPE_INT32",
        Datatype::Int64 => "TYPE_INT64",
        Datatype::Fp16 => "TYPE_FP16",
        Datatype::Fp32 => "TYPE_FP32",
        Datatype::Fp64 => "TYPE_FP64",
        Datatype::Bytes => "TYPE_STRING",
    }
}
