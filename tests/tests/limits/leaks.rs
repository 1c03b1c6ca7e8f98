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

/// How many file descriptors and threads the server has, once that has not changed for a second: closing takes its time.
#[track_caller]
fn settled(server: &Server) -> (usize, usize) {
    let count = || (file_descriptors(server.process()), threads(server.process()));
    let (start, mut since, mut last) = (Instant::now(), Instant::now(), count());
    while since.elapsed() < Duration::from_secs(1) {
        assert!(start.elapsed() < Duration::from_secs(30), "{last:?} file descriptors and threads, and changing");
        thread::sleep(Duration::from_millis(50));
        let now = count();
        if now != last {
            (since, last) = (Instant::now(), now);
        }
    }
    last
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
    let before = settled(&server);
    exercise(100);
    assert_eq!(settled(&server), before, "file descriptors and threads");
}
