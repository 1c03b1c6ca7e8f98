//! Graphs that cannot be loaded or run, and what is said of them.

use std::fs;
use std::path::{Path, PathBuf};

use samara_tests::models;
use samara_tests::onnx::{self, Graph, Named, Size, Type};
use samara_tests::samara::assert_says;
use samara_tests::tensor::{Tensor, json_request};
use tempfile::tempdir;

use crate::{backends, compile, ort_dylib, serve};

/// The ONNX file beside a component.
fn graph(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "onnx")).unwrap()
}

/// [`onnx::twice`], compiled for the host.
fn twice(directory: &Path) -> PathBuf {
    let elsewhere = tempdir().unwrap();
    compile(directory, "twice", &onnx::twice().write(elsewhere.path(), "twice.onnx"), &[])
}

#[test]
fn what_lies_beside_the_component_has_to_be_its_graph() {
    let directory = tempdir().unwrap();
    let component = twice(directory.path());
    let file = graph(directory.path());
    let name = file.file_name().unwrap().to_str().unwrap();
    let content = fs::read(&file).unwrap();
    fs::write(&file, &content[..content.len() / 2]).unwrap();
    assert_says(&serve(&[&component], "--workers 1").fails(), &["twice", name]);
    fs::copy(models::card("fashion-cnn").onnx(), &file).unwrap();
    assert_says(&serve(&[&component], "--workers 1").fails(), &["twice", name, "not the file", "--nn twice="]);
    fs::remove_file(&file).unwrap();
    assert_says(&serve(&[&component], "--workers 1").fails(), &["twice", name, "cannot read"]);
}

#[test]
fn another_graph_under_the_name_has_to_fit() {
    let directory = tempdir().unwrap();
    let component = twice(directory.path());
    let other = models::card("fashion-cnn").onnx();
    let message = serve(&[&component], &format!("--nn twice={}", other.display())).fails();
    assert_says(&message, &["graph \"twice\"", "x FP32[-1]", "image FP32[-1, 1, 28, 28]"]);
    // One that wants more than the model is given.
    let more = Graph::new()
        .input("x", Type::Float, &[Named("N")])
        .input("z", Type::Float, &[Named("N")])
        .output("y", Type::Float, &[Named("N")])
        .node("Add", &["x", "z"], &["y"])
        .write(directory.path(), "more.onnx");
    let message = serve(&[&component], &format!("--nn twice={}", more.display())).fails();
    assert_says(&message, &["graph \"twice\"", "z FP32[-1]"]);
}

/// A model's graph is there for functions too, in whatever order they are named.
#[test]
fn a_component_may_ask_for_the_graph_of_another() {
    let directory = tempdir().unwrap();
    let component = twice(directory.path());
    let path = component.to_str().unwrap();
    let server = serve(&[&component], &format!("--function {path} --route /again/...")).start();
    // As a function it has the protocol's own handler, which knows no such path.
    assert_eq!(server.get("/again").status, 404);
    assert_eq!(server.send(&json_request("twice", &[Tensor::fp32("x", &[1], &[1.0])])).status, 200);
}

#[test]
fn settings_are_for_graphs_that_are_there() {
    let directory = tempdir().unwrap();
    let component = twice(directory.path());
    let message = serve(&[&component], "--nn thrice,contexts=2").fails();
    assert_says(&message, &["thrice", "--nn thrice=MODEL.onnx"]);
    let message = serve(&[&component], "--nn twice --nn twice").fails();
    assert_says(&message, &["twice", "name"]);
    for setting in ["backend=torch", "device=tpu", "contexts=0", "cores=1"] {
        let run =
            samara_tests::samara::run(["serve", component.to_str().unwrap(), "--nn", &format!("twice,{setting}")]);
        assert_eq!(run.code, Some(2), "{setting}");
        assert_says(&run.stderr, &[setting.split('=').next().unwrap(), "expected"]);
    }
}

#[test]
fn two_graphs_of_one_name_are_refused() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    let first = twice(one.path());
    let onnx = onnx::duo().write(other.path(), "duo.onnx");
    let second = compile(other.path(), "twice", &onnx, &[]);
    assert_says(&serve(&[&first, &second], "--workers 1").fails(), &["twice", "--name"]);
    // Of another version, they are two graphs.
    let second = compile(other.path(), "twice", &onnx, &["--version", "2"]);
    let server = serve(&[&first, &second], "--nn twice:2,contexts=1").start();
    let graph =
        |version: &str| server.get(&format!("/v2/models/twice/versions/{version}")).expect(200).json()["graph"].clone();
    assert_eq!((graph("1")["name"].as_str(), graph("2")["name"].as_str()), (Some("twice"), Some("twice:2")));
    assert_eq!(graph("2")["contexts"], 1);
}

#[test]
fn a_library_that_is_none_and_a_device_that_is_not_there() {
    let directory = tempdir().unwrap();
    let component = twice(directory.path());
    let backend = "--nn twice,backend=onnxruntime";
    let message = serve(&[&component], &format!("{backend} --ort-dylib /nowhere/libonnxruntime.so")).fails();
    assert_says(&message, &["/nowhere/libonnxruntime.so", "pip install onnxruntime", "--ort-dylib"]);
    let text = directory.path().join("text.so");
    fs::write(&text, "no library").unwrap();
    let message = serve(&[&component], &format!("{backend} --ort-dylib {}", text.display())).fails();
    assert_says(&message, &["text.so", "--ort-dylib"]);
    let message = serve(&[&component], "--nn twice,backend=tract,device=cuda:0").fails();
    assert_says(&message, &["device=cuda:0", "tract"]);
    let Some(library) = ort_dylib() else { return };
    // Whatever machine this is, it has no such device.
    let option = format!("{backend},device=cuda:999 --ort-dylib {}", library.display());
    assert_says(&serve(&[&component], &option).fails(), &["device=cuda:999", "onnxruntime"]);
    // Without a GPU, `auto` is the CPU, and says why.
    if !Path::new("/dev/nvidia0").exists() {
        let server = serve(&[&component], &format!("{backend},device=auto --ort-dylib {}", library.display())).start();
        let graph = server.get("/v2/models/twice").expect(200).json()["graph"].clone();
        assert_eq!((graph["device"].as_str(), graph["device_asked"].as_str()), (Some("cpu"), Some("auto")));
        assert!(!graph["fell_back"].as_str().unwrap().is_empty(), "{graph}");
        assert_eq!(server.log().matches("runs on the CPU").count(), 1, "{}", server.log());
    }
}

#[test]
fn inputs_that_do_not_fit_are_the_clients_fault() {
    let directory = tempdir().unwrap();
    let component = twice(directory.path());
    for backend in backends("twice") {
        let server = serve(&[&component], &backend).start();
        let send = |tensor: Tensor| server.send(&json_request("twice", &[tensor]));
        assert_eq!(send(Tensor::int64("x", &[1], &[1])).status, 400);
        assert_eq!(send(Tensor::fp32("x", &[1, 1], &[1.0])).status, 400);
        assert_eq!(send(Tensor::fp32("z", &[1], &[1.0])).status, 400);
        assert_eq!(send(Tensor::fp32("x", &[2], &[1.0, 2.0])).status, 200);
    }
}

/// The graph fits, its inputs fit, and yet it fails: an index is out of range.
#[test]
fn a_graph_that_fails_while_it_runs_says_so() {
    let directory = tempdir().unwrap();
    let graph = Graph::new()
        .input("x", Type::Int64, &[Named("N")])
        .output("y", Type::Float, &[Named("N")])
        .weights("w", &[3], &[1.0, 2.0, 3.0])
        .node("Gather", &["w", "x"], &["y"]);
    let component = compile(directory.path(), "gathers", &graph.write(directory.path(), "gathers.onnx"), &[]);
    for backend in backends("gathers") {
        let server = serve(&[&component], &backend).start();
        let send = |index: i64| server.send(&json_request("gathers", &[Tensor::int64("x", &[1], &[index])]));
        let refused = send(7);
        // ONNX Runtime takes it for an invalid argument.
        let (status, said) =
            if backend.contains("tract") { (500, "the graph failed") } else { (400, "out of data bounds") };
        assert_eq!(refused.status, status, "{backend}: {refused:?}");
        assert_says(&refused.error(), &[said]);
        assert_eq!(send(2).status, 200, "{backend}");
        let statistics = server.get("/v2/models/stats").expect(200).json()["graph_stats"][0].clone();
        assert_eq!((statistics["requests"].as_u64(), statistics["failures"].as_u64()), (Some(2), Some(1)), "{backend}");
    }
}

#[test]
fn shapes_that_the_graph_does_not_take() {
    let directory = tempdir().unwrap();
    let graph = Graph::new()
        .input("x", Type::Float, &[Named("N"), Size(3)])
        .output("y", Type::Float, &[Named("N"), Size(3)])
        .node("Relu", &["x"], &["y"]);
    let component = compile(directory.path(), "relu", &graph.write(directory.path(), "relu.onnx"), &[]);
    let server = serve(&[&component], "--workers 1").start();
    let send = |shape: &[u64], count: usize| {
        server.send(&json_request("relu", &[Tensor::fp32("x", shape, &vec![-1.0; count])])).status
    };
    // Any number of rows, and back to the first.
    for rows in [1, 2, 5, 1] {
        assert_eq!(send(&[rows, 3], 3 * rows as usize), 200);
    }
    assert_eq!(send(&[2, 4], 8), 400);
}
