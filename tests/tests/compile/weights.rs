//! Weights: in the file, beside it, nowhere, and too many.

use std::fs;
use std::path::{Path, PathBuf};

use samara_tests::onnx::{Graph, Size, Type};
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, assert_close, outputs};
use tempfile::{TempDir, tempdir};

use super::{compile, refusal};

/// A directory `model` for a model, in one where other things may be.
fn place() -> (TempDir, PathBuf) {
    let outer = tempdir().unwrap();
    let inner = outer.path().join("model");
    fs::create_dir(&inner).unwrap();
    (outer, inner)
}

/// `y` is `x` plus weights that are elsewhere.
fn with_external(directory: &Path, entries: &[(&str, &str)]) -> PathBuf {
    Graph::new()
        .input("x", Type::Float, &[Size(4)])
        .output("y", Type::Float, &[Size(4)])
        .external_weights("w", &[4], entries)
        .node("Add", &["x", "w"], &["y"])
        .write(directory, "model.onnx")
}

fn write_weights(path: &Path, elements: &[f32]) {
    let bytes: Vec<u8> = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
    fs::write(path, bytes).unwrap();
}

#[test]
fn weights_beside_the_model_are_found() {
    let (_outer, directory) = place();
    fs::create_dir(directory.join("data")).unwrap();
    write_weights(&directory.join("data/weights.bin"), &[9.0, 1.0, 2.0, 3.0, 4.0]);
    let path = with_external(&directory, &[("location", "data/weights.bin"), ("offset", "4"), ("length", "16")]);
    compile(&directory, &path, &["--name", "m"]).succeeds();
    let server = Serve::new([directory.join("model.wasm")]).start();
    let reply = server.infer("m", &[Tensor::fp32("x", &[4], &[10.0; 4])]);
    assert_close(&outputs(&reply)[0], &Tensor::fp32("y", &[4], &[11.0, 12.0, 13.0, 14.0]), 0.0);
}

/// The command finds them from wherever it is called.
#[test]
fn weights_are_looked_for_beside_the_model_and_not_beside_the_caller() {
    let (outer, directory) = place();
    write_weights(&outer.path().join("weights.bin"), &[0.0; 4]);
    with_external(&directory, &[("location", "weights.bin")]);
    let message = refusal(outer.path(), Path::new("model/model.onnx"), &[]);
    assert_says(&message, &["\"w\"", "model/weights.bin", "No such file"]);
}

#[test]
fn missing_weights_are_named() {
    let (_outer, directory) = place();
    let path = with_external(&directory, &[("location", "weights.bin")]);
    assert_says(&refusal(&directory, &path, &[]), &["\"w\"", "weights.bin", "No such file"]);
}

#[test]
fn weights_that_are_not_all_there_are_refused() {
    let (_outer, directory) = place();
    write_weights(&directory.join("weights.bin"), &[1.0, 2.0]);
    let told = with_external(&directory, &[("location", "weights.bin"), ("offset", "0"), ("length", "16")]);
    assert_says(&refusal(&directory, &told, &[]), &["\"w\"", "weights.bin", "8 bytes", "16"]);

    let untold = with_external(&directory, &[("location", "weights.bin")]);
    assert_says(&refusal(&directory, &untold, &[]), &["\"w\"", "weights.bin"]);

    let beyond = with_external(&directory, &[("location", "weights.bin"), ("offset", "4000")]);
    assert_says(&refusal(&directory, &beyond, &[]), &["\"w\"", "weights.bin"]);
}

/// A model must not read a file that has nothing to do with it.
#[test]
fn a_path_that_leads_out_of_the_directory_is_refused() {
    let (outer, directory) = place();
    let secret = outer.path().join("secret.bin");
    write_weights(&secret, &[1.0; 4]);
    for location in ["../secret.bin", "a/../../secret.bin", secret.to_str().unwrap(), "/dev/zero", ""] {
        let path = with_external(&directory, &[("location", location)]);
        let message = refusal(&directory, &path, &[]);
        assert_says(&message, &["\"w\"", "inside the model's directory"]);
    }
}

/// Nor does a link change what is inside and what is not.
#[test]
fn a_link_that_leads_out_of_the_directory_is_refused() {
    let (outer, directory) = place();
    let secret = outer.path().join("secret.bin");
    write_weights(&secret, &[1.0; 4]);
    std::os::unix::fs::symlink(&secret, directory.join("weights.bin")).unwrap();
    let path = with_external(&directory, &[("location", "weights.bin")]);
    assert_says(&refusal(&directory, &path, &[]), &["outside the model", "secret.bin"]);
}

#[test]
fn numbers_that_are_none_are_refused() {
    let (_outer, directory) = place();
    write_weights(&directory.join("weights.bin"), &[1.0; 4]);
    for (key, value) in [("offset", "-4"), ("offset", "four"), ("length", "16.0"), ("length", "99999999999999999999")] {
        let path = with_external(&directory, &[("location", "weights.bin"), (key, value)]);
        assert_says(&refusal(&directory, &path, &[]), &["\"w\"", key, value]);
    }
}

/// What cannot fit is refused by what the file declares, before anything is read or taken.
#[test]
fn a_model_too_large_for_a_memory_of_32_bits_is_refused() {
    let directory = tempdir().unwrap();
    let graph = |shape: &[i64]| {
        Graph::new()
            .input("x", Type::Float, &[Size(4)])
            .output("y", Type::Float, &[Size(4)])
            .weights("w", shape, &[1.0])
            .node("Add", &["x", "w"], &["y"])
            .write(directory.path(), "model.onnx")
    };
    let message = refusal(directory.path(), &graph(&[1 << 30, 2]), &[]);
    assert_says(&message, &["too large", "8192 MiB", "4096 MiB"]);
    // More than 64 bits can count.
    refusal(directory.path(), &graph(&[i64::MAX, i64::MAX]), &[]);
    refusal(directory.path(), &graph(&[-1]), &[]);
}

/// Weights beside the model count as well.
#[test]
fn a_model_too_large_with_its_weights_elsewhere_is_refused() {
    let (_outer, directory) = place();
    // Sparse: no disk holds 8 GiB for this.
    let file = fs::File::create(directory.join("weights.bin")).unwrap();
    file.set_len(8 << 30).unwrap();
    let path = Graph::new()
        .input("x", Type::Float, &[Size(1)])
        .output("y", Type::Float, &[Size(1)])
        .external_weights("w", &[1 << 31], &[("location", "weights.bin")])
        .node("Add", &["x", "w"], &["y"])
        .write(&directory, "model.onnx");
    assert_says(&refusal(&directory, &path, &[]), &["too large", "8192 MiB"]);
}

/// Fewer elements than the shape says.
#[test]
fn weights_shorter_than_their_shape_are_refused() {
    let directory = tempdir().unwrap();
    let path = Graph::new()
        .input("x", Type::Float, &[Size(4)])
        .output("y", Type::Float, &[Size(4)])
        .weights("w", &[4], &[1.0, 2.0])
        .node("Add", &["x", "w"], &["y"])
        .write(directory.path(), "model.onnx");
    assert_says(&refusal(directory.path(), &path, &[]), &["8", "16 bytes", "[4]"]);
}

/// Constants travel to the engine as files that are named after them.
#[test]
fn weights_of_any_name_are_found() {
    let directory = tempdir().unwrap();
    let long = format!("/model/{}", ["block.0"; 20].join("/"));
    let longer = format!("{long}.{}", "x".repeat(120));
    let names =
        [&*long, &longer, "/a/../b", "../b", ".hidden/x", "a/.b/c", "a//b", "//a", "a/", "a\\..\\b", "/", ".", ".."];
    let shape = &[Size(16)];
    let mut graph = Graph::new().input("x", Type::Float, shape).output("y", Type::Float, shape);
    let mut sum = "x".to_owned();
    for (index, name) in names.into_iter().enumerate() {
        let next = if index + 1 == names.len() { "y".to_owned() } else { format!("{name}.sum") };
        // Once as it is, and once in what is computed of it beforehand.
        let [share, product] = ["share", "product"].map(|what| format!("{name}.{what}"));
        graph = graph
            .weights(name, &[16], &[1.0; 16])
            .node("Neg", &[name], &[&share])
            .node("Mul", &[&sum, &share], &[&product])
            .node("Add", &[&product, name], &[&next]);
        sum = next;
    }
    compile(directory.path(), &graph.write(directory.path(), "model.onnx"), &["--name", "named"]).succeeds();
    let server = Serve::new([directory.path().join("model.wasm")]).start();
    let reply = server.infer("named", &[Tensor::fp32("x", &[16], &[3.0; 16])]);
    // 1 - x, an odd number of times.
    assert_close(&outputs(&reply)[0], &Tensor::fp32("y", &[16], &[-2.0; 16]), 0.0);
}
