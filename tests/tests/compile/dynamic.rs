//! Graphs of which more than one dimension is dynamic, as transformers are exported, compiled so and run.

use samara_tests::onnx::{Graph, Named, Size, Type, Unknown};
use samara_tests::tensor::Tensor;
use tempfile::tempdir;

use super::{compile, infer};

fn graph(input: &str, integers: &[(&str, &[i64], i64)]) -> Graph {
    let mut graph = Graph::new().input(input, Type::Int64, &[Named("batch"), Named("tokens")]);
    for (name, shape, value) in integers {
        graph = graph.bytes(name, Type::Int64, shape, &value.to_le_bytes());
    }
    graph
}

fn cast(graph: Graph, from: &str, to: &str, element: Type) -> Graph {
    graph.node("Cast", &[from], &[to]).attribute_of_one("to", i64::from(element as i32))
}

/// As PyTorch's exporter writes `mask[batch, token]`: a flat tensor, and places that are computed of its sizes.
#[test]
fn a_mask_may_be_looked_up_at_places_that_depend_on_its_sizes() {
    let directory = tempdir().unwrap();
    let scalars = [("zero", &[][..], 0), ("one", &[], 1), ("first", &[1], 0), ("second", &[1], 1)];
    let graph = graph("mask", &scalars)
        .node("Shape", &["mask"], &["shape"])
        .node("Gather", &["shape", "zero"], &["batch"])
        .node("Gather", &["shape", "one"], &["tokens"])
        .node("Gather", &["shape", "second"], &["width"])
        .node("Range", &["zero", "batch", "one"], &["items"])
        .node("Unsqueeze", &["items", "second"], &["item"])
        .node("Range", &["zero", "tokens", "one"], &["places"])
        .node("Unsqueeze", &["places", "first"], &["place"])
        .node("Mul", &["item", "width"], &["start"])
        .node("Add", &["start", "place"], &["at"]);
    let graph = cast(graph, "mask", "truth", Type::Bool)
        .node("Flatten", &["truth"], &["flat"])
        .attribute_of_one("axis", 2)
        .node("Gather", &["flat", "at"], &["found"])
        .attribute_of_one("axis", 0);
    let graph = cast(graph, "found", "y", Type::Int64).output("y", Type::Int64, &[Unknown, Unknown, Unknown]);
    compile(directory.path(), &graph.write(directory.path(), "model.onnx"), &["--name", "mask"]).succeeds();
    for (shape, mask) in [([2, 3], &[1, 1, 0, 7, 0, 0][..]), ([1, 4], &[0, 1, 0, 1]), ([3, 1], &[1, 0, 1])] {
        let expected: Vec<i64> = mask.iter().map(|&number| i64::from(number != 0)).collect();
        let output = infer(directory.path(), &Tensor::int64("mask", &shape, mask));
        assert_eq!(output, Tensor::int64("y", &[shape[0], shape[1], 1], &expected));
    }
}

/// As RoBERTa counts its positions: those of padding, here 1, are 1, and the others count from 2.
#[test]
fn positions_may_be_counted() {
    let directory = tempdir().unwrap();
    let graph = graph("ids", &[("padding", &[], 1)]).node("Equal", &["ids", "padding"], &["is"]).node(
        "Not",
        &["is"],
        &["text"],
    );
    let graph = cast(cast(graph, "text", "narrow", Type::Int32), "narrow", "wide", Type::Int64).node(
        "CumSum",
        &["wide", "padding"],
        &["count"],
    );
    let graph = cast(graph, "count", "counted", Type::Int32).node("Mul", &["counted", "narrow"], &["of_text"]);
    let graph = cast(graph, "of_text", "position", Type::Int64).node("Add", &["position", "padding"], &["y"]).output(
        "y",
        Type::Int64,
        &[Named("batch"), Named("tokens")],
    );
    compile(directory.path(), &graph.write(directory.path(), "model.onnx"), &["--name", "positions"]).succeeds();
    for (shape, ids, positions) in
        [([2, 3], &[5, 6, 7, 8, 1, 1][..], &[2, 3, 4, 2, 1, 1][..]), ([1, 4], &[1, 1, 9, 0], &[1, 1, 2, 3])]
    {
        let output = infer(directory.path(), &Tensor::int64("ids", &shape, ids));
        assert_eq!(output, Tensor::int64("y", &shape, positions));
    }
}

/// As what takes a sound does: nothing is left of fewer than 16 numbers.
#[test]
fn a_dimension_may_have_a_least_size() {
    let directory = tempdir().unwrap();
    let graph = Graph::new()
        .input("x", Type::Float, &[Named("batch"), Size(1), Named("samples")])
        .weights("sum", &[1, 1, 16], &[1.0; 16])
        .node("Conv", &["x", "sum"], &["y"])
        .output("y", Type::Float, &[Named("batch"), Size(1), Unknown]);
    compile(directory.path(), &graph.write(directory.path(), "model.onnx"), &["--name", "sums"]).succeeds();
    let numbers: Vec<f32> = (0..34_u8).map(f32::from).collect();
    let output = infer(directory.path(), &Tensor::fp32("x", &[2, 1, 17], &numbers));
    assert_eq!(output, Tensor::fp32("y", &[2, 1, 2], &[120.0, 136.0, 392.0, 408.0]));
}
