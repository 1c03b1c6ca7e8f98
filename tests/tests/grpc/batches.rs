//! Requests over gRPC run together with others, where their model is set up so.

use std::fs;

use samara_grpc::inference::model_config::SchedulingChoice;
use samara_grpc::inference::{
    ModelConfigRequest, ModelConfigResponse, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelStatisticsRequest, ModelStatisticsResponse,
};
use samara_tests::grpc::{INFER, outputs, raw};
use samara_tests::guests;
use samara_tests::server::Serve;
use samara_tests::tensor::json_request;
use tempfile::tempdir;
use tonic::Request;

use super::input;

#[test]
fn requests_of_both_ways_run_together_and_it_is_told() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let file = directory.path().join("samara.toml");
    let text = "[node]\nworkers = 1\npaths = [\".\"]\n[model.good]\nmax_batch_size = 3\nmax_batch_delay_ms = 5000\n";
    fs::write(&file, text).unwrap();
    let server = Serve::new::<&str>([]).option(&format!("--config {}", file.display())).grpc().start();
    let client = server.grpc();
    // The batch is full by the third, and nobody waits for five seconds.
    let calls = [1.0, 2.0].map(|x| client.start::<_, ModelInferResponse>(INFER, Request::new(raw("good", &input(x)))));
    server.send(&json_request("good", &input(3.0))).expect(200);
    let replies = calls.map(|call| outputs(client.join(call).unwrap().get_ref())[0].as_fp32());
    assert_eq!(replies, [[1.0], [2.0]]);

    let (name, version) = ("good".to_owned(), String::new());
    let request = ModelStatisticsRequest { name: name.clone(), version: version.clone() };
    let statistics: ModelStatisticsResponse =
        client.call("/inference.GRPCInferenceService/ModelStatistics", request).unwrap();
    let good = &statistics.model_stats[0];
    assert_eq!((good.inference_count, good.execution_count), (3, 1));
    assert_eq!(good.batch_stats.iter().map(|batch| batch.batch_size).collect::<Vec<_>>(), [3]);
    let request = ModelConfigRequest { name: name.clone(), version: version.clone() };
    let config: ModelConfigResponse = client.call("/inference.GRPCInferenceService/ModelConfig", request).unwrap();
    let config = config.config.unwrap();
    let Some(SchedulingChoice::DynamicBatching(batching)) = config.scheduling_choice else { panic!("{config:?}") };
    assert_eq!((config.max_batch_size, batching.max_queue_delay_microseconds), (3, 5_000_000));
    assert_eq!(config.input[0].dims, [0_i64; 0]);
    let request = ModelMetadataRequest { name, version };
    let metadata: ModelMetadataResponse =
        client.call("/inference.GRPCInferenceService/ModelMetadata", request).unwrap();
    assert_eq!(metadata.properties["dynamic_batching.isolation"], "batch");
}
