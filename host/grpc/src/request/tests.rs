use std::collections::BTreeMap;

use prost::Message;
use samara_protocol::{Datatype, InferRequest, TensorSpec};

use super::*;
use crate::inference::infer_parameter::ParameterChoice;
use crate::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::inference::{InferParameter, InferTensorContents, ModelInferRequest};

/// A model with an input `x` of this datatype and any length, and outputs `y` and `z`.
fn model(datatype: Datatype) -> ModelMetadata {
    let spec = |name: &str| TensorSpec { name: name.to_owned(), datatype, shape: vec![-1] };
    ModelMetadata {
        name: "m".to_owned(),
        version: "1".to_owned(),
        platform: "test".to_owned(),
        inputs: vec![spec("x")],
        outputs: vec![spec("y"), spec("z")],
    }
}

fn request(datatype: &str, shape: &[i64]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "m".to_owned(),
        inputs: vec![InferInputTensor {
            name: "x".to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.to_vec(),
            ..InferInputTensor::default()
        }],
        ..ModelInferRequest::default()
    }
}

fn typed(datatype: Datatype, shape: &[i64], contents: InferTensorContents) -> ModelInferRequest {
    let mut request = request(datatype.name(), shape);
    request.inputs[0].contents = Some(contents);
    request
}

fn parameter(name: &str, choice: ParameterChoice) -> BTreeMap<String, InferParameter> {
    BTreeMap::from([(name.to_owned(), InferParameter { parameter_choice: Some(choice) })])
}

/// What `read` makes of a request for a model of this datatype.
fn decoded<T>(
    datatype: Datatype,
    request: &ModelInferRequest,
    read: impl FnOnce(Result<InferRequest<'_>, Error>) -> T,
) -> T {
    let (message, model) = (request.encode_to_vec(), model(datatype));
    read(decode(&message, &model, &Limits::default()))
}

#[track_caller]
fn data(datatype: Datatype, request: &ModelInferRequest) -> Vec<u8> {
    decoded(datatype, request, |request| request.unwrap().inputs[0].data.to_vec())
}

/// What a client is told.
#[track_caller]
fn refusal(datatype: Datatype, request: &ModelInferRequest) -> String {
    decoded(datatype, request, |request| match request.unwrap_err() {
        Error::BadRequest(message) | Error::TensorTooLarge(message) => message,
        other => panic!("{other:?}"),
    })
}

#[track_caller]
fn assert_refused(datatype: Datatype, request: &ModelInferRequest, texts: &[&str]) {
    let message = refusal(datatype, request);
    for text in texts {
        assert!(message.contains(text), "{text:?} is not said in: {message}");
    }
}

#[test]
fn the_head_is_read_without_the_rest() {
    let mut request = request("FP32", &[1]);
    request.model_version = "3".to_owned();
    request.id = "seven".to_owned();
    request.parameters = parameter("timeout", ParameterChoice::Int64Param(1500));
    request.parameters.extend(parameter("priority", ParameterChoice::Uint64Param(1)));
    request.raw_input_contents = vec![vec![0; 4].into()];
    let message = request.encode_to_vec();
    let expected = Head { model_name: "m", model_version: "3", id: "seven", timeout: Some(1500) };
    assert_eq!(head(&message).unwrap(), expected);
    assert_eq!(expected.version(), Some("3"));
    assert_eq!(head(&[]).unwrap(), Head::default());
    assert_eq!(Head::default().version(), None);
}

#[test]
fn the_items_are_those_of_the_first_input() {
    assert_eq!(items(&request("FP32", &[7, 3]).encode_to_vec()), Some(7));
    assert_eq!(items(&request("FP32", &[]).encode_to_vec()), None);
    assert_eq!(items(&[]), None);
    assert_eq!(items(b"\x2a\x05\x18\x02"), None);
    // Not packed.
    assert_eq!(items(b"\x2a\x02\x18\x02"), Some(2));
}

#[test]
fn a_timeout_is_an_integer() {
    let with = |choice| {
        let mut request = request("FP32", &[0]);
        request.parameters = parameter("timeout", choice);
        head(&request.encode_to_vec()).map(|head| head.timeout)
    };
    assert_eq!(with(ParameterChoice::Int64Param(-1)).unwrap(), Some(-1));
    assert_eq!(with(ParameterChoice::Uint64Param(u64::MAX)).unwrap(), Some(i64::MAX));
    for choice in [ParameterChoice::StringParam("soon".to_owned()), ParameterChoice::DoubleParam(1.5)] {
        assert!(with(choice).unwrap_err().to_string().contains("expected an int64_param"));
    }
}

#[test]
fn raw_data_stays_where_it_is() {
    let mut request = request("FP32", &[2]);
    request.id = "seven".to_owned();
    request.raw_input_contents = vec![vec![1, 2, 3, 4, 5, 6, 7, 8].into()];
    let (message, model) = (request.encode_to_vec(), model(Datatype::Fp32));
    let decoded = decode(&message, &model, &Limits::default()).unwrap();
    assert_eq!(decoded.inputs[0].shape, [2]);
    assert!(message.as_ptr_range().contains(&decoded.inputs[0].data.as_ptr()));
    assert_eq!(&*decoded.inputs[0].data, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(decoded.plan.id.as_deref(), Some("seven"));
    assert_eq!(decoded.plan.outputs.iter().map(|output| output.index).collect::<Vec<_>>(), [0, 1]);
    assert!(decoded.plan.outputs.iter().all(|output| output.binary));
}

#[test]
fn typed_contents_are_what_raw_data_would_be() {
    let contents = InferTensorContents::default;
    let cases = [
        (Datatype::Bool, InferTensorContents { bool_contents: vec![true, false], ..contents() }, vec![1, 0]),
        (Datatype::Int8, InferTensorContents { int_contents: vec![-128, 127], ..contents() }, vec![128, 127]),
        (Datatype::Int16, InferTensorContents { int_contents: vec![-2, 3], ..contents() }, vec![254, 255, 3, 0]),
        (Datatype::Uint8, InferTensorContents { uint_contents: vec![255, 0], ..contents() }, vec![255, 0]),
        (Datatype::Uint16, InferTensorContents { uint_contents: vec![65535, 1], ..contents() }, vec![255, 255, 1, 0]),
        (
            Datatype::Int32,
            InferTensorContents { int_contents: vec![i32::MIN, 7], ..contents() },
            [i32::MIN.to_le_bytes(), 7_i32.to_le_bytes()].concat(),
        ),
        (
            Datatype::Int64,
            InferTensorContents { int64_contents: vec![i64::MIN, 7], ..contents() },
            [i64::MIN.to_le_bytes(), 7_i64.to_le_bytes()].concat(),
        ),
        (
            Datatype::Uint32,
            InferTensorContents { uint_contents: vec![u32::MAX, 7], ..contents() },
            [u32::MAX.to_le_bytes(), 7_u32.to_le_bytes()].concat(),
        ),
        (
            Datatype::Uint64,
            InferTensorContents { uint64_contents: vec![u64::MAX, 7], ..contents() },
            [u64::MAX.to_le_bytes(), 7_u64.to_le_bytes()].concat(),
        ),
        (
            Datatype::Fp32,
            InferTensorContents { fp32_contents: vec![0.5, f32::NAN], ..contents() },
            [0.5_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat(),
        ),
        (
            Datatype::Fp64,
            InferTensorContents { fp64_contents: vec![0.5, -2.0], ..contents() },
            [0.5_f64.to_le_bytes(), (-2.0_f64).to_le_bytes()].concat(),
        ),
        (
            Datatype::Bytes,
            InferTensorContents { bytes_contents: vec![b"ab".to_vec(), vec![]], ..contents() },
            b"\x02\0\0\0ab\0\0\0\0".to_vec(),
        ),
    ];
    for (datatype, contents, expected) in cases {
        assert_eq!(data(datatype, &typed(datatype, &[2], contents)), expected, "{datatype}");
    }
    assert_eq!(data(Datatype::Fp32, &request("FP32", &[0])), [0_u8; 0], "there is nothing to be said of no elements");
}

#[test]
fn contents_must_be_those_of_the_datatype_and_the_shape() {
    let ints = |ints: &[i32]| InferTensorContents { int_contents: ints.to_vec(), ..InferTensorContents::default() };
    let refused = |datatype, shape: &[i64], contents, texts: &[&str]| {
        assert_refused(datatype, &typed(datatype, shape, contents), texts);
    };
    refused(Datatype::Int8, &[2], ints(&[1, 128]), &["input `x`", "element 1", "128", "INT8"]);
    refused(Datatype::Int8, &[1], ints(&[-129]), &["-129"]);
    refused(Datatype::Int32, &[3], ints(&[1, 2]), &["input `x`", "2 elements", "asks for 3"]);
    refused(Datatype::Int32, &[1], ints(&[1, 2]), &["more elements than the 1"]);
    refused(Datatype::Int64, &[1], ints(&[1]), &["int_contents", "expected int64_contents for INT64"]);
    refused(Datatype::Fp16, &[1], ints(&[1]), &["FP16", "raw_input_contents"]);
    assert_refused(Datatype::Fp32, &request("FP32", &[1]), &["input `x`", "no data", "raw_input_contents"]);
}

#[test]
fn raw_data_is_one_for_each_input_and_takes_the_place_of_contents() {
    let mut both = typed(Datatype::Fp32, &[1], InferTensorContents { fp32_contents: vec![1.0], ..Default::default() });
    both.raw_input_contents = vec![vec![0; 4].into()];
    assert_refused(Datatype::Fp32, &both, &["both `contents` and raw_input_contents"]);
    let mut two = request("FP32", &[1]);
    two.raw_input_contents = vec![vec![0; 4].into(), vec![0; 4].into()];
    assert_refused(Datatype::Fp32, &two, &["2 entries for 1 inputs"]);
    let mut short = request("FP32", &[2]);
    short.raw_input_contents = vec![vec![0; 4].into()];
    assert_refused(Datatype::Fp32, &short, &["input `x`", "expected 8 bytes of data, got 4"]);
}

#[test]
fn what_does_not_fit_the_model_is_told_as_over_http() {
    let refused = |change: &dyn Fn(&mut ModelInferRequest), texts: &[&str]| {
        let mut request = request("FP32", &[1]);
        request.raw_input_contents = vec![vec![0; 4].into()];
        change(&mut request);
        assert_refused(Datatype::Fp32, &request, texts);
    };
    refused(&|request| request.inputs[0].name = "w".to_owned(), &["input `w`: unknown", "`x`"]);
    refused(&|request| request.inputs[0].datatype = "BF16".to_owned(), &["expected datatype FP32", "BF16"]);
    refused(&|request| request.inputs[0].shape = vec![-1], &["not negative", "[-1]"]);
    refused(&|request| request.inputs[0].shape = vec![1, 1], &["expected shape [-1]", "[1,1]"]);
    refused(&|request| request.inputs[0].shape = vec![1 << 40], &["16777216"]);
    let twice = |request: &mut ModelInferRequest| {
        request.inputs.push(request.inputs[0].clone());
        request.raw_input_contents.push(vec![0; 4].into());
    };
    refused(&twice, &["given more than once"]);
    let none = |request: &mut ModelInferRequest| {
        request.inputs.clear();
        request.raw_input_contents.clear();
    };
    refused(&none, &["input `x`: missing"]);
    let shared = parameter("shared_memory_region", ParameterChoice::StringParam("r".to_owned()));
    refused(&|request| request.inputs[0].parameters = shared.clone(), &["shared memory"]);
}

#[test]
fn outputs_are_those_that_are_asked_for() {
    let ask = |outputs: &[(&str, BTreeMap<String, InferParameter>)]| {
        let mut request = request("FP32", &[0]);
        request.outputs = outputs
            .iter()
            .map(|(name, parameters)| InferRequestedOutputTensor {
                name: (*name).to_owned(),
                parameters: parameters.clone(),
            })
            .collect();
        request
    };
    let none = BTreeMap::new();
    let indices = decoded(Datatype::Fp32, &ask(&[("z", none.clone()), ("y", none.clone())]), |request| {
        request.unwrap().plan.outputs.iter().map(|output| output.index).collect::<Vec<_>>()
    });
    assert_eq!(indices, [1, 0]);
    assert_refused(Datatype::Fp32, &ask(&[("w", none.clone())]), &["output `w`: unknown", "`y`, `z`"]);
    assert_refused(Datatype::Fp32, &ask(&[("y", none.clone()), ("y", none)]), &["requested more than once"]);
    let classes = parameter("classification", ParameterChoice::Int64Param(3));
    assert_refused(Datatype::Fp32, &ask(&[("y", classes)]), &["`classification` is not supported"]);
    let zero = parameter("classification", ParameterChoice::Int64Param(0));
    decoded(Datatype::Fp32, &ask(&[("y", zero)]), |request| assert!(request.is_ok()));
}

/// Whatever a client sends is read to its end or refused, and nothing else.
#[test]
fn a_message_that_is_cut_off_anywhere_is_refused() {
    let mut whole = typed(Datatype::Int64, &[2], InferTensorContents::default());
    whole.inputs[0].contents = Some(InferTensorContents { int64_contents: vec![-1, 300], ..Default::default() });
    whole.parameters = parameter("timeout", ParameterChoice::Int64Param(1 << 40));
    let (message, model) = (whole.encode_to_vec(), model(Datatype::Int64));
    assert!(decode(&message, &model, &Limits::default()).is_ok());
    for length in 0..message.len() {
        let result = decode(&message[..length], &model, &Limits::default());
        assert!(matches!(result, Err(Error::BadRequest(_))), "{length} of {} bytes", message.len());
    }
}

#[test]
fn what_another_release_of_the_protocol_has_more_is_passed_over() {
    let mut message = request("FP32", &[0]).encode_to_vec();
    // Field 100 in every form that a field can have, a group with a field of its own among them.
    message.extend_from_slice(
        b"\xa0\x06\x01\xa1\x06\0\0\0\0\0\0\0\0\xa2\x06\x02ab\xa3\x06\xa0\x06\x01\xa4\x06\xa5\x06\0\0\0\0",
    );
    decode(&message, &model(Datatype::Fp32), &Limits::default()).unwrap();
    // The end of a group that has not begun.
    message.extend_from_slice(b"\xa4\x06");
    decode(&message, &model(Datatype::Fp32), &Limits::default()).unwrap_err();
}

/// Two bytes make an input of a hundred, and reading goes on before it is known whose request it is.
#[test]
fn a_message_of_many_fields_is_refused() {
    let empty_input = b"\x2a\0";
    let message = empty_input.repeat(MAX_FIELDS + 1);
    assert!(head(&message).unwrap_err().to_string().contains("4096 fields"));
    let message = empty_input.repeat(MAX_TENSORS + 1);
    let error = decode(&message, &model(Datatype::Fp32), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("1024 inputs"), "{error}");
    let dimensions = request("FP32", &vec![1; MAX_DIMENSIONS + 1]);
    assert_refused(Datatype::Fp32, &dimensions, &["256 dimensions"]);
}

#[test]
fn numbers_that_are_not_packed_are_read_too() {
    // Packed for prost, one by one here: shape [2], and fp32_contents.
    let one = |value: f32| [b"\x35".as_slice(), &value.to_le_bytes()].concat();
    let contents = [one(1.0), one(2.0)].concat();
    let mut input = b"\x0a\x01x\x12\x04FP32\x18\x02\x2a".to_vec();
    input.push(u8::try_from(contents.len()).unwrap());
    input.extend_from_slice(&contents);
    let mut message = b"\x2a".to_vec();
    message.push(u8::try_from(input.len()).unwrap());
    message.extend_from_slice(&input);
    let model = model(Datatype::Fp32);
    let request = decode(&message, &model, &Limits::default()).unwrap();
    assert_eq!(&*request.inputs[0].data, [1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat());
}
