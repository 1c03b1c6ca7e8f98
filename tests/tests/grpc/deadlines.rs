//! Deadlines that clients give, and clients that go away.

use std::thread;
use std::time::{Duration, Instant};

use samara_grpc::inference::infer_parameter::ParameterChoice;
use samara_grpc::inference::{ModelInferRequest, ModelInferResponse};
use samara_tests::grpc::{INFER, parameter, raw};
use samara_tests::samara::assert_says;
use tonic::{Code, Request, Status};

use super::{input, serve};

fn with_header(model: &str, value: &str) -> Request<ModelInferRequest> {
    let mut request = Request::new(raw(model, &input(1.0)));
    request.metadata_mut().insert("grpc-timeout", value.parse().unwrap());
    request
}

fn with_parameter(model: &str, choice: ParameterChoice) -> Request<ModelInferRequest> {
    let mut request = raw(model, &input(1.0));
    request.parameters.insert("timeout".to_owned(), parameter(choice));
    Request::new(request)
}

#[track_caller]
fn assert_code(result: Result<tonic::Response<ModelInferResponse>, Status>, code: Code) -> Status {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    status
}

#[test]
fn what_a_client_gives_is_kept_to() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    for (count, request) in [with_header("bad", "300m"), with_parameter("bad", ParameterChoice::Int64Param(300_000))]
        .into_iter()
        .enumerate()
    {
        let start = Instant::now();
        let status = assert_code(client.call_with(INFER, request), Code::DeadlineExceeded);
        let taken = start.elapsed();
        assert!(taken >= Duration::from_millis(300) && taken < Duration::from_secs(5), "{taken:?}");
        assert_says(status.message(), &["300 ms"]);
        assert_eq!(server.limits("bad")["deadline"], count + 1);
    }
    client.call_with::<_, ModelInferResponse>(INFER, with_header("good", "5S")).unwrap();
}

/// They are answered although nothing can run.
#[test]
fn a_deadline_of_zero_or_in_the_past_is_told_at_once() {
    let (_directory, server) = serve(&["--workers 1", "--deadline-ms 4000"]);
    let client = server.grpc();
    let running = client.start::<_, ModelInferResponse>(INFER, Request::new(raw("bad", &input(1.0))));
    thread::sleep(Duration::from_millis(300));
    let requests = [
        with_header("good", "0S"),
        with_header("good", "0n"),
        with_parameter("good", ParameterChoice::Int64Param(0)),
        with_parameter("good", ParameterChoice::Int64Param(-5)),
    ];
    let start = Instant::now();
    for request in requests {
        let status = assert_code(client.call_with(INFER, request), Code::DeadlineExceeded);
        assert_says(status.message(), &["deadline of 0 ms has passed"]);
        assert!(status.metadata().get("grpc-retry-pushback-ms").is_none());
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(!running.is_finished());
    assert_eq!(server.limits("good")["deadline"], 4);
    assert_code(client.join(running), Code::DeadlineExceeded);
}

#[test]
fn what_is_no_time_is_refused() {
    let (_directory, server) = serve(&[]);
    let client = server.grpc();
    let status = assert_code(client.call_with(INFER, with_header("good", "soon")), Code::InvalidArgument);
    assert_says(status.message(), &["grpc-timeout", "soon"]);
    let soon = with_parameter("good", ParameterChoice::StringParam("soon".to_owned()));
    assert_says(
        assert_code(client.call_with(INFER, soon), Code::InvalidArgument).message(),
        &["timeout", "int64_param"],
    );
}

/// The guest would run for a minute.
#[test]
fn a_call_that_is_cancelled_frees_its_worker_and_its_place_in_the_queue() {
    let (_directory, server) = serve(&["--workers 1", "--queue 1", "--deadline-ms 60000"]);
    let client = server.grpc();
    let start = |model: &str| client.start::<_, ModelInferResponse>(INFER, Request::new(raw(model, &input(1.0))));
    let running = start("bad");
    thread::sleep(Duration::from_millis(300));
    let waiting = start("bad");
    thread::sleep(Duration::from_millis(300));
    waiting.abort();
    thread::sleep(Duration::from_millis(300));
    // Its place is free, and taken by another.
    let second = start("good");
    thread::sleep(Duration::from_millis(300));
    assert!(!second.is_finished());
    let began = Instant::now();
    running.abort();
    client.join(second).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!((&server.limits("bad")["deadline"], &server.limits("bad")["trap"]), (&0.into(), &0.into()));
}
