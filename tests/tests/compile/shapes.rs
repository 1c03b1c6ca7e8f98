//! `--input NAME=D0,D1,…`, and dimensions that need it.

use samara_tests::models;
use samara_tests::onnx::{self, Graph, Named, Size, Type, Unknown};
use samara_tests::samara::{self, assert_says};
use serde_json::json;
use tempfile::tempdir;

use super::{compile, refusal};

#[test]
fn a_dimension_that_must_be_known_is_named_with_what_to_say() {
    let directory = tempdir().unwrap();
    let card = models::card("ppocrv4-rec");
    let message = refusal(directory.path(), &card.onnx(), &[]);
    assert_says(&message, &["dimension 0 of \"x\"", "dimension 3 of \"x\"", "--input x=1,3,", "dynamic"]);
}

/// Nothing to do with dimensions is put down to them.
#[test]
fn an_unsupported_operator_is_not_put_down_to_dimensions() {
    let directory = tempdir().unwrap();
    let graph = Graph::new()
        .input("pixels", Type::Float, &[Unknown, Size(3), Unknown])
        .output("y", Type::Float, &[Unknown])
        .node("Frobnicate", &["pixels"], &["y"]);
    let message = refusal(directory.path(), &graph.write(directory.path(), "model.onnx"), &[]);
    assert!(!message.contains("--input"), "{message}");
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let directory = tempdir().unwrap();
    let path = onnx::duo().write(directory.path(), "model.onnx");
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--input", "c=1,2"], &["--input c", "no such input", "a, b"]),
        (&["--input", "a=1,2,3"], &["--input a", "3 dimensions", "2"]),
        (&["--input", "a=1,5"], &["--input a", "dimension 1 is 2", "not 5"]),
        (&["--input", "a=rows,columns"], &["--input a", "dimension 1 is 2", "columns"]),
        // The batch of one is not that of the other.
        (&["--input", "a=4,2", "--input", "b=5,2"], &[]),
    ];
    for (options, texts) in cases {
        assert_says(&refusal(directory.path(), &path, options), texts);
    }
}

#[test]
fn what_is_no_shape_is_bad_usage() {
    let directory = tempdir().unwrap();
    let path = onnx::twice().write(directory.path(), "model.onnx");
    for shape in ["x", "=1", "x=1,,2", "x=-1", "x=0", "x=1.5", "x=99999999999999999999"] {
        let run = compile(directory.path(), &path, &["--input", shape]);
        assert_eq!(run.code, Some(2), "{shape}: {}", run.stderr);
        assert_says(&run.stderr, &["error: ", "--input"]);
    }
}

#[test]
fn a_fixed_dimension_is_fixed_and_a_named_one_is_not() {
    let directory = tempdir().unwrap();
    let path = onnx::twice().write(directory.path(), "model.onnx");
    let report = compile(directory.path(), &path, &["--json", "--name", "twice", "--input", "x=5"]).succeeds().json();
    assert_eq!(report["inputs"], json!([{"name": "x", "datatype": "FP32", "shape": [5]}]));
    assert_eq!(report["outputs"], json!([{"name": "y", "datatype": "FP32", "shape": [5]}]));

    let report =
        compile(directory.path(), &path, &["--json", "--name", "twice", "--input", "x=rows"]).succeeds().json();
    assert_eq!(report["inputs"][0]["shape"], json!([-1]));
    assert_eq!(report["outputs"][0]["shape"], json!([-1]));
}

/// As ONNX's shape inference and ONNX Runtime's quantization write the shapes of all that nodes make.
#[test]
fn names_that_the_file_gives_to_what_nodes_make_are_no_obstacle() {
    let directory = tempdir().unwrap();
    let shape = &[Named("N"), Size(3)];
    let graph = Graph::new()
        .input("x", Type::Float, shape)
        .declared("sum", Type::Float, shape)
        .output("y", Type::Float, shape)
        .node("Add", &["x", "x"], &["sum"])
        .node("Mul", &["sum", "x"], &["y"]);
    let path = graph.write(directory.path(), "model.onnx");
    for (given, expected) in [("x=5,3", 5), ("x=rows,3", -1)] {
        let report =
            compile(directory.path(), &path, &["--json", "--name", "named", "--input", given]).succeeds().json();
        assert_eq!(report["outputs"], json!([{"name": "y", "datatype": "FP32", "shape": [expected, 3]}]));
    }
}

/// As PyTorch's exporter calls sizes that it has computed.
#[test]
fn a_size_may_have_another_name_than_the_input_has_for_it() {
    let directory = tempdir().unwrap();
    let graph = Graph::new()
        .input("x", Type::Float, &[Named("N"), Size(3)])
        .declared("sum", Type::Float, &[Named("s39"), Size(3)])
        .output("y", Type::Float, &[Named("s40"), Size(3)])
        .node("Add", &["x", "x"], &["sum"])
        .node("Mul", &["sum", "x"], &["y"]);
    let path = graph.write(directory.path(), "model.onnx");
    let report = compile(directory.path(), &path, &["--json", "--name", "named"]).succeeds().json();
    assert_eq!(report["outputs"], json!([{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]));
}

/// As exporters from Paddle and TensorFlow write shapes.
#[test]
fn sizes_that_are_computed_in_32_bits_may_be_dynamic() {
    let directory = tempdir().unwrap();
    let ints = |graph: Graph, name: &str, value: i32| graph.integers(name, &[1], &[value]);
    let cast = |graph: Graph, from: &str, to: &str, element: Type| {
        graph.node("Cast", &[from], &[to]).attribute_of_one("to", i64::from(element as i32))
    };
    let mut graph = Graph::new().input("x", Type::Float, &[Named("N"), Size(6), Named("W")]);
    for (name, value) in [("zero", 0), ("one", 1), ("two", 2), ("three", 3)] {
        graph = ints(graph, name, value);
    }
    graph = cast(graph.node("Shape", &["x"], &["shape"]), "shape", "narrow", Type::Int32)
        .declared("narrow", Type::Int32, &[Size(3)])
        .node("Slice", &["narrow", "zero", "one"], &["items"])
        .node("Slice", &["narrow", "two", "three"], &["width"])
        .node("Slice", &["narrow", "one", "three"], &["rest"])
        .node("Mul", &["width", "three"], &["wider"])
        .node("Concat", &["items", "two", "wider"], &["wanted"])
        .attribute_of_one("axis", 0);
    graph = cast(graph, "wanted", "wide", Type::Int64).node("Reshape", &["x", "wide"], &["y"]);
    // They have other uses, as they were.
    graph = cast(graph.node("Abs", &["items"], &["same"]), "same", "count", Type::Float);
    let path = graph
        .node("Mul", &["y", "count"], &["scaled"])
        .output("scaled", Type::Float, &[Unknown, Unknown, Unknown])
        .output("rest", Type::Int32, &[Size(2)])
        .write(directory.path(), "model.onnx");
    let options = ["--json", "--name", "sizes", "--input", "x=N,6,W"];
    let report = compile(directory.path(), &path, &options).succeeds().json();
    assert_eq!(report["outputs"][0]["shape"], json!([-1, 2, -1]));
}

#[test]
fn an_input_given_twice_is_refused() {
    let directory = tempdir().unwrap();
    let path = onnx::twice().write(directory.path(), "model.onnx");
    let run = compile(directory.path(), &path, &["--input", "x=5", "--input", "x=6"]);
    assert_ne!(run.code, Some(0), "{}", run.stdout);
    assert_says(&run.stderr, &["error: ", "x"]);
}

#[test]
fn unknown_vector_instructions_are_bad_usage() {
    let run = samara::run(["compile", "model.onnx", "--simd", "avx512"]);
    assert_eq!(run.code, Some(2));
    assert_says(&run.stderr, &["error: ", "relaxed", "baseline"]);
}

#[test]
fn kernels_for_unknown_processors_are_bad_usage() {
    for tune in ["z80", "", "Skylake"] {
        let run = samara::run(["compile", "model.onnx", "--tune", tune]);
        assert_eq!(run.code, Some(2));
        assert_says(&run.stderr, &["error: ", tune, "x86-64, skylake or aarch64"]);
    }
}
