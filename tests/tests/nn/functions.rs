//! Functions whose models the host runs.

use samara_tests::http::Request;
use samara_tests::models;
use samara_tests::samara::{self, checkout};
use samara_tests::server::Serve;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{backends, compile};

const MODEL: &str = "anomaly-autoencoder";

fn scores(reply: &samara_tests::http::Reply) -> Vec<f64> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    body["results"].as_array().unwrap().iter().map(|result| result["score"].as_f64().unwrap()).collect()
}

#[test]
fn a_function_does_not_know_who_runs_its_model() {
    let directory = tempdir().unwrap();
    let function = checkout().join("target/functions/score.wasm");
    let own = models::card(MODEL).compiled();
    let hosts = compile(directory.path(), MODEL, &models::card(MODEL).onnx(), &[]);
    let request = Request::post_json("/score", &json!([vec![0.25; 30], vec![1.0; 30]]));
    let serve = |model: &std::path::Path| {
        Serve::functions(&["--function", function.to_str().unwrap(), "--model", model.to_str().unwrap()])
    };
    let expected = scores(&serve(&own).start().send(&request).expect(200));
    for backend in backends(MODEL) {
        let server = serve(&hosts).option(&backend).start();
        let found = scores(&server.send(&request).expect(200));
        assert_eq!(found.len(), 2, "{backend}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{backend}: {found} for {expected}");
        }
        let graphs = server.get("/v2/models/stats").json()["graph_stats"].clone();
        assert_eq!((&graphs[0]["name"], &graphs[0]["requests"]), (&json!(MODEL), &json!(1)));
    }
}

#[test]
fn a_model_is_a_function_too() {
    let directory = tempdir().unwrap();
    let model = compile(directory.path(), MODEL, &models::card(MODEL).onnx(), &[]);
    let server = Serve::functions(&["--function", model.to_str().unwrap(), "--route", "/v2/..."]).start();
    let body = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 30], "data": vec![0.25; 30]}]});
    let reply = server.send(&Request::post_json(&format!("/v2/models/{MODEL}/infer"), &body)).expect(200);
    assert_eq!(reply.json()["outputs"][0]["name"], "score");
}

/// It has no manifest that would name its graph's file.
#[test]
fn a_linked_function_is_told_its_graph() {
    let directory = tempdir().unwrap();
    let function = checkout().join("target/functions/score.wasm");
    let onnx = models::card(MODEL).onnx();
    let model = compile(directory.path(), MODEL, &onnx, &[]);
    let app = directory.path().join("app.wasm");
    let [function, model, app] = [&function, &model, &app].map(|path| path.to_str().unwrap());
    samara::run(["link", function, "--model", model, "-o", app]).succeeds();
    let message = Serve::functions(&["--function", app]).fails();
    samara::assert_says(&message, &["app.wasm", "wasi:nn/graph@0.2.0-rc-2024-10-28", "--nn NAME=MODEL.onnx"]);
    let server = Serve::functions(&["--function", app, "--nn", &format!("{MODEL}={}", onnx.display())]).start();
    assert_eq!(server.send(&Request::post_json("/app", &json!([vec![0.25; 30]]))).status, 200);
}
