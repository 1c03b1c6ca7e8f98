//! Every datatype, raw and typed, with the same outputs as over HTTP.

use samara_tests::datatypes::numbers;
use samara_tests::grpc::{INFER, outputs, typed};
use samara_tests::models;
use samara_tests::onnx::{Graph, Named, Type};
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{self, Tensor, binary_request};

/// Each datatype: the numbers at their ends, and both truths.
fn tensors() -> Vec<(Type, Tensor)> {
    let mut tensors = numbers();
    tensors.push((Type::Bool, Tensor::new("bool", "BOOL", &[2], vec![0, 1])));
    tensors
}

/// A model that gives each back as it came.
fn same(name: &str, tensors: Vec<(Type, Tensor)>) -> (Server, Vec<Tensor>) {
    let shape = &[Named("N")];
    let mut graph = Graph::new();
    let mut inputs = Vec::new();
    for (element, tensor) in tensors {
        let output = format!("same_{}", tensor.name);
        graph = graph.input(&tensor.name, element, shape).output(&output, element, shape).node(
            "Identity",
            &[&tensor.name],
            &[&output],
        );
        inputs.push(tensor);
    }
    (Serve::new([models::compiled_graph(name, &graph, &[])]).grpc().start(), inputs)
}

#[test]
fn every_datatype_goes_in_and_out_as_over_http() {
    let (server, inputs) = same("same", tensors());
    let over_http = tensor::outputs(&server.send(&binary_request("same", &inputs)));
    for (output, input) in over_http.iter().zip(&inputs) {
        assert_eq!((&output.datatype, &output.data), (&input.datatype, &input.data));
    }
    assert_eq!(server.grpc().infer("same", &inputs).unwrap(), over_http);
}

#[test]
fn typed_contents_are_taken_too() {
    let typed_ones = tensors().into_iter().filter(|(_, tensor)| tensor.datatype != "FP16").collect();
    let (server, inputs) = same("same-typed", typed_ones);
    let over_http = tensor::outputs(&server.send(&binary_request("same-typed", &inputs)));
    let reply = server.grpc().call(INFER, typed("same-typed", &inputs)).unwrap();
    assert_eq!(outputs(&reply), over_http);
}

#[test]
fn texts_go_in_and_out() {
    let shape = &[Named("N")];
    let graph = Graph::new().input("words", Type::String, shape).output("same", Type::String, shape).node(
        "Identity",
        &["words"],
        &["same"],
    );
    let server = Serve::new([models::compiled_graph("words", &graph, &[])]).grpc().start();
    let client = server.grpc();
    for words in [&["seed", "", "größe \"quoted\"\n"][..], &["one"], &[]] {
        let count = [words.len() as u64];
        let input = [Tensor::bytes("words", &count, words)];
        let expected = [Tensor::bytes("same", &count, words)];
        assert_eq!(client.infer("words", &input).unwrap(), expected);
        let reply = client.call(INFER, typed("words", &input)).unwrap();
        assert_eq!(outputs(&reply), expected);
    }
}
