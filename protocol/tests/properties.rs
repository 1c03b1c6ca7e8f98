//! What holds for every tensor, and for every string of bytes that a client may send.

use std::borrow::Cow;

use proptest::prelude::*;
use samara_protocol::{
    Coding, Datatype, InferHead, InferRequest, InferResponse, InputTensor, Limits, ModelMetadata, OutputTensor,
    RequestedOutput, ResponsePlan, Route, TensorSpec, check_data, compress, decode, decompress, encode,
};

/// A tensor whose data agrees with its datatype and shape.
#[derive(Clone, Debug)]
struct Tensor {
    datatype: Datatype,
    shape: Vec<u64>,
    data: Vec<u8>,
}

/// Any element of a datatype that JSON can hold, or any at all.
fn element(datatype: Datatype, json: bool) -> BoxedStrategy<Vec<u8>> {
    let fits = move |finite: bool| finite || !json;
    match datatype {
        Datatype::Bool => (0..=1_u8).prop_map(|byte| vec![byte]).boxed(),
        Datatype::Bytes if json => ".{0,9}".prop_map(|text: String| framed(text.as_bytes())).boxed(),
        Datatype::Bytes => prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| framed(&bytes)).boxed(),
        Datatype::Fp16 => any::<u16>()
            .prop_filter("finite", move |bits| fits(bits & 0x7c00 != 0x7c00))
            .prop_map(|bits| bits.to_le_bytes().to_vec())
            .boxed(),
        Datatype::Fp32 => any::<u32>()
            .prop_filter("finite", move |&bits| fits(f32::from_bits(bits).is_finite()))
            .prop_map(|bits| bits.to_le_bytes().to_vec())
            .boxed(),
        Datatype::Fp64 => any::<u64>()
            .prop_filter("finite", move |&bits| fits(f64::from_bits(bits).is_finite()))
            .prop_map(|bits| bits.to_le_bytes().to_vec())
            .boxed(),
        _ => prop::collection::vec(any::<u8>(), datatype.size().unwrap_or_default()).boxed(),
    }
}

fn framed(element: &[u8]) -> Vec<u8> {
    [&(element.len() as u32).to_le_bytes(), element].concat()
}

fn tensor(json: bool) -> impl Strategy<Value = Tensor> {
    let datatype = prop::sample::select(&Datatype::ALL[..]);
    let shape = prop::collection::vec(0..4_u64, 0..4);
    (datatype, shape).prop_flat_map(move |(datatype, shape)| {
        let count = shape.iter().product::<u64>() as usize;
        prop::collection::vec(element(datatype, json), count).prop_map(move |elements| Tensor {
            datatype,
            shape: shape.clone(),
            data: elements.concat(),
        })
    })
}

/// A model that gives back what it takes.
fn echo(tensors: &[Tensor]) -> ModelMetadata {
    let specs: Vec<TensorSpec> = tensors
        .iter()
        .enumerate()
        .map(|(index, tensor)| TensorSpec {
            name: format!("t{index}"),
            datatype: tensor.datatype,
            shape: vec![-1; tensor.shape.len()],
        })
        .collect();
    ModelMetadata {
        name: "echo".into(),
        version: "1".into(),
        platform: "test".into(),
        inputs: specs.clone(),
        outputs: specs,
    }
}

fn reply(model: &ModelMetadata, tensors: &[Tensor], binary: &[bool]) -> InferResponse {
    let plan = ResponsePlan {
        id: Some("1".into()),
        outputs: (0..tensors.len()).map(|index| RequestedOutput { index, binary: binary[index] }).collect(),
        coding: None,
    };
    let outputs: Vec<OutputTensor<'_>> = tensors
        .iter()
        .zip(&model.outputs)
        .map(|(tensor, spec)| OutputTensor {
            name: Cow::Borrowed(&spec.name),
            datatype: tensor.datatype,
            shape: Cow::Borrowed(&tensor.shape),
            data: Cow::Borrowed(&tensor.data),
        })
        .collect();
    encode(&plan, model, &outputs).unwrap()
}

/// Sends a reply back as a request: apart from the key `outputs`, the two have one form.
fn request_of(reply: &InferResponse) -> (Vec<u8>, Option<String>) {
    let body = &reply.body;
    let key = br#""outputs":["#;
    let at = body.windows(key.len()).position(|part| part == key).unwrap();
    let body = [&body[..at], br#""inputs":["#, &body[at + key.len()..]].concat();
    let length = reply.inference_header_content_length.map(|length| (length - 1).to_string());
    (body, length)
}

fn assert_same(request: &InferRequest<'_>, tensors: &[Tensor]) {
    assert_eq!(request.inputs.len(), tensors.len());
    for (input, tensor) in request.inputs.iter().zip(tensors) {
        let InputTensor { datatype, shape, data, .. } = input;
        assert_eq!(datatype, &tensor.datatype);
        assert_eq!(shape, &tensor.shape);
        assert_eq!(&data[..], &tensor.data[..]);
    }
}

proptest! {
    #[test]
    fn json_round_trips(tensors in prop::collection::vec(tensor(true), 1..4)) {
        let model = echo(&tensors);
        let (body, _) = request_of(&reply(&model, &tensors, &[false; 3]));
        let request = decode(&InferHead::default(), &body, &model, &Limits::default()).unwrap();
        assert_same(&request, &tensors);
        prop_assert_eq!(request.plan.id.as_deref(), Some("1"));
    }

    #[test]
    fn binary_round_trips(tensors in prop::collection::vec(tensor(false), 1..4)) {
        let model = echo(&tensors);
        let (body, length) = request_of(&reply(&model, &tensors, &[true; 3]));
        let head = InferHead {
            inference_header_content_length: length.as_deref(),
            ..InferHead::default()
        };
        let request = decode(&head, &body, &model, &Limits::default()).unwrap();
        assert_same(&request, &tensors);
    }

    #[test]
    fn json_and_binary_mixed_round_trip(
        tensors in prop::collection::vec(tensor(true), 3),
        binary: [bool; 3],
    ) {
        let model = echo(&tensors);
        let (body, length) = request_of(&reply(&model, &tensors, &binary));
        let head = InferHead {
            inference_header_content_length: length.as_deref(),
            ..InferHead::default()
        };
        let request = decode(&head, &body, &model, &Limits::default()).unwrap();
        assert_same(&request, &tensors);
    }

    #[test]
    fn no_body_panics(
        body in prop::collection::vec(any::<u8>(), 0..200),
        length in prop::option::of(0..300_usize),
        coding in prop::option::of(prop::sample::select(vec!["gzip", "deflate", "br"])),
        tensor in tensor(false),
    ) {
        let model = echo(&[tensor]);
        let length = length.map(|length| length.to_string());
        let head = InferHead {
            inference_header_content_length: length.as_deref(),
            content_encoding: coding,
            ..InferHead::default()
        };
        let _ = decode(&head, &body, &model, &Limits::default());
    }

    #[test]
    fn no_damage_to_a_request_panics_or_passes_unchecked(
        tensors in prop::collection::vec(tensor(true), 1..3),
        binary: [bool; 2],
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let model = echo(&tensors);
        let (mut body, length) = request_of(&reply(&model, &tensors, &binary));
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let head = InferHead {
            inference_header_content_length: length.as_deref(),
            ..InferHead::default()
        };
        if let Ok(request) = decode(&head, &body, &model, &Limits::default()) {
            for input in &request.inputs {
                let checked = check_data(input.datatype, &input.shape, &input.data);
                prop_assert_eq!(checked, Ok(()));
            }
        }
    }

    #[test]
    fn no_header_panics(
        content_type in ".{0,40}",
        length in ".{0,10}",
        content_encoding in ".{0,10}",
        accept_encoding in "([a-z*]{0,8}[;,= q0-9.]{0,6}){0,4}",
    ) {
        let model = echo(&[]);
        let head = InferHead {
            content_type: Some(&content_type),
            inference_header_content_length: Some(&length),
            content_encoding: Some(&content_encoding),
            accept_encoding: Some(&accept_encoding),
        };
        let _ = decode(&head, b"{}", &model, &Limits::default());
        let _ = Coding::preferred(Some(&accept_encoding));
    }

    #[test]
    fn no_path_panics(
        method in "GET|POST|HEAD|.{0,5}",
        path in "(/(v2|models|versions|%[0-9a-f]{0,2}|.{0,4})){0,8}",
    ) {
        let _ = Route::parse(&method, &path);
    }

    #[test]
    fn no_stream_panics_or_exceeds_the_limit(
        body in prop::collection::vec(any::<u8>(), 0..300),
        limit in 0..300_u64,
    ) {
        for coding in ["gzip", "deflate", "identity"] {
            if let Ok(inflated) = decompress(Some(coding), &body, limit) {
                prop_assert!(inflated.len() as u64 <= limit);
            }
        }
    }

    #[test]
    fn compression_round_trips(
        pattern in prop::collection::vec(any::<u8>(), 1..500),
        damage: Option<(prop::sample::Index, u8)>,
    ) {
        let body = pattern.repeat((16 << 10) / pattern.len() + 1);
        let most = body.len() as u64;
        for coding in [Coding::Gzip, Coding::Deflate] {
            let mut stream = compress(coding, &body).unwrap();
            let back = decompress(Some(coding.name()), &stream, most).unwrap();
            prop_assert_eq!(&back[..], &body[..]);
            if let Some((at, byte)) = &damage {
                let at = at.index(stream.len());
                stream[at] = *byte;
                let _ = decompress(Some(coding.name()), &stream, most);
            }
        }
    }

    #[test]
    fn percent_encoded_names_are_decoded(name in ".{1,20}", version in "[0-9]{1,3}") {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/v2/models/{encoded}/versions/{version}/infer");
        let expected = Route::Infer {
            name: Cow::Borrowed(&name),
            version: Some(Cow::Borrowed(&version)),
        };
        prop_assert_eq!(Route::parse("POST", &path).unwrap(), expected);
    }
}
