//! The names of the metrics.

pub const REQUESTS: &str = "samara_requests_total";
pub const REQUEST_DURATION: &str = "samara_request_duration_seconds";
pub const STAGE_DURATION: &str = "samara_stage_duration_seconds";
pub const COLD_START_DURATION: &str = "samara_cold_start_duration_seconds";
pub const LIMIT_HITS: &str = "samara_limit_hits_total";
pub const QUEUE_DEPTH: &str = "samara_queue_depth";
pub const IN_FLIGHT: &str = "samara_in_flight";
pub const INSTANCES: &str = "samara_instances";
pub const MODEL_LOADS: &str = "samara_model_loads_total";
pub const MODEL_VERSIONS: &str = "samara_model_versions";
pub const BATCH_SIZE: &str = "samara_batch_size";
pub const BATCH_FAILURES: &str = "samara_batch_failures_total";
pub const MODELS: &str = "samara_models";
pub const EVICTIONS: &str = "samara_evictions_total";
pub const MODEL_RESIDENT: &str = "samara_model_resident_bytes";
pub const PROCESS_RESIDENT: &str = "process_resident_memory_bytes";
pub const PROCESS_OPEN_FILES: &str = "process_open_fds";
pub const NV_SUCCESS: &str = "nv_inference_request_success";
pub const NV_FAILURE: &str = "nv_inference_request_failure";
pub const NV_COUNT: &str = "nv_inference_count";
pub const NV_EXEC_COUNT: &str = "nv_inference_exec_count";
pub const NV_REQUEST_US: &str = "nv_inference_request_duration_us";
pub const NV_QUEUE_US: &str = "nv_inference_queue_duration_us";
pub const NV_INPUT_US: &str = "nv_inference_compute_input_duration_us";
pub const NV_INFER_US: &str = "nv_inference_compute_infer_duration_us";
pub const NV_OUTPUT_US: &str = "nv_inference_compute_output_duration_us";
pub const NV_PENDING: &str = "nv_inference_pending_request_count";

/// Every metric that there is, by its name. The names that begin with `nv_` are
/// [Triton's](https://github.com/triton-inference-server/server/blob/main/docs/user_guide/metrics.md), and mean the same.
pub const METRICS: [&str; 27] = [
    REQUESTS,
    REQUEST_DURATION,
    STAGE_DURATION,
    COLD_START_DURATION,
    LIMIT_HITS,
    QUEUE_DEPTH,
    IN_FLIGHT,
    INSTANCES,
    MODEL_LOADS,
    MODEL_VERSIONS,
    BATCH_SIZE,
    BATCH_FAILURES,
    MODELS,
    EVICTIONS,
    MODEL_RESIDENT,
    PROCESS_RESIDENT,
    PROCESS_OPEN_FILES,
    NV_SUCCESS,
    NV_FAILURE,
    NV_COUNT,
    NV_EXEC_COUNT,
    NV_REQUEST_US,
    NV_QUEUE_US,
    NV_INPUT_US,
    NV_INFER_US,
    NV_OUTPUT_US,
    NV_PENDING,
];
