//! `samara compile --target nn`: a component that has its host run the model, and the model beside it.

use std::fs;
use std::path::{Path, PathBuf};

use samara_tests::models;
use samara_tests::onnx::{self, Graph, Named, Size, Type, Unknown};
use samara_tests::samara::{self, Run, assert_says};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::imports::interfaces;
use super::{compile, files, refusal};

const NN: &[&str] = &["--target", "nn"];

/// What `samara inspect` tells of the component in a directory.
fn inspect(directory: &Path) -> Value {
    let component = directory.join("model.wasm");
    samara::run(["inspect", "--json", component.to_str().unwrap()]).succeeds().json()
}

/// The graph that the component in a directory asks for: what the manifest says of it, and the file.
fn graph(directory: &Path) -> (Value, PathBuf) {
    let graph = inspect(directory)["manifest"]["nn"].clone();
    let file = directory.join(graph["file"].as_str().unwrap());
    (graph, file)
}

fn sha256(path: &Path) -> String {
    let run = Run::of(std::process::Command::new("sha256sum").arg(path)).succeeds();
    run.stdout.split(' ').next().unwrap().trim_start_matches('\\').to_owned()
}

#[test]
fn the_component_asks_for_wasi_nn_and_exports_what_a_model_exports() {
    let directory = tempdir().unwrap();
    compile(directory.path(), &models::card("fashion-cnn").onnx(), NN).succeeds();
    let component = fs::read(directory.path().join("model.wasm")).unwrap();
    let (imports, exports) = interfaces(&component);
    let of = |package: &str| -> Vec<&str> {
        imports.iter().filter_map(|import| import.strip_prefix(package)?.split('@').next()).collect()
    };
    assert_eq!(of("wasi:nn/"), ["errors", "graph", "inference", "tensor"]);
    assert_eq!(of("wasi:http/"), ["types"]);
    assert_eq!(imports.len(), 5 + of("wasi:io/").len(), "{imports:?}");
    assert!(imports.contains(&"wasi:nn/graph@0.2.0-rc-2024-10-28".to_owned()), "{imports:?}");
    assert_eq!(exports.len(), 2, "{exports:?}");
    assert!(exports[0].starts_with("samara:inference/model@0.1."), "{exports:?}");
    assert!(exports[1].starts_with("wasi:http/incoming-handler@0.2."), "{exports:?}");
    assert!(component.len() < 500_000, "{} bytes", component.len());
}

#[test]
fn the_manifest_names_the_graph_and_the_file_is_the_model() {
    let directory = tempdir().unwrap();
    let path = models::card("fashion-cnn").onnx();
    let options = ["--target", "nn", "--name", "clothes", "--input", "image=1,1,28,28", "--json"];
    let report = compile(directory.path(), &path, &options).succeeds().json();
    let hash = sha256(&path);
    let (graph, file) = graph(directory.path());
    let bytes = fs::metadata(&path).unwrap().len();
    assert_eq!(
        graph,
        json!({"graph": "clothes", "file": format!("{hash}.onnx"), "sha256": hash.as_str(), "bytes": bytes})
    );
    assert_eq!(report["nn"], graph);
    assert_eq!(report["source_sha256"], hash.as_str());
    assert_eq!(fs::read(&file).unwrap(), fs::read(&path).unwrap());
    assert_eq!(files(directory.path()), [format!("{hash}.onnx"), "model.wasm".to_owned()]);

    let manifest = &inspect(directory.path())["manifest"];
    assert_eq!(manifest["inputs"], json!([{"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28]}]));
    assert_eq!(manifest["outputs"], json!([{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]));
    assert_eq!(manifest["sample"], json!([[1, 1, 28, 28]]));
    assert_eq!(manifest["simd"], "baseline");
    assert_eq!(manifest.get("tune"), None, "it computes nothing");
    assert_eq!(manifest["cost"], Value::Null);
}

#[test]
fn people_are_told_of_the_graph_too() {
    let directory = tempdir().unwrap();
    let path = onnx::twice().write(directory.path(), "twice.onnx");
    let hash = sha256(&path);
    let compiled = compile(directory.path(), &path, &["--target", "nn", "--name", "doubles"]).succeeds();
    let component = directory.path().join("model.wasm");
    let inspected = samara::run(["inspect", component.to_str().unwrap()]).succeeds();
    for text in [&compiled.stdout, &inspected.stdout] {
        assert_says(text, &["doubles of wasi:nn", &format!("{hash}.onnx"), "run by the host", "x FP32[?]"]);
    }
    // A model of its own has none.
    let own = samara::run(["inspect", models::twice().to_str().unwrap()]).succeeds();
    assert!(!own.stdout.contains("wasi:nn"), "{}", own.stdout);
}

/// Operators, even those of others, are the host's affair.
#[test]
fn what_tract_does_not_have_is_no_hindrance() {
    let directory = tempdir().unwrap();
    let graph = Graph::new()
        .input("x", Type::Float, &[Named("N"), Size(3)])
        .output("y", Type::Float16, &[Unknown, Size(3)])
        .node_of("com.example", "Frobnicate", &["x"], &["y"]);
    let path = graph.write(directory.path(), "odd.onnx");
    refusal(directory.path(), &path, &[]);
    compile(directory.path(), &path, NN).succeeds();
    let manifest = &inspect(directory.path())["manifest"];
    assert_eq!(manifest["inputs"], json!([{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]));
    assert_eq!(manifest["outputs"], json!([{"name": "y", "datatype": "FP16", "shape": [-1, 3]}]));
    assert_eq!(manifest["sample"], json!([[1, 3]]));
}

/// Then the graph has to be analysed after all.
#[test]
fn an_output_that_is_not_declared_is_found_out() {
    let directory = tempdir().unwrap();
    let graph = |domain, operator| {
        let graph = Graph::new().input("x", Type::Int32, &[Named("N"), Size(3)]).undeclared_output("y");
        graph.node_of(domain, operator, &["x", "x"], &["y"]).write(directory.path(), "terse.onnx")
    };
    compile(directory.path(), &graph("", "Add"), NN).succeeds();
    let manifest = &inspect(directory.path())["manifest"];
    assert_eq!(manifest["outputs"], json!([{"name": "y", "datatype": "INT32", "shape": [-1, 3]}]));

    let odd = graph("com.example", "Frobnicate");
    assert_says(&compile(directory.path(), &odd, NN).fails(), &["\"y\"", "declare", "Frobnicate"]);
}

#[test]
fn every_datatype_of_the_protocol_is_declared() {
    let types = [
        (Type::Bool, "BOOL"),
        (Type::Uint8, "UINT8"),
        (Type::Uint16, "UINT16"),
        (Type::Uint32, "UINT32"),
        (Type::Uint64, "UINT64"),
        (Type::Int8, "INT8"),
        (Type::Int16, "INT16"),
        (Type::Int32, "INT32"),
        (Type::Int64, "INT64"),
        (Type::Float16, "FP16"),
        (Type::Float, "FP32"),
        (Type::Double, "FP64"),
        (Type::String, "BYTES"),
    ];
    let directory = tempdir().unwrap();
    for (element, datatype) in types {
        let graph = Graph::new().input("x", element, &[Size(2)]).output("y", element, &[Size(2)]);
        let path = graph.node("Identity", &["x"], &["y"]).write(directory.path(), "same.onnx");
        compile(directory.path(), &path, NN).succeeds();
        let manifest = &inspect(directory.path())["manifest"];
        assert_eq!(manifest["inputs"], json!([{"name": "x", "datatype": datatype, "shape": [2]}]));
        assert_eq!(manifest["outputs"], json!([{"name": "y", "datatype": datatype, "shape": [2]}]));
    }
    let graph = Graph::new().input("x", Type::Bfloat16, &[Size(2)]).output("y", Type::Bfloat16, &[Size(2)]);
    let path = graph.node("Identity", &["x"], &["y"]).write(directory.path(), "same.onnx");
    assert_says(&compile(directory.path(), &path, NN).fails(), &["\"x\"", "Bfloat16", "protocol"]);
}

#[test]
fn shapes_can_be_fixed() {
    let directory = tempdir().unwrap();
    let path = onnx::duo().write(directory.path(), "duo.onnx");
    compile(directory.path(), &path, &["--target", "nn", "--input", "a=4,2"]).succeeds();
    assert_eq!(inspect(directory.path())["manifest"]["inputs"][0]["shape"], json!([4, 2]));
    assert_eq!(inspect(directory.path())["manifest"]["inputs"][1]["shape"], json!([-1, 2]));
    let refused = |shape: &str| compile(directory.path(), &path, &["--target", "nn", "--input", shape]).fails();
    assert_says(&refused("c=4,2"), &["--input c", "no such input", "a, b"]);
    assert_says(&refused("a=4,3"), &["--input a", "dimension 1 is 2"]);
    assert_says(&refused("a=4"), &["--input a", "1 dimensions", "has 2"]);
}

#[test]
fn a_graph_that_is_there_is_kept_and_another_is_replaced() {
    let directory = tempdir().unwrap();
    let path = onnx::twice().write(directory.path(), "twice.onnx");
    compile(directory.path(), &path, NN).succeeds();
    let (_, file) = graph(directory.path());
    let written = fs::metadata(&file).unwrap();
    compile(directory.path(), &path, NN).succeeds();
    let kept = fs::metadata(&file).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&kept), std::os::unix::fs::MetadataExt::ino(&written));

    fs::write(&file, "what another program left").unwrap();
    compile(directory.path(), &path, NN).succeeds();
    assert_eq!(fs::read(&file).unwrap(), fs::read(&path).unwrap());
    assert_eq!(files(directory.path()).len(), 3);
}

#[test]
fn where_the_graph_cannot_go_no_component_goes() {
    let directory = tempdir().unwrap();
    let path = onnx::twice().write(directory.path(), "twice.onnx");
    let name = format!("{}.onnx", sha256(&path));
    fs::create_dir(directory.path().join(&name)).unwrap();
    assert_says(&refusal(directory.path(), &path, NN), &["cannot write", &name]);
    for output in ["absent/model.wasm", "twice.onnx/model.wasm", "/proc/model.wasm"] {
        let mut command = samara::command();
        command.current_dir(directory.path()).arg("compile").arg(&path).args(NN).args(["-o", output]);
        assert_says(&Run::of(&mut command).fails(), &["cannot write", output]);
    }
    let mut left = [name, "twice.onnx".to_owned()];
    left.sort();
    assert_eq!(files(directory.path()), left);
}

#[test]
fn what_is_no_model_or_not_all_of_one_is_refused() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("part.onnx");
    let whole = fs::read(models::card("anomaly-autoencoder").onnx()).unwrap();
    for content in [&b""[..], b"no model at all", &[0; 4096], &whole[..whole.len() / 2], &whole[..whole.len() - 1]] {
        fs::write(&path, content).unwrap();
        let message = refusal(directory.path(), &path, NN);
        assert!(message.contains("part.onnx") || message.contains("graph"), "{} bytes: {message}", content.len());
    }
    assert_says(&refusal(directory.path(), &directory.path().join("absent.onnx"), NN), &["absent.onnx"]);
    let unmade = Graph::new().input("x", Type::Float, &[Size(1)]).output("y", Type::Float, &[Size(1)]);
    assert_says(&refusal(directory.path(), &unmade.write(directory.path(), "part.onnx"), NN), &["\"y\"", "no node"]);
}

#[test]
fn weights_in_another_file_are_refused() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("weights.bin"), [0; 16]).unwrap();
    let path = Graph::new()
        .input("x", Type::Float, &[Size(4)])
        .output("y", Type::Float, &[Size(4)])
        .external_weights("w", &[4], &[("location", "weights.bin")])
        .node("Add", &["x", "w"], &["y"])
        .write(directory.path(), "elsewhere.onnx");
    assert_says(&refusal(directory.path(), &path, NN), &["\"w\"", "another file", "weights inside"]);
}

#[test]
fn labels_ride_in_the_component_and_are_counted() {
    let directory = tempdir().unwrap();
    let path = onnx::duo().write(directory.path(), "duo.onnx");
    fs::write(directory.path().join("labels.txt"), "cat\ndog\n").unwrap();
    compile(directory.path(), &path, &["--target", "nn", "--labels", "labels.txt"]).succeeds();
    assert_eq!(inspect(directory.path())["manifest"]["labels"], json!(["cat", "dog"]));
    fs::write(directory.path().join("labels.txt"), "cat\n").unwrap();
    let message = compile(directory.path(), &path, &["--target", "nn", "--labels", "labels.txt"]).fails();
    assert_says(&message, &["labels", "1", "2"]);
}

/// Vector instructions, and what kernels are tuned for, are what the host's backend uses; the component has none to choose.
#[test]
fn vectors_are_not_for_a_model_that_the_host_runs() {
    let directory = tempdir().unwrap();
    let path = onnx::twice().write(directory.path(), "twice.onnx");
    for (option, value) in [("--simd", "baseline"), ("--tune", "skylake")] {
        let message = refusal(directory.path(), &path, &["--target", "nn", option, value]);
        assert_says(&message, &[option, "--target nn"]);
    }
}

#[test]
fn the_same_model_gives_the_same_component() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    for directory in [&one, &other] {
        let path = onnx::duo().write(directory.path(), "duo.onnx");
        compile(directory.path(), &path, NN).succeeds();
    }
    let read = |directory: &Path| fs::read(directory.join("model.wasm")).unwrap();
    assert_eq!(read(one.path()), read(other.path()));
}

/// Spin has no `wasi:nn`.
#[test]
fn spin_takes_no_model_that_the_host_is_to_run() {
    let directory = tempdir().unwrap();
    compile(directory.path(), &models::card("fashion-cnn").onnx(), NN).succeeds();
    let component = directory.path().join("model.wasm");
    let app = directory.path().join("app");
    let run = samara::run(["spin", component.to_str().unwrap(), "-o", app.to_str().unwrap()]);
    assert_says(&run.fails(), &["model.wasm", "Spin", "--target wasm"]);
    assert!(!app.exists());
}
