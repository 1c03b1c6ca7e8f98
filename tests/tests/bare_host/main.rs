//! A compiled model on a host that is not ours: Wasmtime with its default settings and `wasmtime-wasi-http`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod host;
mod nn;

use samara_tests::http::{Client, Reply, Request};
use samara_tests::models;
use samara_tests::samara::checkout;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, assert_close, binary_request, infer_path, json_body, json_request, outputs};
use serde_json::json;

use crate::host::BareHost;

/// Requests that have nothing to do with which model it is.
fn questions(name: &str) -> Vec<Request> {
    vec![
        Request::get("/v2/health/live"),
        Request::get("/v2/health/ready"),
        Request::get(&format!("/v2/models/{name}")),
        Request::get(&format!("/v2/models/{name}/versions/1")),
        Request::get(&format!("/v2/models/{name}/ready")),
        Request::get(&format!("/v2/models/{name}/config")),
        Request::post("/v2/repository/index", ""),
        Request::post("/v2/repository/index", "{\"ready\": 7}"),
        Request::get("/v2/nothing"),
        Request::new("DELETE", &format!("/v2/models/{name}")),
        Request::get(&infer_path(name)),
        Request::post(&infer_path(name), "no JSON"),
        Request::post_json(&infer_path(name), &json!({"inputs": []})),
        Request::post(&infer_path(name), "").header("content-type", "text/plain"),
    ]
}

/// Everything that a client can see of a reply, but for the date.
fn visible(reply: &Reply) -> impl PartialEq + std::fmt::Debug + use<> {
    let header = |name: &str| reply.header(name).map(str::to_owned);
    (
        reply.status,
        String::from_utf8_lossy(&reply.body).into_owned(),
        header("content-type"),
        header("content-length"),
        header("content-encoding"),
        header("inference-header-content-length"),
        header("allow"),
    )
}

/// Asks both hosts the same.
#[track_caller]
fn compare(name: &str) {
    let card = models::card(name);
    let component = card.compiled();
    let server = Serve::new([&component]).start();
    let bare = BareHost::start(&component);
    let (mut ours, mut theirs) = (server.client(), Client::http1(bare.address()));

    for request in questions(name) {
        assert_eq!(visible(&theirs.send(&request)), visible(&ours.send(&request)), "{request:?}");
    }
    let vector = &card.vectors[0];
    let inputs = vector.inputs();
    let mut with_id = json_body(&inputs);
    with_id["id"] = json!("mine");
    with_id["outputs"] = json!([{"name": vector.expected()[0].name}]);
    let mut misfit = json_body(&inputs);
    misfit["inputs"][0]["shape"] = json!([1, 2, 3, 4, 5]);
    let requests = [
        json_request(name, &inputs),
        binary_request(name, &inputs),
        Request::post_json(&infer_path(name), &with_id),
        Request::post_json(&infer_path(name), &misfit),
    ];
    for request in &requests {
        assert_eq!(visible(&theirs.send(request)), visible(&ours.send(request)), "{request:?}");
    }

    // And they are right.
    let mut actual = outputs(&theirs.send(&requests[0]));
    actual.sort_by(|a, b| a.name.cmp(&b.name));
    for (actual, expected) in actual.iter().zip(&vector.expected()) {
        assert_close(actual, expected, vector.tolerance);
    }
    if name == "anomaly-autoencoder" {
        let rows = 10_000;
        let elements: Vec<f32> = (0..30 * rows).map(|index| (index % 100) as f32).collect();
        assert_passes_whole(&mut theirs, &mut ours, name, &[Tensor::fp32("x", &[rows, 30], &elements)]);
    }
    // What only a server knows, a component does not make up.
    assert_eq!(theirs.send(&Request::get(&format!("/v2/models/{name}/stats"))).status, 404);
    assert_eq!(theirs.send(&Request::get("/v2/models/another")).status, 404);
    assert_eq!(theirs.send(&Request::get("/v2")).expect(200).json()["name"], "samara");
}

#[test]
fn the_anomaly_autoencoder_answers_alike() {
    compare("anomaly-autoencoder");
}

#[test]
fn the_random_forest_answers_alike() {
    compare("breast-random-forest");
}

#[test]
fn the_fashion_cnn_answers_alike() {
    compare("fashion-cnn");
}

/// A function linked with its model is a component like any other: asks both hosts the same.
#[track_caller]
fn compare_function(function: &str, model: &str, requests: &[Request]) {
    let directory = tempfile::tempdir().unwrap();
    let app = directory.path().join("app.wasm");
    let component = checkout().join(format!("target/functions/{function}.wasm"));
    assert!(component.is_file(), "{} is missing: run `make functions`", component.display());
    let model = models::card(model).compiled();
    let [component, model, output] = [&component, &model, &app].map(|path| path.to_str().unwrap());
    samara_tests::samara::run(["link", component, "--model", model, "-o", output]).succeeds();
    let route = format!("/{function}");
    let server = Serve::functions(&["--function", output, "--route", &route]).start();
    let bare = BareHost::start(&app);
    let (mut ours, mut theirs) = (server.client(), Client::http1(bare.address()));
    // The first is one that it can answer.
    theirs.send(&requests[0]).expect(200);
    for request in requests {
        assert_eq!(visible(&theirs.send(request)), visible(&ours.send(request)), "{request:?}");
    }
}

#[test]
fn a_linked_function_answers_alike() {
    let row = [0.25; 30];
    let requests = [
        Request::post_json("/score", &json!([row, row])),
        Request::post_json("/score?threshold=0.5", &json!({"rows": [row]})),
        Request::post_json("/score", &json!([row, [1.0]])),
        Request::post("/score", "a,b\n1,2\n").header("content-type", "text/csv"),
        Request::post("/score", "x").header("content-type", "image/png"),
        Request::get("/score"),
    ];
    compare_function("score", "anomaly-autoencoder", &requests);
}

/// It exports `wasi:http/handler@0.3`, where the others export `wasi:http/incoming-handler@0.2`.
#[test]
fn a_linked_function_of_spins_sdk_answers_alike() {
    let photo = |name: &str| std::fs::read(checkout().join("models/.cache/photos").join(name)).unwrap();
    let (rocket, chelsea) = (photo("rocket.jpg"), photo("chelsea.png"));
    let requests = [
        Request::post("/classify?top=3", rocket.clone()).header("content-type", "image/jpeg"),
        Request::post("/classify", chelsea).header("content-type", "image/png"),
        Request::post("/classify", rocket[..5000].to_vec()).header("content-type", "image/jpeg"),
        Request::post("/classify", "no image").header("content-type", "image/webp"),
        Request::post("/classify", "").header("content-type", "image/png"),
        Request::post_json("/classify", &json!({"image": "no base64!"})),
        Request::get("/classify"),
    ];
    compare_function("classify", "efficientnet-lite0", &requests);
}

/// A reply that a host takes in several pieces, and a request that comes in several.
#[track_caller]
fn assert_passes_whole(client: &mut Client, server: &mut Client, name: &str, input: &[Tensor]) {
    for request in [json_request(name, input), binary_request(name, input)] {
        let reply = client.send(&request).expect(200);
        assert!(visible(&reply) == visible(&server.send(&request)), "another reply to a large request");
    }
}
