//! What the classes are called.

use std::fs;

use samara_tests::onnx::{Graph, Named, Size, Type};
use samara_tests::samara::{self, assert_says};
use serde_json::json;
use tempfile::tempdir;

use super::{compile, refusal};

fn three_classes() -> Graph {
    let shape = &[Named("N"), Size(3)];
    Graph::new().input("x", Type::Float, shape).output("y", Type::Float, shape).node("Relu", &["x"], &["y"])
}

#[test]
fn labels_ride_in_the_component() {
    let directory = tempdir().unwrap();
    let path = three_classes().write(directory.path(), "model.onnx");
    fs::write(directory.path().join("labels.txt"), "cat\ntree frog\nÄsche\n").unwrap();
    compile(directory.path(), &path, &["--labels", "labels.txt"]).succeeds();
    let component = directory.path().join("model.wasm");
    let inspected = samara::run(["inspect", "--json", component.to_str().unwrap()]).succeeds().json();
    let text = inspected.to_string();
    assert_says(&text, &[r#"["cat","tree frog","Äsche"]"#]);
    assert!(inspected.is_object());
}

#[test]
fn a_number_of_labels_that_is_not_that_of_the_classes_is_refused() {
    let directory = tempdir().unwrap();
    let path = three_classes().write(directory.path(), "model.onnx");
    let refused = |labels: &str| {
        fs::write(directory.path().join("labels.txt"), labels).unwrap();
        refusal(directory.path(), &path, &["--labels", "labels.txt"])
    };
    assert_says(&refused("cat\n"), &["labels", "1", "3"]);
    assert_says(&refused("cat\ndog\nfrog\nfish\n"), &["labels", "4", "3"]);
    assert_says(&refused(""), &["labels.txt", "empty"]);
}

#[test]
fn labels_that_cannot_be_read_are_named() {
    let directory = tempdir().unwrap();
    let path = three_classes().write(directory.path(), "model.onnx");
    let message = refusal(directory.path(), &path, &["--labels", "absent.txt"]);
    assert_says(&message, &["absent.txt", "No such file"]);

    fs::write(directory.path().join("latin1.txt"), b"cat\nfrog\n\xc4sche\n").unwrap();
    assert_says(&refusal(directory.path(), &path, &["--labels", "latin1.txt"]), &["latin1.txt"]);
}

#[test]
fn a_file_with_the_line_ends_of_windows_is_read_as_well() {
    let directory = tempdir().unwrap();
    let path = three_classes().write(directory.path(), "model.onnx");
    fs::write(directory.path().join("labels.txt"), "cat\r\ntree frog\r\nÄsche\r\n").unwrap();
    compile(directory.path(), &path, &["--labels", "labels.txt"]).succeeds();
    let component = directory.path().join("model.wasm");
    let inspected = samara::run(["inspect", "--json", component.to_str().unwrap()]).succeeds();
    assert_says(&inspected.json().to_string(), &[&json!(["cat", "tree frog", "Äsche"]).to_string()]);
}
