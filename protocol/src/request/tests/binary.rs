//! Requests whose JSON is followed by binary data.

use super::*;

fn decode_binary<'a>(json: &str, body: &'a [u8], model: &'a ModelMetadata) -> Result<InferRequest<'a>, Error> {
    let head = InferHead {
        content_type: Some("application/octet-stream"),
        inference_header_content_length: Some(&json.len().to_string()),
        ..InferHead::default()
    };
    decode(&head, body, model, &Limits::default())
}

const BOTH: &str = r#"{"inputs":[
    {"name":"mask","shape":[2],"datatype":"BOOL","parameters":{"binary_data_size":2}},
    {"name":"x","shape":[1,3],"datatype":"FP32","parameters":{"binary_data_size":12}}]}"#;

#[test]
fn blobs_follow_in_the_request_s_order_and_are_borrowed() {
    let model = model();
    let x = little_endian(&[1.0, f32::NAN, f32::INFINITY]);
    let body = [BOTH.as_bytes(), &[1, 0], &x].concat();
    let request = decode_binary(BOTH, &body, &model).unwrap();
    assert_eq!(request.inputs[0].data, x);
    assert_eq!(request.inputs[1].data, [1, 0].as_slice());
    for input in &request.inputs {
        assert!(matches!(input.data, std::borrow::Cow::Borrowed(_)));
        assert!(matches!(input.name, std::borrow::Cow::Borrowed(_)));
    }
}

#[test]
fn json_and_binary_inputs_mix() {
    let model = model();
    let json = r#"{"inputs":[
        {"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]},
        {"name":"mask","shape":[2],"datatype":"BOOL","parameters":{"binary_data_size":2}}]}"#;
    let body = [json.as_bytes(), &[0, 1]].concat();
    let request = decode_binary(json, &body, &model).unwrap();
    assert_eq!(request.inputs[0].data, little_endian(&[1.0, 2.0, 3.0]));
    assert_eq!(request.inputs[1].data, [0, 1].as_slice());
}

#[test]
fn a_header_length_of_the_whole_body_is_plain_json() {
    let model = model_of_x();
    assert!(decode_binary(X, X.as_bytes(), &model).is_ok());
}

#[test]
fn a_compressed_body_is_split_after_inflating() {
    let model = model_of(vec![spec("x", Datatype::Fp32, &[-1])]);
    let json = r#"{"inputs":[{"name":"x","shape":[5000],"datatype":"FP32","parameters":{"binary_data_size":20000}}]}"#;
    let body = [json.as_bytes(), &[0; 20_000]].concat();
    let body = compress(Coding::Gzip, &body).unwrap();
    let head = InferHead {
        inference_header_content_length: Some(&json.len().to_string()),
        content_encoding: Some("gzip"),
        ..InferHead::default()
    };
    let request = decode(&head, &body, &model, &Limits::default()).unwrap();
    assert_eq!(request.inputs[0].data.len(), 20_000);
}

#[test]
fn empty_tensors_have_no_bytes() {
    let model = model_of_x();
    let json = r#"{"inputs":[{"name":"x","shape":[0,3],"datatype":"FP32","parameters":{"binary_data_size":0}}]}"#;
    let request = decode_binary(json, json.as_bytes(), &model).unwrap();
    assert_eq!(request.inputs[0].shape, [0, 3]);
    assert!(request.inputs[0].data.is_empty());
}

#[test]
fn missing_and_left_over_bytes_are_refused() {
    let model = model();
    let short = [BOTH.as_bytes(), &[1, 0, 0, 0]].concat();
    assert_refused(
        decode_binary(BOTH, &short, &model),
        400,
        &["input `x`", "`binary_data_size` is 12, but only 2 bytes"],
    );
    let long = [BOTH.as_bytes(), &[0; 17]].concat();
    assert_refused(decode_binary(BOTH, &long, &model), 400, &["3 bytes of binary data follow", "expected none"]);
}

#[test]
fn sizes_must_be_those_of_the_shape() {
    let model = model();
    for (from, to, parts) in [
        ("12", "8", &["input `x`", "FP32 of shape [1,3]", "expected 12 bytes of data, got 8"][..]),
        ("12", "-1", &["input `x`", "invalid `parameters`"]),
        ("12", "\"12\"", &["input `x`", "invalid `parameters`"]),
        ("12", "18446744073709551615", &["input `x`", "only 12 bytes"]),
        ("[1,3]", "[2,3]", &["input `x`", "expected 24 bytes of data, got 12"]),
    ] {
        let json = BOTH.replace(from, to);
        let body = [json.as_bytes(), &[0; 14]].concat();
        assert_refused(decode_binary(&json, &body, &model), 400, parts);
    }
}

#[test]
fn booleans_must_be_zero_or_one() {
    let body = [BOTH.as_bytes(), &[1, 2], &[0; 12]].concat();
    assert_refused(decode_binary(BOTH, &body, &model()), 400, &["input `mask`", "BOOL element 1 is neither 0 nor 1"]);
}

#[test]
fn data_comes_in_one_form_only() {
    let json = X.replace(r#""data""#, r#""parameters":{"binary_data_size":12},"data""#);
    let body = [json.as_bytes(), &[0; 12]].concat();
    assert_refused(decode_binary(&json, &body, &model_of_x()), 400, &["input `x`", "both `data`", "expected one"]);
}

#[test]
fn bytes_elements_are_framed_and_counted() {
    let model = model_of(vec![spec("text", Datatype::Bytes, &[-1])]);
    let json = |size: usize| {
        format!(
            r#"{{"inputs":[{{"name":"text","shape":[2],"datatype":"BYTES","parameters":{{"binary_data_size":{size}}}}}]}}"#
        )
    };
    for (data, expected) in [
        (&b"\x01\0\0\0\xff\0\0\0\0"[..], None),
        (b"\x01\0\0\0a", Some("expected 2 BYTES elements, got 1")),
        (b"", Some("expected 2 BYTES elements, got 0")),
        (b"\x01\0\0\0a\x02\0\0\0a", Some("BYTES element 1 runs past")),
        (b"\x01\0\0\0a\x02\0", Some("BYTES element 1 runs past")),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", Some("expected 2 BYTES elements, got 3")),
    ] {
        let json = json(data.len());
        let body = [json.as_bytes(), data].concat();
        let result = decode_binary(&json, &body, &model);
        match expected {
            None => assert_eq!(result.unwrap().inputs[0].data, data),
            Some(expected) => assert_refused(result, 400, &["input `text`", expected]),
        }
    }
}

#[test]
fn the_header_length_must_be_a_number_within_the_body() {
    let model = model_of_x();
    for (length, part) in [
        ("1000", "the body has only"),
        ("18446744073709551615", "the body has only"),
        ("18446744073709551616", "expected a number of bytes"),
        ("-1", "expected a number of bytes"),
        ("+5", "expected a number of bytes"),
        ("abc", "expected a number of bytes"),
        ("", "expected a number of bytes"),
        ("1 2", "expected a number of bytes"),
        ("5", "invalid JSON"),
    ] {
        let head = InferHead { inference_header_content_length: Some(length), ..InferHead::default() };
        assert_refused(decode(&head, X.as_bytes(), &model, &Limits::default()), 400, &[part]);
    }
    let body = format!("{X}{{}}");
    assert_refused(
        decode_binary(&body, body.as_bytes(), &model),
        400,
        &["ends before Inference-Header-Content-Length says"],
    );
}

#[test]
fn a_binary_size_needs_the_header_length() {
    let json = r#"{"inputs":[{"name":"x","shape":[0,3],"datatype":"FP32","parameters":{"binary_data_size":0}}]}"#;
    assert_refused(decode_json(json, &model_of_x()), 400, &["input `x`", "without an Inference-Header-Content-Length"]);
}
