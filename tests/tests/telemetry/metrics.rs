//! `/metrics`.

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::{Client, Request};
use samara_tests::raw::Raw;
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{infer_path, json_request};
use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::{input, metrics, parse};

fn serve(options: &[&str]) -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    guests::write(directory.path(), "loops", "bad");
    guests::write_handler(directory.path(), "traps");
    let function = directory.path().join("traps.wasm");
    let models = [directory.path().join("good.wasm"), directory.path().join("bad.wasm")];
    let mut serve = Serve::new(models).option("--function").option(function.to_str().unwrap());
    for option in options {
        serve = serve.option(option);
    }
    (directory, serve.start())
}

/// A series of a model, by its further label.
fn of(metric: &str, model: &str, label: &str, value: &str) -> String {
    let mut labels = [("function", ""), ("model", model), ("version", "1"), (label, value)];
    labels.sort_unstable();
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    format!("{metric}{{{}}}", labels.join(","))
}

#[test]
fn requests_are_counted_by_how_they_end_and_measured_by_stage() {
    let (_directory, server) = serve(&["--deadline-ms 500"]);
    for _ in 0..3 {
        server.infer("good", &input(1.0)).expect(200);
    }
    server.send(&Request::post_json(&infer_path("good"), &json!({"inputs": []}))).expect(400);
    server.infer("bad", &input(1.0)).expect(504);
    server.send(&Request::get("/traps")).expect(500);
    // The last stage of a request comes after its reply.
    thread::sleep(Duration::from_millis(300));
    let metrics = metrics(&server);
    let outcome = |model, outcome| metrics[&of("samara_requests_total", model, "outcome", outcome)];
    assert_eq!((outcome("good", "success"), outcome("good", "invalid"), outcome("good", "failed")), (3.0, 1.0, 0.0));
    assert_eq!((outcome("bad", "success"), outcome("bad", "deadline")), (0.0, 1.0));
    let function = r#"samara_requests_total{function="traps",model="",outcome="failed",version=""}"#;
    assert_eq!(metrics[function], 1.0);
    let count = |stage| metrics[&of("samara_stage_duration_seconds_count", "good", "stage", stage)];
    assert_eq!((count("queue"), count("parse"), count("infer"), count("encode")), (4.0, 3.0, 3.0, 3.0));
    assert!(count("reset") >= 3.0 && (1.0..=3.0).contains(&count("instantiate")));
    assert_eq!(metrics[&of("samara_limit_hits_total", "bad", "limit", "deadline")], 1.0);
    assert_eq!(metrics[&of("samara_limit_hits_total", "good", "limit", "deadline")], 0.0);
    for (metric, value) in
        [("nv_inference_request_success", 3.0), ("nv_inference_request_failure", 1.0), ("nv_inference_exec_count", 3.0)]
    {
        assert_eq!(metrics[&format!("{metric}{{model=\"good\",version=\"1\"}}")], value, "{metric}");
    }
    assert!(metrics["nv_inference_compute_infer_duration_us{model=\"good\",version=\"1\"}"] > 0.0);
}

#[test]
fn cold_starts_are_measured_once_by_step() {
    let (_directory, server) = serve(&[]);
    let count = |step: &str| metrics(&server)[&of("samara_cold_start_duration_seconds_count", "good", "step", step)];
    assert_eq!(count("map") + count("compile"), 1.0);
    assert_eq!((count("instantiate"), count("first_inference")), (0.0, 0.0));
    for _ in 0..3 {
        server.infer("good", &input(1.0)).expect(200);
    }
    assert_eq!((count("instantiate"), count("first_inference")), (1.0, 1.0));
}

#[test]
fn what_waits_and_what_runs_is_told() {
    let (_directory, server) = serve(&["--workers 1", "--deadline-ms 60000"]);
    let request = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}]}).to_string();
    let send = || {
        let mut raw = Raw::connect(server.address());
        raw.write(format!(
            "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{request}",
            infer_path("bad"),
            request.len()
        ));
        thread::sleep(Duration::from_millis(300));
        raw
    };
    let clients = [send(), send(), send()];
    let series = |metric: &str| format!("{metric}{{function=\"\",model=\"bad\",version=\"\"}}");
    let told = metrics(&server);
    assert_eq!((told[&series("samara_in_flight")], told[&series("samara_queue_depth")]), (1.0, 2.0));
    assert_eq!(told["samara_instances{function=\"\",model=\"bad\",version=\"1\"}"], 1.0);
    drop(clients);
    let start = Instant::now();
    loop {
        let told = metrics(&server);
        let cancelled = told[&of("samara_requests_total", "bad", "outcome", "cancelled")];
        if (told[&series("samara_in_flight")], told[&series("samara_queue_depth")], cancelled) == (0.0, 0.0, 3.0) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{told:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn memory_is_told_by_model_and_of_the_process() {
    let (_directory, server) = serve(&[]);
    server.infer("good", &input(1.0)).expect(200);
    let told = metrics(&server);
    let process = told["process_resident_memory_bytes"];
    assert!(process > 1e6, "{process}");
    let model = told["samara_model_resident_bytes{model=\"good\",version=\"1\"}"];
    assert!(model > 0.0 && model < process, "{model} of {process}");
    assert!(told["process_open_fds"] > 3.0);
}

#[test]
fn metrics_can_have_an_address_of_their_own() {
    let (_directory, server) = serve(&["--metrics-listen 127.0.0.1:0", "--json"]);
    server.send(&Request::get("/metrics")).expect(404);
    let ready: serde_json::Value = serde_json::from_str(server.ready_line()).unwrap();
    let mut client = Client::http1(ready["metrics_listen"].as_str().unwrap().parse().unwrap());
    let reply = client.send(&Request::get("/metrics")).expect(200);
    let told = parse(std::str::from_utf8(&reply.body).unwrap());
    assert!(told.contains_key(&of("samara_requests_total", "good", "outcome", "success")));
    client.send(&Request::get("/v2")).expect(404);
    client.send(&json_request("good", &input(1.0))).expect(404);
    client.send(&Request::new("POST", "/metrics")).expect(405);
}

#[test]
fn a_function_cannot_be_where_the_metrics_are() {
    let directory = tempdir().unwrap();
    guests::write_handler(directory.path(), "traps");
    let function = directory.path().join("traps.wasm");
    let serve = || Serve::functions(&["--function", function.to_str().unwrap(), "--route", "/metrics"]);
    assert_says(&serve().fails(), &["/metrics", "--route", "--metrics-listen"]);
    let server = serve().option("--metrics-listen 127.0.0.1:0").start();
    server.send(&Request::get("/metrics")).expect(500);
}
