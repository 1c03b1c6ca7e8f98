//! What is set up, refused, changed and told.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use samara_tests::models;
use samara_tests::onnx::{Graph, Named, Size, Type};
use samara_tests::samara::assert_says;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{batch_sizes, send_all, serve, serve_with, x};

#[test]
fn sighup_changes_size_and_delay() {
    let (directory, server) = serve("echoes", "");
    let write = |model: &str| {
        fs::write(directory.path().join("samara.toml"), format!("[node]\nworkers = 1\n[model.m]\n{model}\n")).unwrap();
        server.reload("the configuration has been read again");
    };
    let sent = |clients: usize| {
        let before = server.statistics("m")["execution_count"].as_u64().unwrap();
        let replies = send_all(server.address(), (0..clients).map(|client| x(client as f32)));
        assert!(replies.iter().all(|reply| reply.status == 200));
        server.statistics("m")["execution_count"].as_u64().unwrap() - before
    };
    assert_eq!(sent(4), 4);
    assert_eq!(server.statistics("m")["batch_stats"], json!([]));
    write("max_batch_size = 4\nmax_batch_delay_ms = 20000");
    assert_eq!(sent(4), 1);
    write("max_batch_size = 2\nmax_batch_delay_ms = 20000");
    assert_eq!(sent(4), 2);
    assert_eq!(batch_sizes(&server.statistics("m")), [2, 2, 4]);
    write("max_batch_size = 16\nmax_batch_delay_ms = 300");
    let start = Instant::now();
    assert_eq!(sent(1), 1);
    let taken = start.elapsed();
    assert!(taken >= Duration::from_millis(300) && taken < Duration::from_secs(10), "{taken:?}");
    write("");
    assert_eq!(sent(4), 4);
    assert_eq!(batch_sizes(&server.statistics("m")), [1, 2, 2, 4]);
}

#[test]
fn a_model_without_an_open_first_dimension_is_refused() {
    let of = |x: &[samara_tests::onnx::Dimension]| {
        Graph::new().input("x", Type::Float, x).output("y", Type::Float, x).node("Relu", &["x"], &["y"])
    };
    let closed = models::compiled_graph("closed", &of(&[Size(1), Named("N")]), &[]);
    let directory = tempdir().unwrap();
    let file = "[model.closed]\nmax_batch_size = 4\n";
    let message = serve_with(directory.path(), &[&closed], file).fails();
    assert_says(&message, &["[model.closed]", "max_batch_size", "input \"x\"", "[1, -1]", "open first dimension"]);
    // The same, while it runs.
    let server = serve_with(directory.path(), &[&closed], "").start();
    fs::write(directory.path().join("samara.toml"), file).unwrap();
    server.reload("the configuration stays as it was");
    server.logs(&["input \"x\""]);
}

/// Whoever asks a model can see that others' data is in its instance.
#[test]
fn what_is_set_up_is_told() {
    let directory = tempdir().unwrap();
    let file = "[model.duo]\nmax_batch_size = 16\nmax_batch_delay_ms = 2\n";
    let server = serve_with(directory.path(), &[&models::duo(), &models::twice()], file).option("--json").start();
    let config = server.get("/v2/models/duo/config").expect(200).json();
    assert_eq!(config["max_batch_size"], 16);
    assert_eq!(config["dynamic_batching"], json!({"max_queue_delay_microseconds": 2000}));
    assert_eq!((&config["input"][0]["dims"], &config["output"][0]["dims"]), (&json!([2]), &json!([2])));
    let metadata = server.get("/v2/models/duo").expect(200).json();
    let batching = json!({"max_batch_size": 16, "max_queue_delay_microseconds": 2000, "isolation": "batch"});
    assert_eq!(metadata["dynamic_batching"], batching);
    assert_eq!(metadata["inputs"][0]["shape"], json!([-1, 2]));
    let other = server.get("/v2/models/twice/config").expect(200).json();
    assert_eq!((&other["max_batch_size"], &other["dynamic_batching"]), (&json!(0), &Value::Null));
    assert_eq!(server.get("/v2/models/twice").expect(200).json()["dynamic_batching"], Value::Null);
    let ready: Value = serde_json::from_str(server.ready_line()).unwrap();
    let sizes: Vec<_> = ready["models"].as_array().unwrap().iter().map(|model| &model["max_batch_size"]).collect();
    assert_eq!(sizes, [&json!(16), &Value::Null]);
    server.logs(&["requests run in batches", "several clients", "duo"]);
}

#[test]
fn sizes_of_batches_are_measured() {
    let (_directory, server) = serve("echoes", "max_batch_size = 4\nmax_batch_delay_ms = 20000");
    send_all(server.address(), (0..4).map(|client| x(client as f32)));
    let metrics = String::from_utf8(server.get("/metrics").expect(200).body.to_vec()).unwrap();
    for line in [
        "samara_batch_size_bucket{model=\"m\",version=\"1\",le=\"2\"} 0",
        "samara_batch_size_bucket{model=\"m\",version=\"1\",le=\"4\"} 1",
        "samara_batch_size_sum{model=\"m\",version=\"1\"} 4",
        "nv_inference_count{model=\"m\",version=\"1\"} 4",
        "nv_inference_exec_count{model=\"m\",version=\"1\"} 1",
        "nv_inference_request_success{model=\"m\",version=\"1\"} 4",
    ] {
        assert_says(&metrics, &[line]);
    }
}

/// The versions before it go on, in batches.
#[test]
fn a_new_version_without_an_open_first_dimension_is_not_taken_in() {
    let directory = tempdir().unwrap();
    let repository = directory.path().join("models");
    fs::create_dir(&repository).unwrap();
    samara_tests::guests::write(&repository, "echoes", "m");
    let file = "[model.m]\nmax_batch_size = 2\nmax_batch_delay_ms = 20000\n";
    let server = serve_with(directory.path(), &[&repository], file).start();
    let shape = &[Size(1)];
    let closed =
        Graph::new().input("x", Type::Float, shape).output("y", Type::Float, shape).node("Relu", &["x"], &["y"]);
    let component = models::compiled_graph("m", &closed, &["--version", "2"]);
    fs::copy(component, directory.path().join("new")).unwrap();
    fs::rename(directory.path().join("new"), repository.join("m-2.wasm")).unwrap();
    let start = Instant::now();
    while !server.log().contains("not loaded") {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", server.log());
        thread::sleep(Duration::from_millis(20));
    }
    server.logs(&["max_batch_size", "input \"x\" of version 2"]);
    let replies = send_all(server.address(), [x(1.0), x(2.0)]);
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(batch_sizes(&server.statistics("m")), [2]);
}
