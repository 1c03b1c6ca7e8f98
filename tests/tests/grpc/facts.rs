//! Health, metadata, configuration, statistics, the index: the same as over HTTP.

use samara_grpc::health::health_check_response::ServingStatus;
use samara_grpc::health::{HealthCheckRequest, HealthCheckResponse};
use samara_grpc::inference::{
    ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
    ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse, RepositoryIndexRequest,
    RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse, ServerLiveRequest,
    ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use samara_tests::samara::assert_says;
use serde_json::json;
use tonic::Code;

use super::{input, serve};

macro_rules! method {
    ($name:literal) => {
        concat!("/inference.GRPCInferenceService/", $name)
    };
}

#[test]
fn the_server_says_what_it_is() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    let live: ServerLiveResponse = client.call(method!("ServerLive"), ServerLiveRequest {}).unwrap();
    let ready: ServerReadyResponse = client.call(method!("ServerReady"), ServerReadyRequest {}).unwrap();
    assert!(live.live && ready.ready);
    let metadata: ServerMetadataResponse = client.call(method!("ServerMetadata"), ServerMetadataRequest {}).unwrap();
    let over_http = server.get("/v2").expect(200).json();
    let ServerMetadataResponse { name, version, extensions } = metadata;
    assert_eq!(json!({"name": name, "version": version, "extensions": extensions}), over_http);
}

#[test]
fn a_model_says_what_it_is() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    let request =
        |name: &str, version: &str| ModelMetadataRequest { name: name.to_owned(), version: version.to_owned() };
    let metadata: ModelMetadataResponse = client.call(method!("ModelMetadata"), request("good", "")).unwrap();
    let over_http = server.get("/v2/models/good").expect(200).json();
    let tensors = |tensors: &[samara_grpc::inference::model_metadata_response::TensorMetadata]| -> Vec<_> {
        tensors.iter().map(|it| json!({"name": it.name, "datatype": it.datatype, "shape": it.shape})).collect()
    };
    let (inputs, outputs) = (tensors(&metadata.inputs), tensors(&metadata.outputs));
    let ModelMetadataResponse { name, versions, platform, .. } = metadata;
    let over_grpc =
        json!({"name": name, "versions": versions, "platform": platform, "inputs": inputs, "outputs": outputs});
    assert_eq!(over_grpc, over_http);
    for (name, version) in [("nobody", ""), ("good", "7")] {
        let status =
            client.call::<_, ModelMetadataResponse>(method!("ModelMetadata"), request(name, version)).unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }

    let request = |name: &str| ModelReadyRequest { name: name.to_owned(), version: String::new() };
    for (name, is_ready) in [("good", true), ("nobody", false)] {
        let ready: ModelReadyResponse = client.call(method!("ModelReady"), request(name)).unwrap();
        assert_eq!(ready.ready, is_ready, "{name}");
    }

    let request = ModelConfigRequest { name: "good".to_owned(), version: "1".to_owned() };
    let config: ModelConfigResponse = client.call(method!("ModelConfig"), request).unwrap();
    let config = config.config.unwrap();
    let over_http = server.get("/v2/models/good/config").expect(200).json();
    let [input] = &config.input[..] else { panic!("{config:?}") };
    let over_grpc = json!([{"name": input.name, "data_type": input.data_type().as_str_name(), "dims": input.dims}]);
    assert_eq!(over_grpc, over_http["input"]);
    assert_eq!((json!(config.backend), json!(config.max_batch_size)), (over_http["backend"].clone(), json!(0)));
}

#[test]
fn statistics_are_those_of_both() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    client.infer("good", &input(1.0)).unwrap();
    server.infer("good", &input(1.0)).expect(200);
    client.infer("good", &[]).unwrap_err();
    let request = |name: &str| ModelStatisticsRequest { name: name.to_owned(), version: String::new() };
    let statistics: ModelStatisticsResponse = client.call(method!("ModelStatistics"), request("good")).unwrap();
    let [good] = &statistics.model_stats[..] else { panic!("{statistics:?}") };
    let stats = good.inference_stats.as_ref().unwrap();
    assert_eq!((good.inference_count, stats.success.unwrap().count, stats.fail.unwrap().count), (2, 2, 1));
    assert_eq!(json!(stats.success.unwrap().ns), server.statistics("good")["inference_stats"]["success"]["ns"]);
    let all: ModelStatisticsResponse = client.call(method!("ModelStatistics"), request("")).unwrap();
    assert_eq!(all.model_stats.iter().map(|stats| &*stats.name).collect::<Vec<_>>(), ["bad", "good"]);
}

#[test]
fn the_index_is_read_and_nothing_is_changed() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    let index: RepositoryIndexResponse =
        client.call(method!("RepositoryIndex"), RepositoryIndexRequest::default()).unwrap();
    let rows: Vec<_> = index.models.iter().map(|row| (&*row.name, &*row.version, &*row.state)).collect();
    assert_eq!(rows, [("bad", "1", "READY"), ("good", "1", "READY")]);
    for method in [method!("RepositoryModelLoad"), method!("RepositoryModelUnload")] {
        let request = RepositoryModelLoadRequest { model_name: "good".to_owned(), ..Default::default() };
        let status = client.call::<_, RepositoryModelLoadResponse>(method, request).unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_says(status.message(), &["admin_listen"]);
    }
    client.infer("good", &input(1.0)).unwrap();
}

#[test]
fn the_standard_health_service_answers() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    let check = |service: &str| {
        client.call::<_, HealthCheckResponse>(
            "/grpc.health.v1.Health/Check",
            HealthCheckRequest { service: service.to_owned() },
        )
    };
    for service in ["", "inference.GRPCInferenceService", "grpc.health.v1.Health"] {
        assert_eq!(check(service).unwrap().status(), ServingStatus::Serving);
    }
    assert_eq!(check("nobody").unwrap_err().code(), Code::NotFound);
}
