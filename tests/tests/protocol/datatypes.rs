//! Every datatype that the protocol and tract share.

use half::f16;
use samara_tests::datatypes::numbers;
use samara_tests::models;
use samara_tests::onnx::{Graph, Named, Type};
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, binary_request, json_request, outputs};
use serde_json::json;

/// A model of many inputs and outputs: each number comes out as it went in, and where tract adds numbers of its type,
/// once more doubled; truth comes out as its contrary.
fn every_type() -> (Server, Vec<Tensor>, Vec<Tensor>) {
    let shape = &[Named("N")];
    let mut graph = Graph::new().input("bool", Type::Bool, shape).output("not_bool", Type::Bool, shape).node(
        "Not",
        &["bool"],
        &["not_bool"],
    );
    let mut inputs = vec![Tensor::new("bool", "BOOL", &[2], vec![0, 1])];
    let mut expected = vec![Tensor::new("not_bool", "BOOL", &[2], vec![1, 0])];
    for (element, tensor) in numbers() {
        let output = format!("same_{}", tensor.name);
        graph = graph.input(&tensor.name, element, shape).output(&output, element, shape).node(
            "Identity",
            &[&tensor.name],
            &[&output],
        );
        expected.push(Tensor { name: output, ..tensor.clone() });
        inputs.push(tensor);
    }
    for (element, input, sum) in sums() {
        graph = graph.input(&input.name, element, shape).output(&sum.name, element, shape).node(
            "Add",
            &[&input.name, &input.name],
            &[&sum.name],
        );
        inputs.push(input);
        expected.push(sum);
    }
    let server = Serve::new([models::compiled_graph("types", &graph, &[])]).start();
    (server, inputs, expected)
}

/// Numbers that come out right only if they are added in their own type.
fn sums() -> Vec<(Type, Tensor, Tensor)> {
    let sum = |element, datatype: &str, x: &[u8], y: &[u8]| {
        let name = |prefix: &str| format!("{prefix}_{}", datatype.to_lowercase());
        let tensor = |prefix, data: &[u8]| Tensor::new(&name(prefix), datatype, &[2], data.repeat(2));
        (element, tensor("x", x), tensor("y", y))
    };
    let f16 = |value| f16::from_f32(value).to_le_bytes();
    vec![
        sum(Type::Int32, "INT32", &0x1234_5678_i32.to_le_bytes(), &0x2468_acf0_i32.to_le_bytes()),
        sum(Type::Int64, "INT64", &(1_i64 << 61 | 1).to_le_bytes(), &(1_i64 << 62 | 2).to_le_bytes()),
        sum(Type::Float16, "FP16", &f16(0.1), &f16(0.2)),
        sum(Type::Float, "FP32", &0.1_f32.to_le_bytes(), &0.2_f32.to_le_bytes()),
        sum(Type::Double, "FP64", &0.1_f64.to_le_bytes(), &0.2_f64.to_le_bytes()),
    ]
}

#[test]
fn every_datatype_goes_in_and_out() {
    let (server, inputs, expected) = every_type();
    assert_eq!(outputs(&server.send(&json_request("types", &inputs))), expected);
    assert_eq!(outputs(&server.send(&binary_request("types", &inputs))), expected);

    let metadata = server.get("/v2/models/types").expect(200).json();
    for (index, input) in inputs.iter().enumerate() {
        assert_eq!(metadata["inputs"][index], json!({"name": input.name, "datatype": input.datatype, "shape": [-1]}));
    }
}

/// A number that does not fit its datatype is not made to.
#[test]
fn a_number_out_of_range_is_named() {
    let (server, inputs, _) = every_type();
    let cases = [
        ("UINT8", "256"),
        ("UINT8", "-1"),
        ("UINT16", "65536"),
        ("UINT32", "4294967296"),
        ("UINT64", "18446744073709551616"),
        ("INT8", "-129"),
        ("INT16", "32768"),
        ("INT32", "2147483648"),
        ("INT64", "9223372036854775808"),
        ("INT64", "1.5"),
        ("INT32", "1e3"),
        ("FP16", "70000"),
        ("FP32", "1e39"),
        ("FP64", "1e309"),
        ("BOOL", "1"),
        ("BOOL", "\"true\""),
        ("FP32", "\"1\""),
        ("FP32", "null"),
        ("INT64", "true"),
    ];
    for (datatype, element) in cases {
        let body: String = samara_tests::tensor::json_body(&inputs)["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|input| {
                let name = &input["name"];
                if *name == json!(datatype.to_lowercase()) {
                    format!(r#"{{"name":{name},"datatype":"{datatype}","shape":[2],"data":[{element},{element}]}}"#)
                } else {
                    input.to_string()
                }
            })
            .collect::<Vec<_>>()
            .join(",");
        let request = samara_tests::http::Request::post("/v2/models/types/infer", format!("{{\"inputs\":[{body}]}}"));
        let reply = server.send(&request).expect(400);
        assert_says(&reply.error(), &[&format!("`{}`", datatype.to_lowercase()), datatype]);
    }
}

#[test]
fn texts_go_in_and_out() {
    let shape = &[Named("N")];
    let graph = Graph::new().input("words", Type::String, shape).output("same", Type::String, shape).node(
        "Identity",
        &["words"],
        &["same"],
    );
    let server = Serve::new([models::compiled_graph("words", &graph, &[])]).start();
    assert_eq!(server.get("/v2/models/words").json()["inputs"][0]["datatype"], "BYTES");
    for words in [&["seed", "", "größe \"quoted\"\n"][..], &["one"], &[]] {
        let count = [words.len() as u64];
        let input = [Tensor::bytes("words", &count, words)];
        let expected = [Tensor::bytes("same", &count, words)];
        assert_eq!(outputs(&server.send(&json_request("words", &input))), expected);
        assert_eq!(outputs(&server.send(&binary_request("words", &input))), expected);
    }
}
