use super::{InferHead, InferRequest, RequestedOutput, decode};
use crate::{Coding, Datatype, Error, Limits, ModelMetadata, TensorSpec, compress};

mod binary;
mod json;
mod raw;

fn spec(name: &str, datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.into(), datatype, shape: shape.into() }
}

fn model_of(inputs: Vec<TensorSpec>) -> ModelMetadata {
    ModelMetadata {
        name: "m".into(),
        version: "1".into(),
        platform: "samara_wasm".into(),
        inputs,
        outputs: vec![spec("scores", Datatype::Fp32, &[-1, 2]), spec("label", Datatype::Bytes, &[-1])],
    }
}

/// Inputs `x`, FP32 of shape [-1,3], and `mask`, BOOL of shape [2].
fn model() -> ModelMetadata {
    model_of(vec![spec("x", Datatype::Fp32, &[-1, 3]), spec("mask", Datatype::Bool, &[2])])
}

/// Only the input `x`, FP32 of shape [-1,3].
fn model_of_x() -> ModelMetadata {
    model_of(vec![spec("x", Datatype::Fp32, &[-1, 3])])
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn decode_json<'a>(body: &'a str, model: &'a ModelMetadata) -> Result<InferRequest<'a>, Error> {
    let head = InferHead::default();
    decode(&head, body.as_bytes(), model, &Limits::default())
}

#[track_caller]
fn assert_refused(result: Result<InferRequest<'_>, Error>, status: u16, parts: &[&str]) {
    let error = result.unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "`{part}` is not in: {error}");
    }
}

const X: &str = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}"#;

#[test]
fn only_json_and_octet_streams_are_taken() {
    let model = model_of_x();
    for content_type in [
        None,
        Some(""),
        Some("application/json"),
        Some("Application/JSON; charset=utf-8"),
        Some("application/octet-stream"),
    ] {
        let head = InferHead { content_type, ..InferHead::default() };
        let request = decode(&head, X.as_bytes(), &model, &Limits::default());
        assert!(request.is_ok(), "{content_type:?}");
    }
    for content_type in ["application/x-www-form-urlencoded", "text/json", "image/png"] {
        let head = InferHead { content_type: Some(content_type), ..InferHead::default() };
        assert_refused(
            decode(&head, X.as_bytes(), &model, &Limits::default()),
            415,
            &[content_type, "-H 'Content-Type: application/json'"],
        );
    }
}

#[test]
fn compressed_bodies_are_decoded() {
    let model = model_of_x();
    let padded = format!("{X}{}", " ".repeat(16 << 10));
    for coding in [Coding::Gzip, Coding::Deflate] {
        let body = compress(coding, padded.as_bytes()).unwrap();
        let head = InferHead {
            content_encoding: Some(coding.name()),
            accept_encoding: Some(coding.name()),
            ..InferHead::default()
        };
        let request = decode(&head, &body, &model, &Limits::default()).unwrap();
        assert_eq!(request.inputs[0].data, little_endian(&[1.0, 2.0, 3.0]));
        assert_eq!(request.plan.coding, Some(coding));
        let limits = Limits::default().with_max_body_bytes(4096);
        assert_refused(decode(&head, &body, &model, &limits), 413, &["4096"]);
    }
    let head = InferHead { content_encoding: Some("br"), ..InferHead::default() };
    assert_refused(decode(&head, X.as_bytes(), &model, &Limits::default()), 415, &["`br`", "gzip"]);
}

#[test]
fn a_tensor_beyond_the_limit_is_refused_before_its_data_is_read() {
    let model = model_of_x();
    let limits = Limits::default().with_max_elements(5);
    let body = X.replace("[1,3]", "[2,3]");
    assert_refused(
        decode(&InferHead::default(), body.as_bytes(), &model, &limits),
        413,
        &["input `x`", "[2,3]", "6 elements", "at most 5"],
    );
    let body = X.replace("[1,3]", "[6148914691236517206,3]");
    assert_refused(
        decode(&InferHead::default(), body.as_bytes(), &model, &limits),
        400,
        &["input `x`", "[6148914691236517206,3]", "64 bits"],
    );
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let model = model_of_x();
    let limits = Limits::default().with_max_body_bytes(X.len() as u64 - 1);
    assert_refused(decode(&InferHead::default(), X.as_bytes(), &model, &limits), 413, &["the body holds more than"]);
}

#[test]
fn an_owned_request_is_the_same_request() {
    let model = model_of_x();
    let request = decode_json(X, &model).unwrap();
    let owned: InferRequest<'static> = request.clone().into_owned();
    assert_eq!(owned, request);
}

#[test]
fn how_many_items_a_request_holds_can_be_told_before_it_is_decoded() {
    let body = br#"{"id": "a", "inputs": [{"name": "x", "data": [[1]], "shape": [3, 2]}, {"shape": [9]}]}"#;
    assert_eq!(crate::items(None, body), Some(3));
    let binary = [&body[..], b"\x00\xff"].concat();
    assert_eq!(crate::items(Some(&body.len().to_string()), &binary), Some(3));
    assert_eq!(crate::items(Some("0"), &binary), None);
    for none in ["", "{}", "[]", r#"{"inputs": []}"#, r#"{"inputs": [{}]}"#, r#"{"inputs": [{"shape": []}]}"#] {
        assert_eq!(crate::items(None, none.as_bytes()), None, "{none}");
    }
    assert_eq!(crate::items(None, br#"{"inputs": [{"shape": [-1]}]}"#), None);
}
