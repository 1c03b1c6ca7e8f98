//! `samara inspect`: what a component is, without running it.

use std::fs;
use std::path::Path;

use samara_artifact::Tune;
use samara_tests::samara::{self, Run, assert_says};
use samara_tests::{guests, models};
use serde_json::json;
use tempfile::tempdir;

fn inspect(component: &Path, arguments: &[&str]) -> Run {
    Run::of(samara::command().arg("inspect").arg(component).args(arguments))
}

#[test]
fn json_has_all_that_the_component_tells() {
    let card = models::card("fashion-cnn");
    let component = card.compiled();
    let json = inspect(&component, &["--json"]).succeeds().json();
    let manifest = &json["manifest"];
    assert_eq!(manifest["name"], "fashion-cnn");
    assert_eq!(manifest["version"], "1");
    assert_eq!(manifest["simd"], "relaxed");
    assert_eq!(manifest["tune"], Tune::here().to_string());
    assert_eq!(manifest["source"]["file"], "fashion-cnn.onnx");
    assert_eq!(manifest["source"]["sha256"].as_str().map(str::len), Some(64));
    assert!(manifest["generator"].as_str().is_some_and(|generator| generator.starts_with("samara ")), "{manifest}");
    assert_eq!(manifest["inputs"], json!([{"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28]}]));
    assert_eq!(manifest["outputs"], json!([{"name": "logits", "datatype": "FP32", "shape": [1, 10]}]));

    assert_eq!(json["bytes"], fs::metadata(&component).unwrap().len());
    let imports = json["imports"].as_array().unwrap();
    assert!(!imports.is_empty());
    for import in imports {
        let import = import.as_str().unwrap();
        assert!(import.starts_with("wasi:http/") || import.starts_with("wasi:io/"), "{import}");
    }
    let exports = json["exports"].to_string();
    assert_says(&exports, &["samara:inference/model@0.1.0", "wasi:http/incoming-handler@0.2."]);

    let parts = json["parts"].as_array().unwrap();
    let sum: u64 = parts.iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert_eq!(json["bytes"], sum, "the parts are not the whole: {parts:?}");
}

#[test]
fn people_are_told_too() {
    let run = inspect(&models::card("fashion-cnn").compiled(), &[]).succeeds();
    let texts =
        ["fashion-cnn", "image", "logits", "FP32", "wasi:http/", "samara:inference/model@0.1.0", "code", "data"];
    assert_says(&run.stdout, &texts);
    assert!(!run.stdout.contains('\u{1b}'), "colours where nobody looks");
}

#[test]
fn a_component_of_others_is_shown_as_far_as_it_can_be() {
    let directory = tempdir().unwrap();
    let component = guests::write(directory.path(), "echoes", "echo");
    let json = inspect(&component, &["--json"]).succeeds().json();
    assert_eq!(json["manifest"], json!(null));
    assert_eq!(json["exports"], json!(["samara:inference/model@0.1.0"]));
    assert_eq!(json["imports"], json!([]));
}

#[test]
fn what_kernels_were_chosen_for_is_told_in_words() {
    let directory = tempdir().unwrap();
    let onnx = models::card("anomaly-autoencoder").onnx();
    let component = directory.path().join("m.wasm");
    let arguments = ["compile", onnx.to_str().unwrap(), "--tune", "skylake", "--output", component.to_str().unwrap()];
    let told = samara::run(arguments).succeeds().stdout;
    assert_says(&told, &["relaxed SIMD, tuned for skylake"]);
    assert_says(&inspect(&component, &[]).succeeds().stdout, &["relaxed SIMD, tuned for skylake"]);
}

#[test]
fn what_is_no_component_is_named() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("other.wasm");
    for content in [&b""[..], b"text", &guests::core_module("echoes", "echo")] {
        fs::write(&path, content).unwrap();
        assert_says(&inspect(&path, &[]).fails(), &["other.wasm", "component"]);
    }
    assert_says(&inspect(&directory.path().join("absent.wasm"), &[]).fails(), &["absent.wasm", "No such file"]);
}
