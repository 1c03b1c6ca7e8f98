//! Graphs that cannot be: operators that nobody has, tensors that nothing makes.

use samara_tests::onnx::{Graph, Size, Type};
use samara_tests::samara::assert_says;
use tempfile::tempdir;

use super::refusal;

fn graph() -> Graph {
    Graph::new().input("x", Type::Float, &[Size(2)]).output("y", Type::Float, &[Size(2)])
}

#[test]
fn an_unsupported_operator_is_named_with_its_node() {
    let directory = tempdir().unwrap();
    let graph = graph().node("Relu", &["x"], &["middle"]).node("Frobnicate", &["middle"], &["y"]);
    let path = graph.write(directory.path(), "model.onnx");
    let message = refusal(directory.path(), &path, &[]);
    assert_says(&message, &["Frobnicate", "Frobnicate_y", "not supported"]);
    assert!(!message.contains("Relu"), "{message}");
}

#[test]
fn an_operator_of_another_domain_is_named_with_its_domain() {
    let directory = tempdir().unwrap();
    let graph = graph().node_of("com.example", "Teleport", &["x"], &["y"]);
    let path = graph.write(directory.path(), "model.onnx");
    let message = refusal(directory.path(), &path, &[]);
    assert_says(&message, &["com.example.Teleport", "Teleport_y"]);
}

/// An operator of somebody's own is not ONNX's of the same name.
#[test]
fn a_known_name_in_another_domain_is_not_the_known_operator() {
    let directory = tempdir().unwrap();
    let graph = graph().node_of("com.example", "Relu", &["x"], &["y"]);
    let path = graph.write(directory.path(), "model.onnx");
    let message = refusal(directory.path(), &path, &[]);
    assert_says(&message, &["com.example.Relu", "Relu_y"]);
}

#[test]
fn every_unsupported_operator_is_named_once() {
    let directory = tempdir().unwrap();
    let graph = graph()
        .node("Frobnicate", &["x"], &["a"])
        .node("Frobnicate", &["a"], &["b"])
        .node("Frobnicate", &["b"], &["c"])
        .node("Transmogrify", &["c"], &["y"]);
    let path = graph.write(directory.path(), "model.onnx");
    let message = refusal(directory.path(), &path, &[]);
    assert_says(&message, &["Frobnicate", "3 nodes", "Frobnicate_a", "Transmogrify_y"]);
    assert_eq!(message.matches("Transmogrify (").count(), 1, "{message}");
}

#[test]
fn a_tensor_that_nothing_makes_is_named() {
    let directory = tempdir().unwrap();
    let path = graph().node("Add", &["x", "ghost"], &["y"]).write(directory.path(), "model.onnx");
    assert_says(&refusal(directory.path(), &path, &[]), &["ghost"]);

    let path = graph().node("Relu", &["x"], &["z"]).write(directory.path(), "model.onnx");
    assert_says(&refusal(directory.path(), &path, &[]), &["\"y\""]);
}

#[test]
fn a_graph_that_goes_round_in_circles_is_refused() {
    let directory = tempdir().unwrap();
    let graph = graph().node("Add", &["x", "b"], &["a"]).node("Add", &["a", "x"], &["b"]).node("Relu", &["b"], &["y"]);
    let path = graph.write(directory.path(), "model.onnx");
    refusal(directory.path(), &path, &[]);
}

/// What a model contradicts itself in is told with its name, whatever finds it.
#[test]
fn shapes_that_do_not_go_together_are_refused() {
    let directory = tempdir().unwrap();
    let graph = graph().weights("w", &[3], &[1.0; 3]).node("Add", &["x", "w"], &["y"]);
    let path = graph.write(directory.path(), "model.onnx");
    assert_says(&refusal(directory.path(), &path, &[]), &["Add_y"]);
}

#[test]
fn a_type_that_the_protocol_lacks_is_named() {
    let directory = tempdir().unwrap();
    let graph = Graph::new().input("wave", Type::Complex64, &[Size(2)]).output("y", Type::Complex64, &[Size(2)]).node(
        "Identity",
        &["wave"],
        &["y"],
    );
    let path = graph.write(directory.path(), "model.onnx");
    assert_says(&refusal(directory.path(), &path, &[]), &["Complex64"]);
}
