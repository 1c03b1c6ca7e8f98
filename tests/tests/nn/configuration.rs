//! How graphs are set up, and what is told about them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use samara_tests::http::Client;
use samara_tests::models;
use samara_tests::samara::{self, assert_says};
use samara_tests::server::Serve;
use samara_tests::tensor::json_request;
use serde_json::json;
use tempfile::tempdir;

use crate::{backends, compile, serve};

const MODEL: &str = "fashion-cnn";

#[test]
fn a_graph_is_loaded_once_and_told_about() {
    let directory = tempdir().unwrap();
    let component = compile(directory.path(), MODEL, &models::card(MODEL).onnx(), &[]);
    let inputs = models::card(MODEL).vectors[0].inputs();
    for backend in backends(MODEL) {
        let server = serve(&[&component], &backend.replace(",backend", ",contexts=3,backend")).start();
        let mut client = server.client();
        let request = json_request(MODEL, &inputs);
        for _ in 0..100 {
            client.send(&request).expect(200);
        }
        let graph = server.get(&format!("/v2/models/{MODEL}")).expect(200).json()["graph"].clone();
        let kind = if backend.contains("onnxruntime") { "onnxruntime" } else { "tract" };
        assert_eq!((&graph["name"], &graph["backend"]), (&json!(MODEL), &json!(kind)));
        assert_eq!((&graph["device"], &graph["contexts"], &graph["threads"]), (&json!("cpu"), &json!(3), &json!(1)));
        assert!(!graph["backend_version"].as_str().unwrap().is_empty(), "{graph}");
        assert!(graph["load_ns"].as_u64().unwrap() > 0, "{graph}");
        let statistics = server.get("/v2/models/stats").expect(200).json()["graph_stats"][0].clone();
        assert_eq!(statistics["requests"], 100);
        assert_eq!((&statistics["loads"], &statistics["failures"]), (&json!(1), &json!(0)));
        assert!(statistics["compute_ns"].as_u64().unwrap() > 0);
        assert_eq!(statistics["backend"], kind);
        server.logs(&["graph=\"fashion-cnn\"", &format!("backend={kind}")]);
    }
    // A model that runs by itself has none.
    let server = Serve::new([models::twice()]).start();
    assert_eq!(server.get("/v2/models/twice").expect(200).json().get("graph"), None);
    assert_eq!(server.get("/v2/models/stats").expect(200).json().get("graph_stats"), None);
}

#[test]
fn a_file_says_how_a_graph_runs() {
    let directory = tempdir().unwrap();
    let onnx = models::card(MODEL).onnx();
    let component = compile(directory.path(), MODEL, &onnx, &[]);
    fs::copy(&onnx, directory.path().join("named.onnx")).unwrap();
    let file = directory.path().join("samara.toml");
    fs::write(&file, format!("[[graph]]\nname = \"{MODEL}\"\nmodel = \"named.onnx\"\ncontexts = 2\n")).unwrap();
    let server = serve(&[&component], &format!("--config {}", file.display())).start();
    let graph = server.get(&format!("/v2/models/{MODEL}")).expect(200).json()["graph"].clone();
    assert_eq!(graph["contexts"], 2);
    assert!(graph["file"].as_str().unwrap().ends_with("named.onnx"), "{graph}");
}

/// Else the rest would hold workers that wait for a context.
#[test]
fn no_more_requests_run_than_the_graph_has_contexts() {
    let directory = tempdir().unwrap();
    let component = compile(directory.path(), "minilm-l6", &models::card("minilm-l6").onnx(), &[]);
    let inputs = models::card("minilm-l6").vectors[0].inputs();
    let most_at_once = |more: &str| {
        let server = serve(&[&component], &format!("--workers 4 --nn minilm-l6,contexts=2{more}")).start();
        let (address, done) = (server.address(), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut client = Client::http1(address);
                    while !done.load(Ordering::Relaxed) {
                        client.send(&json_request("minilm-l6", &inputs)).expect(200);
                    }
                });
            }
            let series = r#"samara_in_flight{function="",model="minilm-l6",version=""}"#;
            let most = (0..40).filter_map(|_| server.metric(series)).fold(0.0, f64::max);
            done.store(true, Ordering::Relaxed);
            most
        })
    };
    let file = directory.path().join("samara.toml");
    fs::write(&file, "[model.minilm-l6]\nconcurrency = 3\n").unwrap();
    assert_eq!(most_at_once(""), 2.0);
    assert_eq!(most_at_once(&format!(" --config {}", file.display())), 3.0, "as it is set");
}

#[test]
fn a_model_is_run_once_on_tensors_from_files() {
    let directory = tempdir().unwrap();
    let card = models::card(MODEL);
    let component = compile(directory.path(), MODEL, &card.onnx(), &[]);
    let (name, file) = &card.vectors[0].input_files()[0];
    let input = format!("{name}={}", file.display());
    let words =
        ["infer", component.to_str().unwrap(), "--input", &input, "--json", "--nn", &format!("{MODEL},contexts=1")];
    let report = samara::run(words).succeeds().json();
    assert_eq!(report["outputs"][0]["name"], "logits");
}

#[test]
fn inspect_tells_how_the_graph_runs_here() {
    let directory = tempdir().unwrap();
    let component = compile(directory.path(), MODEL, &models::card(MODEL).onnx(), &[]);
    let component = component.to_str().unwrap();
    let graph = samara::run(["inspect", "--json", component]).succeeds().json()["graph"].clone();
    assert_eq!((&graph["backend"], &graph["device"]), (&json!("tract"), &json!("cpu")));
    assert!(graph["load_ms"].as_f64().unwrap() > 0.0, "{graph}");
    let told = samara::run(["inspect", component, "--nn", &format!("{MODEL},contexts=7")]).succeeds().stdout;
    assert_says(&told, &["tract", "on cpu", "7 contexts"]);
    let own = samara::run(["inspect", models::twice().to_str().unwrap(), "--nn", "twice,contexts=7"]);
    assert_says(&own.fails(), &["--nn", "twice"]);
    // It tells of the rest although the graph is gone.
    for entry in fs::read_dir(directory.path()).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "onnx") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let told = samara::run(["inspect", component]).succeeds().stdout;
    assert_says(&told, &["cannot be loaded", ".onnx", "samara:inference/model"]);
}
