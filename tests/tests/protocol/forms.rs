//! The forms of requests and replies: JSON, JSON with bytes behind it, and bytes alone.

use samara_tests::http::Request;
use samara_tests::models;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, binary_request, infer_path, json_body, json_request, outputs, with_binary};
use serde_json::{Value, json};

use super::{duo, expected, inputs};

#[test]
fn json_both_ways() {
    let server = duo();
    let reply = server.send(&json_request("duo", &inputs())).expect(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    assert_eq!(reply.header("inference-header-content-length"), None);
    assert_eq!(
        reply.json(),
        json!({
            "model_name": "duo",
            "model_version": "1",
            "outputs": [
                {"name": "sum", "datatype": "FP32", "shape": [1, 2], "data": [8.0, -1.0]},
                {"name": "product", "datatype": "FP32", "shape": [1, 2], "data": [12.0, -0.75]},
                {"name": "quotient", "datatype": "FP32", "shape": [1, 2], "data": [3.0, -3.0]},
                {"name": "larger", "datatype": "BOOL", "shape": [1, 2], "data": [true, false]},
            ],
        })
    );
}

#[test]
fn json_may_be_nested_like_the_shape() {
    let server = duo();
    let nested = json!({
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]},
            {"name": "b", "datatype": "FP32", "shape": [2, 2], "data": [10.0, 20, 3e1, 40]},
        ],
        "outputs": [{"name": "sum"}],
    });
    let reply = server.send(&Request::post_json(&infer_path("duo"), &nested));
    assert_eq!(outputs(&reply), [Tensor::fp32("sum", &[2, 2], &[11.0, 22.0, 33.0, 44.0])]);
}

#[test]
fn inputs_may_come_in_any_order() {
    let server = duo();
    let [a, b] = inputs();
    let reply = server.send(&json_request("duo", &[b.clone(), a.clone()]));
    assert_eq!(outputs(&reply), expected());
    let reply = server.send(&binary_request("duo", &[b, a]));
    assert_eq!(outputs(&reply), expected());
}

#[test]
fn an_id_comes_back() {
    let server = duo();
    for id in ["42", "a \"quoted\" one\n", "größe", ""] {
        let mut body = json_body(&inputs());
        body["id"] = json!(id);
        let reply = server.send(&Request::post_json(&infer_path("duo"), &body)).expect(200);
        assert_eq!(reply.json()["id"], json!(id));
    }
    let reply = server.send(&json_request("duo", &inputs()));
    assert_eq!(reply.json().get("id"), None);
}

#[test]
fn binary_both_ways() {
    let reply = duo().send(&binary_request("duo", &inputs()));
    assert_eq!(outputs(&reply), expected());
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    let length: usize = reply.header("inference-header-content-length").unwrap().parse().unwrap();
    let json: Value = serde_json::from_slice(&reply.body[..length]).unwrap();
    let sizes: Vec<_> = (0..4).map(|index| json["outputs"][index]["parameters"]["binary_data_size"].as_u64()).collect();
    assert_eq!(sizes, [Some(8), Some(8), Some(8), Some(2)]);
    assert_eq!(json["outputs"][0].get("data"), None);
    assert_eq!(reply.body.len(), length + 8 + 8 + 8 + 2);
}

#[test]
fn one_input_may_be_binary_and_the_other_not() {
    let server = duo();
    let [a, b] = inputs();
    let json = json!({
        "inputs": [
            {"name": "b", "datatype": "FP32", "shape": b.shape, "data": b.elements()},
            {"name": "a", "datatype": "FP32", "shape": a.shape, "parameters": {"binary_data_size": a.data.len()}},
        ],
    });
    let reply = server.send(&with_binary(&infer_path("duo"), &json.to_string(), &a.data));
    assert_eq!(outputs(&reply), expected());
    assert_eq!(reply.header("inference-header-content-length"), None);
}

#[test]
fn one_output_may_be_binary_and_the_other_not() {
    let server = duo();
    let mut body = json_body(&inputs());
    body["outputs"] = json!([
        {"name": "sum", "parameters": {"binary_data": true}},
        {"name": "product"},
        {"name": "larger", "parameters": {"binary_data": true}},
    ]);
    let reply = server.send(&Request::post_json(&infer_path("duo"), &body));
    let [sum, product, _, larger] = expected();
    assert_eq!(outputs(&reply), [sum, product, larger]);
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
}

#[test]
fn an_output_may_stay_json_where_all_others_are_binary() {
    let server = duo();
    let mut body = json_body(&inputs());
    body["parameters"] = json!({"binary_data_output": true});
    body["outputs"] = json!([{"name": "sum"}, {"name": "product", "parameters": {"binary_data": false}}]);
    let reply = server.send(&Request::post_json(&infer_path("duo"), &body));
    let [sum, product, ..] = expected();
    assert_eq!(outputs(&reply), [sum, product]);
    let length: usize = reply.header("inference-header-content-length").unwrap().parse().unwrap();
    let json: Value = serde_json::from_slice(&reply.body[..length]).unwrap();
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 8);
    assert_eq!(json["outputs"][1]["data"], json!([12.0, -0.75]));
}

#[test]
fn bytes_alone_are_the_only_input() {
    let server = Serve::new([models::twice()]).start();
    let input = Tensor::fp32("x", &[3], &[1.0, 2.0, -0.25]);
    let request = Request::post(&infer_path("twice"), input.data).header("inference-header-content-length", "0");
    let reply = server.send(&request);
    assert_eq!(outputs(&reply), [Tensor::fp32("y", &[3], &[2.0, 4.0, -0.5])]);
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert!(reply.header("inference-header-content-length").is_some());
}

/// A batch of none is a batch.
#[test]
fn no_elements_are_elements() {
    let server = duo();
    let empty = [Tensor::fp32("a", &[0, 2], &[]), Tensor::fp32("b", &[0, 2], &[])];
    for request in [json_request("duo", &empty), binary_request("duo", &empty)] {
        let reply = server.send(&request);
        // Not every graph can; but the answer is one.
        assert!(matches!(reply.status, 200 | 400), "{:?}", reply.body);
        if reply.status == 200 {
            assert_eq!(outputs(&reply)[0], Tensor::fp32("sum", &[0, 2], &[]));
        }
    }
}

/// Numbers come through as they are, to the last bit.
#[test]
fn numbers_keep_every_bit() {
    let server = Serve::new([models::twice()]).start();
    let values = [0.1, 1.0 / 3.0, f32::MIN_POSITIVE, 1e-45, 16_777_217.0, 1.7e38, -0.0, 123_456.79];
    let input = [Tensor::fp32("x", &[8], &values)];
    let doubled = [Tensor::fp32("y", &[8], &values.map(|value| value * 2.0))];
    assert_eq!(outputs(&server.send(&json_request("twice", &input))), doubled);
    assert_eq!(outputs(&server.send(&binary_request("twice", &input))), doubled);
}

/// JSON has no number for these, bytes have.
#[test]
fn what_is_no_number_goes_out_as_bytes_only() {
    let server = duo();
    let input = [Tensor::fp32("a", &[1, 2], &[0.0, 1.0]), Tensor::fp32("b", &[1, 2], &[0.0, 0.0])];
    let reply = server.send(&json_request("duo", &input)).expect(400);
    let message = reply.error();
    assert!(message.contains("`quotient`") && message.contains("binary_data"), "{message}");

    let reply = server.send(&binary_request("duo", &input));
    let quotient = outputs(&reply)[2].as_fp32();
    assert!(quotient[0].is_nan() && quotient[1] == f32::INFINITY, "{quotient:?}");

    let mut body = json_body(&input);
    body["outputs"] = json!([{"name": "sum"}]);
    let reply = server.send(&Request::post_json(&infer_path("duo"), &body));
    assert_eq!(outputs(&reply), [Tensor::fp32("sum", &[1, 2], &[0.0, 1.0])]);
}

#[test]
fn what_is_no_number_comes_in_as_bytes() {
    let server = Serve::new([models::twice()]).start();
    let input = [Tensor::fp32("x", &[3], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY])];
    let values = outputs(&server.send(&binary_request("twice", &input)))[0].as_fp32();
    assert!(values[0].is_nan(), "{values:?}");
    assert_eq!(values[1..], [f32::INFINITY, f32::NEG_INFINITY]);
}

/// What a client says and this server does not know is passed over.
#[test]
fn unknown_members_and_parameters_are_passed_over() {
    let server = duo();
    let mut body = json_body(&inputs());
    body["from_the_future"] = json!({"deep": [1, 2, {"deeper": null}]});
    body["parameters"] = json!({"priority": 3, "cohort": 1000});
    body["inputs"][0]["note"] = json!("mine");
    let reply = server.send(&Request::post_json(&infer_path("duo"), &body));
    assert_eq!(outputs(&reply), expected());
}
