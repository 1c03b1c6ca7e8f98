use std::borrow::Cow;

use super::encode;
use crate::{Coding, Datatype, ModelMetadata, OutputTensor, RequestedOutput, ResponsePlan, TensorSpec, decompress};

fn model(outputs: &[(&str, Datatype)]) -> ModelMetadata {
    ModelMetadata {
        name: "m \"1\"".into(),
        version: "2".into(),
        platform: "samara_wasm".into(),
        inputs: vec![],
        outputs: outputs
            .iter()
            .map(|&(name, datatype)| TensorSpec { name: name.into(), datatype, shape: vec![-1] })
            .collect(),
    }
}

fn tensor<'a>(name: &'a str, datatype: Datatype, shape: &'a [u64], data: &'a [u8]) -> OutputTensor<'a> {
    OutputTensor { name: Cow::Borrowed(name), datatype, shape: Cow::Borrowed(shape), data: Cow::Borrowed(data) }
}

fn plan(outputs: &[(usize, bool)]) -> ResponsePlan {
    ResponsePlan {
        outputs: outputs.iter().map(|&(index, binary)| RequestedOutput { index, binary }).collect(),
        ..ResponsePlan::default()
    }
}

/// The JSON `data` of one output of the model.
fn json_data(datatype: Datatype, count: u64, data: &[u8]) -> String {
    let model = model(&[("y", datatype)]);
    let shape = [count];
    let outputs = [tensor("y", datatype, &shape, data)];
    let body = encode(&plan(&[(0, false)]), &model, &outputs).unwrap().body;
    let text = String::from_utf8(body).unwrap();
    let (_, data) = text.split_once(r#""data":"#).unwrap();
    data.strip_suffix("}]}").unwrap().into()
}

#[test]
fn json_replies_repeat_the_id_and_name_the_model() {
    let model = model(&[("y", Datatype::Uint8)]);
    let mut plan = plan(&[(0, false)]);
    plan.id = Some("a\n7".into());
    let outputs = [tensor("y", Datatype::Uint8, &[2, 1], &[1, 2])];
    let reply = encode(&plan, &model, &outputs).unwrap();
    assert_eq!(reply.content_type, "application/json");
    assert_eq!(reply.inference_header_content_length, None);
    assert_eq!(reply.content_encoding, None);
    assert_eq!(
        String::from_utf8(reply.body).unwrap(),
        concat!(
            r#"{"id":"a\n7","model_name":"m \"1\"","model_version":"2","outputs":["#,
            r#"{"name":"y","datatype":"UINT8","shape":[2,1],"data":[1,2]}]}"#
        )
    );
}

#[test]
fn binary_data_follows_the_json_in_the_order_of_the_outputs() {
    let model = model(&[("a", Datatype::Uint8), ("b", Datatype::Int16), ("c", Datatype::Uint8)]);
    let outputs = [
        tensor("c", Datatype::Uint8, &[1], &[9]),
        tensor("a", Datatype::Uint8, &[3], &[1, 2, 3]),
        tensor("b", Datatype::Int16, &[1], &[0xff, 0xff]),
    ];
    let plan = plan(&[(2, true), (1, false), (0, true)]);
    let reply = encode(&plan, &model, &outputs).unwrap();
    assert_eq!(reply.content_type, "application/octet-stream");
    let (json, binary) = reply.body.split_at(reply.inference_header_content_length.unwrap());
    assert_eq!(binary, [9, 1, 2, 3]);
    assert_eq!(
        std::str::from_utf8(json).unwrap(),
        concat!(
            r#"{"model_name":"m \"1\"","model_version":"2","outputs":["#,
            r#"{"name":"c","datatype":"UINT8","shape":[1],"parameters":{"binary_data_size":1}},"#,
            r#"{"name":"b","datatype":"INT16","shape":[1],"data":[-1]},"#,
            r#"{"name":"a","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}}]}"#
        )
    );
}

#[test]
fn each_datatype_has_its_json() {
    let fp32 = |values: [f32; 4]| values.map(f32::to_le_bytes).concat();
    let fp64 = |values: [f64; 2]| values.map(f64::to_le_bytes).concat();
    for (datatype, count, data, expected) in [
        (Datatype::Bool, 2, vec![1, 0], "[true,false]"),
        (Datatype::Uint16, 1, vec![0xff, 0xff], "[65535]"),
        (Datatype::Uint32, 1, vec![0xff; 4], "[4294967295]"),
        (Datatype::Uint64, 1, vec![0xff; 8], "[18446744073709551615]"),
        (Datatype::Int8, 1, vec![0x80], "[-128]"),
        (Datatype::Int32, 1, vec![0xff; 4], "[-1]"),
        (Datatype::Int64, 1, vec![0xff; 8], "[-1]"),
        (Datatype::Fp16, 2, vec![0, 0x3c, 0x66, 0x2e], "[1.0,0.099975586]"),
        (Datatype::Fp32, 4, fp32([0.1, -0.0, 16_777_216.0, f32::MIN_POSITIVE]), "[0.1,-0.0,16777216.0,1.1754944e-38]"),
        (Datatype::Fp64, 2, fp64([0.1, 1e300]), "[0.1,1e+300]"),
        (Datatype::Bytes, 2, b"\x03\0\0\0\"\xc3\xa9\0\0\0\0".to_vec(), r#"["\"é",""]"#),
        (Datatype::Fp32, 0, vec![], "[]"),
    ] {
        assert_eq!(json_data(datatype, count, &data), expected, "{datatype}");
    }
}

#[test]
fn what_json_cannot_hold_must_be_asked_for_as_binary_data() {
    let f32s = |value: f32| value.to_le_bytes().to_vec();
    for (datatype, data) in [
        (Datatype::Fp32, f32s(f32::NAN)),
        (Datatype::Fp32, f32s(f32::NEG_INFINITY)),
        (Datatype::Fp64, f64::INFINITY.to_le_bytes().to_vec()),
        (Datatype::Fp16, vec![0, 0x7c]),
        (Datatype::Bytes, b"\x01\0\0\0\xff".to_vec()),
    ] {
        let model = model(&[("y", datatype)]);
        let outputs = [tensor("y", datatype, &[1], &data)];
        let error = encode(&plan(&[(0, false)]), &model, &outputs).unwrap_err();
        assert_eq!(error.status(), 400);
        assert!(error.message().contains("output `y`"), "{error}");
        assert!(error.message().contains("`binary_data: true`"), "{error}");
        let reply = encode(&plan(&[(0, true)]), &model, &outputs).unwrap();
        assert!(reply.body.ends_with(&data));
    }
}

#[test]
fn outputs_that_the_model_did_not_declare_so_are_the_server_s_fault() {
    let model = model(&[("y", Datatype::Fp32)]);
    for (outputs, part) in [
        (vec![], "did not produce"),
        (vec![tensor("z", Datatype::Fp32, &[1], &[0; 4])], "did not produce"),
        (vec![tensor("y", Datatype::Int32, &[1], &[0; 4])], "expected datatype FP32, the model produced INT32"),
        (vec![tensor("y", Datatype::Fp32, &[2], &[0; 4])], "expected 8 bytes of data, got 4"),
    ] {
        for binary in [false, true] {
            let error = encode(&plan(&[(0, binary)]), &model, &outputs).unwrap_err();
            assert_eq!(error.status(), 500);
            assert!(error.message().contains("output `y`"), "{error}");
            assert!(error.message().contains(part), "{error}");
        }
    }
    let error = encode(&plan(&[(1, true)]), &model, &[]).unwrap_err();
    assert_eq!(error.status(), 500);
}

#[test]
fn long_replies_are_compressed_where_the_client_takes_it() {
    let model = model(&[("y", Datatype::Uint8)]);
    let mut plan = plan(&[(0, true)]);
    plan.coding = Some(Coding::Gzip);
    let data = vec![7; 20_000];
    let outputs = [tensor("y", Datatype::Uint8, &[20_000], &data)];
    let reply = encode(&plan, &model, &outputs).unwrap();
    assert_eq!(reply.content_encoding, Some("gzip"));
    let body = decompress(Some("gzip"), &reply.body, 1 << 20).unwrap();
    let json_length = reply.inference_header_content_length.unwrap();
    assert_eq!(body[json_length..], data);

    let outputs = [tensor("y", Datatype::Uint8, &[1], &data[..1])];
    let reply = encode(&plan, &model, &outputs).unwrap();
    assert_eq!(reply.content_encoding, None);
}
