//! A server that is about to stop.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use samara_grpc::health::health_check_response::ServingStatus;
use samara_grpc::health::{HealthCheckRequest, HealthCheckResponse};
use samara_grpc::inference::ModelInferResponse;
use samara_tests::grpc::{INFER, raw};
use tonic::{Code, Request};

use super::{input, serve};

/// What has begun is finished, and who watches is told: neither holds the server up.
#[test]
fn what_has_begun_is_finished() {
    let (_directory, mut server) = serve(&["--deadline-ms 1500"]);
    let client = server.grpc();
    let running = client.start::<_, ModelInferResponse>(INFER, Request::new(raw("bad", &input(1.0))));
    let watching = client.watch(HealthCheckRequest::default());
    thread::sleep(Duration::from_millis(500));
    server.signal(Signal::TERM);
    assert_eq!(client.join(running).unwrap_err().code(), Code::DeadlineExceeded);
    let statuses: Vec<_> = client.join(watching).iter().map(HealthCheckResponse::status).collect();
    assert_eq!(statuses, [ServingStatus::Serving, ServingStatus::NotServing]);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

/// A stream on which nothing comes would hold it up.
#[test]
fn a_stream_that_waits_is_ended() {
    let (_directory, mut server) = serve(&[]);
    let client = server.grpc();
    let waiting = client.wait_in_a_stream(raw("good", &input(1.0)));
    thread::sleep(Duration::from_millis(500));
    server.signal(Signal::TERM);
    let (replies, end) = client.join(waiting);
    assert_eq!(replies, 1);
    assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}
