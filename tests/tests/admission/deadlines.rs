//! Deadlines that clients give: in a header, and by the protocol's parameter.

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::http::Request;
use samara_tests::samara::assert_says;
use samara_tests::tensor::{infer_path, json_request};
use serde_json::json;

use super::{ask, input, serve};

fn with_timeout(model: &str, microseconds: i64) -> Request {
    let input = json!({"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]});
    let body = json!({"parameters": {"timeout": microseconds}, "inputs": [input]});
    Request::post_json(&infer_path(model), &body)
}

fn with_header(model: &str, name: &str, value: &str) -> Request {
    json_request(model, &input(1.0)).header(name, value)
}

#[test]
fn what_a_client_gives_is_kept_to() {
    let (_directory, server) = serve("");
    let requests = [
        with_timeout("bad", 300_000),
        with_header("bad", "grpc-timeout", "300m"),
        with_header("bad", "x-envoy-expected-rq-timeout-ms", "300"),
    ];
    for (count, request) in requests.iter().enumerate() {
        let start = Instant::now();
        let reply = server.send(request).expect(504);
        let taken = start.elapsed();
        assert!(taken >= Duration::from_millis(300) && taken < Duration::from_secs(5), "{taken:?}");
        assert_says(&reply.error(), &["300 ms"]);
        assert_eq!(server.limits("bad")["deadline"], count + 1);
    }
    for request in [with_timeout("good", 5_000_000), with_header("good", "grpc-timeout", "5S")] {
        server.send(&request).expect(200);
    }
}

#[test]
fn a_client_cannot_have_more_time_than_there_is() {
    let (_directory, server) = serve("deadline_ms = 300\n");
    let reply = server.send(&with_timeout("bad", 60_000_000)).expect(504);
    assert_says(&reply.error(), &["300 ms"]);
}

/// They are answered although nothing can run.
#[test]
fn a_deadline_of_zero_or_in_the_past_is_told_at_once() {
    let (_directory, server) = serve("workers = 1\ndeadline_ms = 4000\n");
    let running = ask(server.address(), "bad", 0.0);
    thread::sleep(Duration::from_millis(300));
    let requests = [
        with_timeout("good", 0),
        with_timeout("good", -5),
        with_header("good", "grpc-timeout", "0S"),
        with_header("good", "x-envoy-expected-rq-timeout-ms", "0"),
    ];
    let start = Instant::now();
    for request in &requests {
        let reply = server.send(request).expect(504);
        assert_says(&reply.error(), &["deadline of 0 ms has passed"]);
        assert_eq!(reply.header("retry-after"), None);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(!running.is_finished());
    assert_eq!(server.limits("good")["deadline"], 4);
    assert_eq!(running.join().unwrap().0.status, 504);
}

/// It is told when it passes, not when there is a worker again.
#[test]
fn a_deadline_that_passes_in_the_queue_is_told_then() {
    let (_directory, server) = serve("workers = 1\ndeadline_ms = 5000\n");
    let running = ask(server.address(), "bad", 0.0);
    thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    server.send(&with_timeout("good", 400_000)).expect(504);
    let taken = start.elapsed();
    assert!(taken >= Duration::from_millis(400) && taken < Duration::from_millis(2500), "{taken:?}");
    assert_eq!(running.join().unwrap().0.status, 504);
}

#[test]
fn what_is_no_time_is_refused() {
    let (_directory, server) = serve("");
    for (name, value) in [("grpc-timeout", "soon"), ("grpc-timeout", "-1S"), ("x-envoy-expected-rq-timeout-ms", "1.5")]
    {
        let reply = server.send(&with_header("good", name, value)).expect(400);
        assert_says(&reply.error(), &[name, value, "expected"]);
    }
    let body = json!({"parameters": {"timeout": "soon"}, "inputs": []});
    server.send(&Request::post_json(&infer_path("good"), &body)).expect(400);
}
