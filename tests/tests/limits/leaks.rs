//! Nothing is left of a request: no file descriptor, no thread, no connection.

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::http::Request;
use samara_tests::process::{file_descriptors, threads};
use samara_tests::raw::Raw;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, infer_path, json_request, outputs};
use samara_tests::{guests, http::Client};
use serde_json::json;
use tempfile::tempdir;

use super::input;

/// Waits until the server has as many again as it had: closing takes its time.
#[track_caller]
fn assert_as_before(server: &Server, what: &str, before: usize, count: fn(u32) -> usize) {
    let start = Instant::now();
    loop {
        let now = count(server.process());
        if now <= before {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{now} {what}, {before} before");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn file_descriptors_and_threads_stay_as_many_as_they_were() {
    let directory = tempdir().unwrap();
    for fixture in ["echoes", "traps", "grows", "refuses", "measures-wrongly", "recurses"] {
        guests::write(directory.path(), fixture, fixture);
    }
    let server = Serve::new([directory.path()]).option("--memory-mib 8").start();
    let exercise = |rounds| {
        let mut client = server.client();
        for _ in 0..rounds {
            outputs(&client.send(&json_request("echoes", &input(1.0))));
            for bad in ["traps", "grows", "refuses", "measures-wrongly", "recurses", "absent"] {
                assert!(client.send(&json_request(bad, &input(1.0))).status >= 400);
            }
            let malformed = Request::post_json(&infer_path("echoes"), &json!({"inputs": 7}));
            assert_eq!(client.send(&malformed).status, 400);
        }
        // On connections of their own, some of which are broken off.
        for _ in 0..rounds {
            outputs(&server.infer("echoes", &[Tensor::fp32("x", &[2], &[1.0, 2.0])]));
            assert_eq!(Client::http2(server.address()).send(&Request::get("/v2")).status, 200);
            let mut raw = Raw::connect(server.address());
            raw.write("POST /v2/models/echoes/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{");
        }
    };
    exercise(20);
    let (descriptors, running) = (file_descriptors(server.process()), threads(server.process()));
    exercise(100);
    assert_as_before(&server, "file descriptors", descriptors, file_descriptors);
    assert_as_before(&server, "threads", running, threads);
}
