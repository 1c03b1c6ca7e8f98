//! What becomes of a function's failures: the request's, and nobody else's.

use std::time::{Duration, Instant};

use samara_tests::guests::write_handler;
use samara_tests::http::Request;
use samara_tests::server::Serve;
use serde_json::Value;
use tempfile::tempdir;

use crate::{autoencoder, function, text};

#[test]
fn each_failure_has_its_status_and_reason() {
    let directory = tempdir().unwrap();
    let paths = ["loops", "traps", "says-nothing", "grows"].map(|fixture| write_handler(directory.path(), fixture));
    let (score, model) = (function("score"), autoencoder());
    let linked = directory.path().join("score.wasm");
    let words = ["link", text(&score), "--model", text(&model), "-o", text(&linked)];
    samara_tests::samara::run(words).succeeds();
    let mut options: Vec<&str> = paths.iter().chain([&linked]).flat_map(|path| ["--function", text(path)]).collect();
    options.extend(["--deadline-ms", "500", "--memory-mib", "64"]);
    let server = Serve::functions(&options).start();
    for (path, status, said) in [
        ("/loops", 504, "deadline of 500 ms"),
        ("/traps", 500, "unreachable"),
        ("/says-nothing", 500, "response-outparam"),
        ("/grows", 503, "64 MiB"),
    ] {
        let start = Instant::now();
        let reply = server.get(path);
        assert!(start.elapsed() < Duration::from_secs(5), "{path} took {:?}", start.elapsed());
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
        let problem: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().contains(said), "{path}: {problem}");
        // Nobody else notices.
        let good = Request::post_json("/score", &serde_json::json!([vec![0.5; 30]]));
        assert_eq!(server.send(&good).status, 200, "after {path}");
    }
    // Each is counted.
    let rows = server.get("/v2/models/stats").expect(200).json()["function_stats"].clone();
    let row = |route: &str| rows.as_array().unwrap().iter().find(|row| row["route"] == route).unwrap().clone();
    for (route, limit) in [("/loops", "deadline"), ("/traps", "trap"), ("/says-nothing", "trap"), ("/grows", "memory")]
    {
        assert_eq!(row(route)["limits"][limit], 1, "{route}: {rows}");
        assert_eq!(row(route)["fail"]["count"], 1, "{route}: {rows}");
    }
    assert_eq!(row("/score")["success"]["count"], 4, "{rows}");
}

/// The engine alone is more.
#[test]
fn an_instance_that_starts_with_more_memory_than_it_may_have_is_refused() {
    let (score, model) = (function("score"), autoencoder());
    let options = ["--function", text(&score), "--model", text(&model), "--memory-mib", "1"];
    let server = Serve::functions(&options).start();
    let reply = server.send(&Request::post_json("/score", &serde_json::json!([vec![0.5; 30]])));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(String::from_utf8_lossy(&reply.body).contains("1 MiB"), "{reply:?}");
    let rows = server.get("/v2/models/stats").expect(200).json()["function_stats"].clone();
    assert_eq!(rows[0]["limits"]["memory"], 1, "{rows}");
}

#[test]
fn a_body_over_the_limit_is_refused_before_the_function_sees_it() {
    let directory = tempdir().unwrap();
    let path = write_handler(directory.path(), "traps");
    let server = Serve::functions(&["--function", text(&path), "--max-body-mib", "1"]).start();
    let reply = server.send(&Request::post("/traps", vec![0; (1 << 20) + 1]));
    assert_eq!(reply.status, 413, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
}
