//! What is wrong with a request is told in the words that HTTP has for it, by its code.

use samara_grpc::inference::infer_parameter::ParameterChoice;
use samara_grpc::inference::{ModelInferRequest, ModelInferResponse, ServerLiveRequest, ServerLiveResponse};
use samara_tests::grpc::{INFER, parameter, raw};
use samara_tests::samara::assert_says;
use samara_tests::tensor::{Tensor, json_request};
use tonic::{Code, Status};

use super::{address, input, serve};

#[track_caller]
fn assert_refused(result: Result<ModelInferResponse, Status>, code: Code, texts: &[&str]) -> Status {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert_says(status.message(), texts);
    status
}

#[test]
fn what_does_not_fit_the_model_is_told_as_over_http() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    let wrong = [
        vec![Tensor::fp32("w", &[1], &[1.0])],
        vec![Tensor::int64("x", &[1], &[1])],
        vec![Tensor::fp32("x", &[1, 1], &[1.0])],
        vec![],
        [input(1.0), input(1.0)].concat(),
    ];
    for inputs in wrong {
        let over_http = server.send(&json_request("good", &inputs)).expect(400).error();
        assert_refused(client.call(INFER, raw("good", &inputs)), Code::InvalidArgument, &[&over_http]);
    }
    let short = ModelInferRequest { raw_input_contents: vec![vec![0; 3].into()], ..raw("good", &input(1.0)) };
    assert_refused(client.call(INFER, short), Code::InvalidArgument, &["input `x`", "expected 4 bytes", "got 3"]);
    assert_eq!(client.infer("good", &input(2.0)).unwrap()[0].as_fp32(), [2.0]);
    // Each is one of the model's failures, as over HTTP.
    assert_eq!(server.statistics("good")["inference_stats"]["fail"]["count"], 11);
}

#[test]
fn a_model_or_version_that_there_is_not_is_not_found() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    assert_refused(client.call(INFER, raw("nobody", &input(1.0))), Code::NotFound, &["\"nobody\"", "\"good\""]);
    let version = |version: &str| {
        let request = ModelInferRequest { model_version: version.to_owned(), ..raw("good", &input(1.0)) };
        client.call::<_, ModelInferResponse>(INFER, request)
    };
    assert_refused(version("7"), Code::NotFound, &["\"7\"", "\"good\""]);
    let reply = version("1").unwrap();
    assert_eq!((&*reply.model_name, &*reply.model_version, &*reply.id), ("good", "1", ""));
}

#[test]
fn an_id_is_repeated_and_outputs_are_those_that_are_asked_for() {
    use samara_grpc::inference::model_infer_request::InferRequestedOutputTensor;

    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    let ask = |output: &str, parameters: &[(&str, ParameterChoice)]| {
        let parameters =
            parameters.iter().map(|(name, choice)| ((*name).to_owned(), parameter(choice.clone()))).collect();
        let outputs = vec![InferRequestedOutputTensor { name: output.to_owned(), parameters }];
        let request = ModelInferRequest { id: "seven".to_owned(), outputs, ..raw("good", &input(3.0)) };
        client.call::<_, ModelInferResponse>(INFER, request)
    };
    let reply = ask("y", &[]).unwrap();
    assert_eq!((&*reply.id, reply.outputs.len()), ("seven", 1));
    assert_refused(ask("z", &[]), Code::InvalidArgument, &["output `z`: unknown", "`y`"]);
    let classes = [("classification", ParameterChoice::Int64Param(2))];
    assert_refused(ask("y", &classes), Code::InvalidArgument, &["`classification` is not supported"]);
    let region = [("shared_memory_region", ParameterChoice::StringParam("r".to_owned()))];
    assert_refused(ask("y", &region), Code::InvalidArgument, &["shared memory is not supported"]);
}

#[test]
fn what_a_model_does_wrong_is_no_fault_of_the_client() {
    let (directory, server) = serve(&[]);
    drop(server);
    samara_tests::guests::write(directory.path(), "traps", "traps");
    let server = samara_tests::server::Serve::new([directory.path()]).grpc().start();
    assert_refused(server.grpc().call(INFER, raw("traps", &input(1.0))), Code::Internal, &[]);
    assert_eq!(server.limits("traps")["trap"], 1);
}

#[test]
fn who_would_find_no_place_is_told_when_to_come_again() {
    let (_directory, server) = serve(&["--workers 1", "--queue 1", "--deadline-ms 3000"]);
    let client = server.grpc();
    let start =
        |model: &str| client.start::<_, ModelInferResponse>(INFER, tonic::Request::new(raw(model, &input(1.0))));
    let running = start("bad");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let waiting = start("bad");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let status = assert_refused(client.call(INFER, raw("bad", &input(1.0))), Code::Unavailable, &["overloaded"]);
    let pushback: u32 = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
    assert!(pushback >= 1000, "{pushback}");
    assert!(status.details().windows(9).any(|text| text == b"RetryInfo"), "{:?}", status.details());
    assert_eq!(server.limits("bad")["queue"], 1);
    for call in [running, waiting] {
        assert_eq!(client.join(call).unwrap_err().code(), Code::DeadlineExceeded);
    }
}

#[test]
fn a_method_that_there_is_not_is_unimplemented() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    for method in [
        "/inference.GRPCInferenceService/SystemSharedMemoryStatus",
        "/inference.GRPCInferenceService/",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/v2/health/live",
    ] {
        let status = client.call::<_, ServerLiveResponse>(method, ServerLiveRequest {}).unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{method}");
        assert_says(status.message(), &[method]);
    }
}

#[test]
fn a_message_that_is_none_is_refused() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    // What the request has as a string is a number here.
    let other = samara_grpc::inference::StatisticDuration { count: 7, ns: 7 };
    assert_refused(client.call(INFER, other), Code::InvalidArgument, &["no ModelInferRequest", "model_name"]);
}

/// The port speaks nothing else, and says so.
#[test]
fn who_does_not_speak_grpc_is_told() {
    let (_directory, server) = serve(&[]);
    let address = address(&server);
    let mut client = samara_tests::http::Client::http2(address);
    client.send(&json_request("good", &input(1.0))).expect(415);
    client.send(&samara_tests::http::Request::get("/v2/health/live")).expect(405);
    assert!(samara_tests::http::Client::http1(address).try_send(&json_request("good", &input(1.0))).is_err());
}
