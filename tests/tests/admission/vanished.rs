//! Clients that go away: they leave their place to others.

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::Request;
use samara_tests::raw::Raw;
use samara_tests::server::{Serve, Server};
use serde_json::json;

use super::{input, serve, wait_for};

/// Sends a request to a model, and does not wait for its answer.
fn send(server: &Server, model: &str) -> Raw {
    let input = json!({"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]});
    let body = json!({"inputs": [input]}).to_string();
    let mut raw = Raw::connect(server.address());
    let head = format!(
        "POST /v2/models/{model}/infer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    assert!(raw.write(head + &body));
    thread::sleep(Duration::from_millis(300));
    raw
}

/// The guest would run for a minute.
#[test]
fn a_client_that_hangs_up_frees_its_worker() {
    let (_directory, server) = serve("workers = 1\ndeadline_ms = 60000\n");
    let start = Instant::now();
    drop(send(&server, "bad"));
    server.infer("good", &input(1.0)).expect(200);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(server.limits("bad")["deadline"], 0);
    assert_eq!(server.limits("bad")["trap"], 0);
}

#[test]
fn a_client_that_hangs_up_frees_its_place_in_the_queue() {
    let (_directory, server) = serve("workers = 1\nqueue = 1\ndeadline_ms = 60000\n");
    let running = send(&server, "bad");
    let waiting = send(&server, "slow");
    server.infer("slow", &input(1.0)).expect(503);
    drop(waiting);
    // Its place is free, and taken by another.
    let second = send(&server, "good");
    server.infer("good", &input(1.0)).expect(503);
    drop(running);
    let mut second = second;
    assert_eq!(second.reply().unwrap().0, 200);
}

#[test]
fn a_client_of_a_function_that_hangs_up_frees_its_worker() {
    let directory = tempfile::tempdir().unwrap();
    guests::write_handler(directory.path(), "loops");
    guests::write(directory.path(), "echoes", "good");
    let options = format!("--function {}", directory.path().join("loops.wasm").display());
    let server = Serve::new([directory.path().join("good.wasm")])
        .option(&options)
        .option("--workers 1")
        .option("--deadline-ms 60000")
        .start();
    let mut raw = Raw::connect(server.address());
    assert!(raw.write("GET /loops HTTP/1.1\r\nhost: x\r\n\r\n"));
    thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    drop(raw);
    server.infer("good", &input(1.0)).expect(200);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let statistics = || server.get("/v2/models/stats").expect(200).json()["function_stats"][0].clone();
    wait_for("the call is counted", || statistics()["fail"]["count"] == 1 || statistics()["compute"]["count"] == 1);
    assert_eq!(server.send(&Request::get("/v2/health/ready")).status, 200);
}
