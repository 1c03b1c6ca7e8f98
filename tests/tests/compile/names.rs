//! What tensors are called is nobody's business but the file's.

use samara_tests::onnx::{Graph, Size, Type};
use samara_tests::tensor::Tensor;
use tempfile::tempdir;

use super::{compile, infer};

/// The engine's text has one character for all that is neither a letter nor a digit. YOLO11 has such names.
#[test]
fn names_that_differ_in_a_dot_are_two() {
    let directory = tempdir().unwrap();
    let graph = Graph::new()
        .input("x", Type::Float, &[Size(2)])
        .node("Add", &["x", "x"], &["a.1"])
        .node("Add", &["a.1", "x"], &["a_1"])
        .node("Add", &["a_1", "x"], &["a/1"])
        .node("Mul", &["a.1", "a_1"], &["product"])
        .node("Add", &["product", "a/1"], &["y"])
        .output("y", Type::Float, &[Size(2)]);
    compile(directory.path(), &graph.write(directory.path(), "model.onnx"), &["--name", "names"]).succeeds();
    let output = infer(directory.path(), &Tensor::fp32("x", &[2], &[1.0, -2.0]));
    assert_eq!(output, Tensor::fp32("y", &[2], &[10.0, 16.0]));
}

/// An output of one node with the name of another node, which it takes something from.
#[test]
fn an_output_may_be_called_as_another_node() {
    let directory = tempdir().unwrap();
    let graph = Graph::new()
        .input("x", Type::Float, &[Size(2)])
        // This node is called `Add_sum`.
        .node("Add", &["x", "x"], &["sum"])
        .node("Mul", &["sum", "x"], &["Add_sum"])
        .node("Sub", &["sum", "Add_sum"], &["y"])
        .output("y", Type::Float, &[Size(2)])
        .output("Add_sum", Type::Float, &[Size(2)]);
    compile(directory.path(), &graph.write(directory.path(), "model.onnx"), &["--name", "names"]).succeeds();
    let output = infer(directory.path(), &Tensor::fp32("x", &[2], &[1.0, -2.0]));
    assert_eq!(output, Tensor::fp32("y", &[2], &[0.0, -12.0]));
}
