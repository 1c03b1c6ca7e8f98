//! `samara link`: a function and its model become one component.

use std::fs;

use samara_tests::models;
use samara_tests::samara::{assert_says, run};
use serde_json::json;
use tempfile::tempdir;

use crate::{autoencoder, function, text};

#[test]
fn what_is_linked_needs_no_model_any_more() {
    let directory = tempdir().unwrap();
    let output = directory.path().join("app.wasm");
    let (function, model) = (function("score"), autoencoder());
    let report = run(["link", text(&function), "--model", text(&model), "-o", text(&output), "--json"]);
    let report = report.succeeds().json();
    assert_eq!(report["bytes"], fs::metadata(&output).unwrap().len());
    assert_eq!(report["exports"], json!(["wasi:http/incoming-handler@0.2.0"]));
    let imports = report["imports"].as_array().unwrap();
    for import in imports {
        let import = import.as_str().unwrap();
        assert!(import.starts_with("wasi:http/types@") || import.starts_with("wasi:io/"), "{import}");
    }
    assert!(fs::metadata(&output).unwrap().len() > fs::metadata(&model).unwrap().len());
}

#[test]
fn linking_twice_gives_the_same_bytes() {
    let directory = tempdir().unwrap();
    let outputs = ["a.wasm", "b.wasm"].map(|name| directory.path().join(name));
    let (function, model) = (function("score"), autoencoder());
    for output in &outputs {
        run(["link", text(&function), "--model", text(&model), "-o", text(output)]).succeeds();
    }
    assert!(fs::read(&outputs[0]).unwrap() == fs::read(&outputs[1]).unwrap());
}

#[test]
fn another_model_is_refused_with_both_signatures() {
    let directory = tempdir().unwrap();
    let output = directory.path().join("app.wasm");
    let (function, model) = (function("score"), models::card("fashion-cnn").compiled());
    let message = run(["link", text(&function), "--model", text(&model), "-o", text(&output)]).fails();
    let said = ["no input `x`", "x FP32[-1,30] -> score FP32[-1]", "image FP32[1,1,28,28] -> logits FP32[1,10]"];
    assert_says(&message, &said);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn what_cannot_be_linked_is_told_why() {
    let directory = tempdir().unwrap();
    let output = directory.path().join("app.wasm");
    let (function, model) = (function("score"), autoencoder());
    let plain = directory.path().join("plain.wasm");
    fs::write(&plain, wat::parse_str("(module (func (export \"f\")))").unwrap()).unwrap();
    let link = |function: &str, model: &str| run(["link", function, "--model", model, "-o", text(&output)]).fails();
    assert_says(&link(text(&model), text(&model)), &["does not import `samara:inference/model@0.1.0`"]);
    assert_says(&link(text(&function), text(&function)), &["does not export `samara:inference/model@0.1.0`"]);
    assert_says(&link(text(&plain), text(&model)), &["plain.wasm", "core module", "interfaces"]);
    assert_says(&link("absent.wasm", text(&model)), &["absent.wasm", "No such file"]);
    assert_says(&link(text(&function), "absent.wasm"), &["absent.wasm", "No such file"]);
}
