//! What is known of models, in the messages for it.

use samara_protocol::repository::{BACKEND, DurationStatistic, DynamicBatching, GraphMetadata, ModelStatistics};
use samara_protocol::{Datatype, ModelMetadata, TensorSpec};

use crate::inference::model_config::SchedulingChoice;
use crate::inference::model_metadata_response::TensorMetadata;
use crate::inference::model_version_policy::{PolicyChoice, Specific};
use crate::inference::{
    DataType, InferBatchStatistics, InferStatistics, ModelConfig, ModelConfigResponse, ModelDynamicBatching,
    ModelInput, ModelMetadataResponse, ModelOutput, ModelStatistics as Statistics, ModelStatisticsResponse,
    ModelVersionPolicy, StatisticDuration,
};

/// What a model takes and gives, in which versions; what the server runs for it, where it does not run by itself; and how its
/// requests run together, where they do.
#[must_use]
pub fn model_metadata(
    model: &ModelMetadata,
    versions: &[&str],
    graph: Option<&GraphMetadata<'_>>,
    batching: Option<DynamicBatching>,
) -> ModelMetadataResponse {
    let tensors = |specs: &[TensorSpec]| {
        specs
            .iter()
            .map(|spec| TensorMetadata {
                name: spec.name.clone(),
                datatype: spec.datatype.name().to_owned(),
                shape: spec.shape.clone(),
            })
            .collect()
    };
    let mut properties = Vec::new();
    if let Some(graph) = graph {
        properties.extend([
            ("graph.name", graph.name.to_owned()),
            ("graph.file", graph.file.to_owned()),
            ("graph.sha256", graph.sha256.to_owned()),
            ("graph.backend", graph.backend.to_owned()),
            ("graph.backend_version", graph.backend_version.to_owned()),
            ("graph.device", graph.device.to_owned()),
            ("graph.device_asked", graph.device_asked.to_owned()),
            ("graph.contexts", graph.contexts.to_string()),
            ("graph.threads", graph.threads.to_string()),
            ("graph.optimization", graph.optimization.to_owned()),
            ("graph.load_ns", graph.load_ns.to_string()),
        ]);
        properties.extend(graph.fell_back.map(|why| ("graph.fell_back", why.to_owned())));
    }
    if let Some(batching) = batching {
        properties.extend([
            ("dynamic_batching.max_batch_size", batching.max_batch_size.to_string()),
            ("dynamic_batching.max_queue_delay_microseconds", batching.max_queue_delay_microseconds.to_string()),
            ("dynamic_batching.isolation", "batch".to_owned()),
        ]);
    }
    ModelMetadataResponse {
        name: model.name.clone(),
        versions: versions.iter().map(|version| (*version).to_owned()).collect(),
        platform: model.platform.clone(),
        inputs: tensors(&model.inputs),
        outputs: tensors(&model.outputs),
        properties: properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// A model's configuration; see [`samara_protocol::repository::model_config`].
#[must_use]
pub fn model_config(model: &ModelMetadata, batching: Option<DynamicBatching>) -> ModelConfigResponse {
    let specific = |version| PolicyChoice::Specific(Specific { versions: vec![version] });
    // Where requests run together, the batch dimension is left out.
    let dims = |spec: &TensorSpec| spec.shape.get(usize::from(batching.is_some())..).unwrap_or_default().to_vec();
    let inputs = model.inputs.iter().map(|spec| ModelInput {
        name: spec.name.clone(),
        data_type: data_type(spec.datatype).into(),
        dims: dims(spec),
    });
    let outputs = model.outputs.iter().map(|spec| ModelOutput {
        name: spec.name.clone(),
        data_type: data_type(spec.datatype).into(),
        dims: dims(spec),
    });
    ModelConfigResponse {
        config: Some(ModelConfig {
            name: model.name.clone(),
            platform: model.platform.clone(),
            version_policy: Some(ModelVersionPolicy { policy_choice: model.version.parse().ok().map(specific) }),
            max_batch_size: batching.map_or(0, |it| i32::try_from(it.max_batch_size).unwrap_or(i32::MAX)),
            input: inputs.collect(),
            output: outputs.collect(),
            backend: BACKEND.to_owned(),
            scheduling_choice: batching.map(|batching| {
                let max_queue_delay_microseconds = batching.max_queue_delay_microseconds;
                SchedulingChoice::DynamicBatching(ModelDynamicBatching { max_queue_delay_microseconds })
            }),
        }),
    }
}

/// What has happened to models since the server started.
#[must_use]
pub fn statistics(models: &[ModelStatistics<'_>]) -> ModelStatisticsResponse {
    let duration = |DurationStatistic { count, ns }| Some(StatisticDuration { count, ns });
    let model_stats = models.iter().map(|model| Statistics {
        name: model.name.to_owned(),
        version: model.version.to_owned(),
        last_inference: model.last_inference,
        inference_count: model.inference_count,
        execution_count: model.execution_count,
        inference_stats: Some(InferStatistics {
            success: duration(model.success),
            fail: duration(model.fail),
            queue: duration(model.queue),
            compute_input: duration(model.compute_input),
            compute_infer: duration(model.compute_infer),
            compute_output: duration(model.compute_output),
        }),
        batch_stats: model
            .batches
            .iter()
            .map(|batch| InferBatchStatistics {
                batch_size: batch.batch_size,
                compute_input: duration(batch.compute_input),
                compute_infer: duration(batch.compute_infer),
                compute_output: duration(batch.compute_output),
            })
            .collect(),
    });
    ModelStatisticsResponse { model_stats: model_stats.collect() }
}

const fn data_type(datatype: Datatype) -> DataType {
    match datatype {
        Datatype::Bool => DataType::TypeBool,
        Datatype::Uint8 => DataType::TypeUint8,
        Datatype::Uint16 => DataType::TypeUint16,
        Datatype::Uint32 => DataType::TypeUint32,
        Datatype::Uint64 => DataType::TypeUint64,
        Datatype::Int8 => DataType::TypeInt8,
        Datatype::Int16 => DataType::TypeInt16,
        Datatype::Int32 => DataType::TypeInt32,
        Datatype::Int64 => DataType::TypeInt64,
        Datatype::Fp16 => DataType::TypeFp16,
        Datatype::Fp32 => DataType::TypeFp32,
        Datatype::Fp64 => DataType::TypeFp64,
        Datatype::Bytes => DataType::TypeString,
    }
}
