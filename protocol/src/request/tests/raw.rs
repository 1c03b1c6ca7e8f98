//! Requests that are one tensor's raw bytes.

use super::*;

fn decode_raw<'a>(body: &'a [u8], model: &'a ModelMetadata) -> Result<InferRequest<'a>, Error> {
    let head = InferHead { inference_header_content_length: Some("0"), ..InferHead::default() };
    decode(&head, body, model, &Limits::default())
}

#[test]
fn the_dynamic_dimension_follows_from_the_bytes() {
    let model = model_of_x();
    for rows in [0, 1, 4] {
        let body = vec![0; rows * 12];
        let request = decode_raw(&body, &model).unwrap();
        assert_eq!(request.inputs[0].shape, [rows as u64, 3]);
        assert_eq!(request.inputs[0].data, body);
    }
    assert_refused(
        decode_raw(&[0; 13], &model),
        400,
        &["input `x`", "of shape [1,3]", "expected 12 bytes of data, got 13"],
    );
}

#[test]
fn every_output_comes_back_binary() {
    let model = model_of_x();
    let plan = decode_raw(&[0; 12], &model).unwrap().plan;
    assert_eq!(plan.outputs.len(), 2);
    assert!(plan.outputs.iter().all(|output| output.binary));
    assert_eq!(plan.id, None);
}

#[test]
fn a_fixed_shape_needs_exactly_its_bytes() {
    let model = model_of(vec![spec("mask", Datatype::Bool, &[2])]);
    assert!(decode_raw(&[1, 0], &model).is_ok());
    assert_refused(decode_raw(&[1], &model), 400, &["input `mask`", "expected 2 bytes of data, got 1"]);
    assert_refused(decode_raw(&[1, 7], &model), 400, &["input `mask`", "neither 0 nor 1"]);
}

#[test]
fn a_body_of_bytes_is_one_element() {
    for shape in [&[1][..], &[-1], &[-1, 1], &[]] {
        let model = model_of(vec![spec("image", Datatype::Bytes, shape)]);
        let request = decode_raw(b"jpeg", &model).unwrap();
        assert!(request.inputs[0].shape.iter().all(|&size| size == 1));
        assert_eq!(request.inputs[0].shape.len(), shape.len());
        assert_eq!(request.inputs[0].data, &b"\x04\0\0\0jpeg"[..]);
    }
    let model = model_of(vec![spec("image", Datatype::Bytes, &[-1, 2])]);
    assert_refused(decode_raw(b"jpeg", &model), 400, &["input `image`", "[-1,2]", "expected one"]);
}

#[test]
fn a_model_with_several_inputs_or_dynamic_dimensions_is_refused() {
    assert_refused(decode_raw(&[0; 14], &model()), 400, &["model `m` has 2 inputs, expected one"]);
    let model = model_of(vec![spec("x", Datatype::Fp32, &[-1, 3, -1])]);
    assert_refused(decode_raw(&[0; 12], &model), 400, &["input `x`", "[-1,3,-1]", "expected at most one"]);
}

#[test]
fn limits_hold() {
    let model = model_of_x();
    let head = InferHead { inference_header_content_length: Some("0"), ..InferHead::default() };
    let limits = Limits::default().with_max_elements(5);
    assert_refused(decode(&head, &[0; 24], &model, &limits), 413, &["input `x`", "6 elements", "at most 5"]);
}

#[test]
fn a_shape_without_elements_takes_an_empty_body() {
    let model = model_of(vec![spec("x", Datatype::Fp32, &[-1, 0])]);
    assert!(decode_raw(&[], &model).is_ok());
    assert_refused(decode_raw(&[0; 4], &model), 400, &["input `x`", "expected 0 bytes"]);
}
