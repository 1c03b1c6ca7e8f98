//! Where functions are served, and what else is.

use std::fs;

use samara_tests::http::Request;
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{autoencoder, function, text};

fn rows() -> Request {
    Request::post_json("/score", &json!([vec![0.5; 30], vec![1.0; 30]]))
}

#[test]
fn a_function_has_its_route_and_models_have_theirs() {
    let (function, model) = (function("score"), autoencoder());
    let server = Serve::functions(&["--function", text(&function), "--model", text(&model), text(&model)]).start();
    let reply = server.send(&rows());
    assert_eq!(reply.status, 200, "{reply:?}");
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["results"].as_array().unwrap().len(), 2);
    assert_eq!(reply.header("content-length"), Some(&*reply.body.len().to_string()));
    assert_eq!(server.get("/v2/models/anomaly-autoencoder").status, 200);
    assert_eq!(server.send(&Request::post_json("/score/below", &json!([]))).status, 404);
}

#[test]
fn a_route_may_have_everything_below_it() {
    let (function, model) = (function("score"), autoencoder());
    let options = ["--function", text(&function), "--model", text(&model), "--route", "/a/..."];
    let server = Serve::functions(&options).start();
    for path in ["/a", "/a/b/c?threshold=1"] {
        assert_eq!(server.send(&Request::post_json(path, &json!([vec![0.5; 30]]))).status, 200, "{path}");
    }
    assert_eq!(server.send(&rows()).status, 404);
}

#[test]
fn a_file_lists_functions() {
    let directory = tempdir().unwrap();
    fs::copy(function("score"), directory.path().join("score.wasm")).unwrap();
    fs::copy(autoencoder(), directory.path().join("model.wasm")).unwrap();
    let file = directory.path().join("samara.toml");
    fs::write(&file, "[[function]]\ncomponent = \"score.wasm\"\nmodel = \"model.wasm\"\nroute = \"/score\"\n").unwrap();
    let server = Serve::functions(&["--config", text(&file), "--json"]).start();
    assert_eq!(server.send(&rows()).status, 200);
    let ready: Value = serde_json::from_str(server.ready_line()).unwrap();
    let wanted =
        json!([{"name": "score", "route": "/score", "interface": "wasi:http/incoming-handler@0.2", "reuse": 1}]);
    assert_eq!(ready["functions"], wanted);
}

#[test]
fn options_have_to_agree() {
    let (function, model) = (function("score"), autoencoder());
    let (function, model) = (text(&function), text(&model));
    let twice = ["--function", function, "--model", model, "--function", function, "--model", model];
    assert_says(&Serve::functions(&twice).fails(), &["/score", "--route"]);
    let message = Serve::functions(&["--function", function, "--function", function, "--model", model]).fails();
    assert_says(&message, &["2 functions", "1 of --model"]);
}
