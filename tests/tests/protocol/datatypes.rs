//! Every datatype that the protocol and tract share.

use half::f16;
use samara_tests::models;
use samara_tests::onnx::{Graph, Named, Type};
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, binary_request, json_request, outputs};
use serde_json::json;

/// Each number type: ONNX's, the protocol's, and two elements of it that are at its ends.
fn numbers() -> Vec<(Type, Tensor)> {
    let tensor =
        |datatype: &str, elements: [&[u8]; 2]| Tensor::new(&datatype.to_lowercase(), datatype, &[2], elements.concat());
    vec![
        (Type::Uint8, tensor("UINT8", [&[0], &[u8::MAX]])),
        (Type::Uint16, tensor("UINT16", [&[0, 0], &u16::MAX.to_le_bytes()])),
        (Type::Uint32, tensor("UINT32", [&[0; 4], &u32::MAX.to_le_bytes()])),
        (Type::Uint64, tensor("UINT64", [&[0; 8], &u64::MAX.to_le_bytes()])),
        (Type::Int8, tensor("INT8", [&i8::MIN.to_le_bytes(), &i8::MAX.to_le_bytes()])),
        (Type::Int16, tensor("INT16", [&i16::MIN.to_le_bytes(), &i16::MAX.to_le_bytes()])),
        (Type::Int32, tensor("INT32", [&i32::MIN.to_le_bytes(), &i32::MAX.to_le_bytes()])),
        (Type::Int64, tensor("INT64", [&i64::MIN.to_le_bytes(), &i64::MAX.to_le_bytes()])),
        (Type::Float16, tensor("FP16", [&f16::MIN.to_le_bytes(), &f16::MAX.to_le_bytes()])),
        (Type::Float, tensor("FP32", [&f32::MIN.to_le_bytes(), &f32::MAX.to_le_bytes()])),
        (Type::Double, tensor("FP64", [&f64::MIN.to_le_bytes(), &f64::MAX.to_le_bytes()])),
    ]
}

/// A model of many inputs and outputs: each number comes out as it went in, and truth as its contrary.
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
    let server = Serve::new([models::compiled_graph("types", &graph, &[])]).start();
    (server, inputs, expected)
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
                if input["datatype"] == datatype {
                    let name = &input["name"];
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

/// Arithmetic in each type that tract has it for.
#[test]
fn numbers_are_computed_in_their_type() {
    let shape = &[Named("N")];
    let cases = [
        (Type::Int32, "INT32", 3_i32.to_le_bytes().to_vec(), 6_i32.to_le_bytes().to_vec()),
        (Type::Int64, "INT64", (1_i64 << 60).to_le_bytes().to_vec(), (1_i64 << 61).to_le_bytes().to_vec()),
        (Type::Float16, "FP16", f16::from_f32(0.1).to_le_bytes().to_vec(), f16::from_f32(0.2).to_le_bytes().to_vec()),
        (Type::Double, "FP64", 0.1_f64.to_le_bytes().to_vec(), 0.2_f64.to_le_bytes().to_vec()),
    ];
    let mut graph = Graph::new();
    for (element, datatype, ..) in &cases {
        let (input, output) = (format!("x_{datatype}"), format!("y_{datatype}"));
        graph = graph.input(&input, *element, shape).output(&output, *element, shape).node(
            "Add",
            &[&input, &input],
            &[&output],
        );
    }
    let server = Serve::new([models::compiled_graph("sums", &graph, &[])]).start();
    let named = |prefix: &str, datatype: &str, data: &Vec<u8>| {
        Tensor::new(&format!("{prefix}_{datatype}"), datatype, &[1], data.clone())
    };
    let inputs: Vec<Tensor> = cases.iter().map(|(_, datatype, x, _)| named("x", datatype, x)).collect();
    let expected: Vec<Tensor> = cases.iter().map(|(_, datatype, _, y)| named("y", datatype, y)).collect();
    assert_eq!(outputs(&server.send(&json_request("sums", &inputs))), expected);
    assert_eq!(outputs(&server.send(&binary_request("sums", &inputs))), expected);
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
