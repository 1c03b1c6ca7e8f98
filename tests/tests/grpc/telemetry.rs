//! One request is one count, whichever way it came.

use samara_grpc::inference::ModelInferResponse;
use samara_tests::grpc::{INFER, raw};
use samara_tests::samara::assert_says;
use tonic::Request;

use super::{input, serve};

#[test]
fn requests_are_counted_by_how_they_end() {
    let (_directory, server) = serve(&["--deadline-ms 500"]);
    let client = server.grpc();
    client.infer("good", &input(1.0)).unwrap();
    client.infer("good", &input(1.0)).unwrap();
    client.infer("good", &[]).unwrap_err();
    client.infer("bad", &input(1.0)).unwrap_err();
    server.infer("good", &input(1.0)).expect(200);
    let text = String::from_utf8(server.get("/metrics").expect(200).body.to_vec()).unwrap();
    let series = |model: &str, outcome: &str| {
        format!("samara_requests_total{{function=\"\",model=\"{model}\",outcome=\"{outcome}\",version=\"1\"}}")
    };
    for line in [
        format!("{} 3", series("good", "success")),
        format!("{} 1", series("good", "invalid")),
        format!("{} 1", series("bad", "deadline")),
        "nv_inference_request_success{model=\"good\",version=\"1\"} 3".to_owned(),
        "samara_limit_hits_total{function=\"\",limit=\"body_bytes\",model=\"\",version=\"\"} 0".to_owned(),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn a_request_has_an_id_and_is_logged() {
    let (_directory, server) = serve(&["--log-requests", "--log-format json"]);
    let client = server.grpc();
    let mut request = Request::new(raw("good", &input(1.0)));
    request.metadata_mut().insert("x-request-id", "an-id".parse().unwrap());
    let reply = client.call_with::<_, ModelInferResponse>(INFER, request).unwrap();
    assert_eq!(reply.metadata().get("x-request-id").unwrap(), "an-id");
    let made = client.call_with::<_, ModelInferResponse>(INFER, Request::new(raw("good", &[]))).unwrap_err();
    let made = made.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
    assert_eq!(made.len(), 32);
    server.logs(&["an-id", &made]);
    let log = server.log();
    let line =
        |id: &str| log.lines().find(|line| line.contains(id)).unwrap_or_else(|| panic!("{id}: {log}")).to_owned();
    assert_says(&line("an-id"), &[INFER, "\"model\":\"good\"", "\"status\":200", "\"code\":\"OK\"", "\"success\""]);
    assert_says(&line(&made), &["\"status\":400", "\"code\":\"INVALID_ARGUMENT\"", "\"invalid\""]);
}
