//! Tensors, and how the protocol writes them: its text, once more.

use half::f16;
use serde_json::{Value, json};

use crate::http::{Reply, Request};

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The input or output that it is for.
    pub name: String,
    /// The protocol's name for the type of its elements.
    pub datatype: String,
    /// The size of each dimension.
    pub shape: Vec<u64>,
    /// The elements: little-endian, row-major; a `BYTES` element behind its length in 32 bits.
    pub data: Vec<u8>,
}

// === impl Tensor ===

impl Tensor {
    /// A tensor of anything.
    #[must_use]
    pub fn new(name: &str, datatype: &str, shape: &[u64], data: Vec<u8>) -> Tensor {
        Tensor { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec(), data }
    }

    /// Numbers of 32 bits with a point.
    #[must_use]
    pub fn fp32(name: &str, shape: &[u64], elements: &[f32]) -> Tensor {
        let data = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        Tensor::new(name, "FP32", shape, data)
    }

    /// Whole numbers of 64 bits.
    #[must_use]
    pub fn int64(name: &str, shape: &[u64], elements: &[i64]) -> Tensor {
        let data = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        Tensor::new(name, "INT64", shape, data)
    }

    /// Texts.
    #[must_use]
    pub fn bytes(name: &str, shape: &[u64], elements: &[&str]) -> Tensor {
        let mut data = Vec::new();
        for element in elements {
            data.extend_from_slice(&u32::try_from(element.len()).unwrap().to_le_bytes());
            data.extend_from_slice(element.as_bytes());
        }
        Tensor::new(name, "BYTES", shape, data)
    }

    /// The elements of an FP32 tensor.
    #[must_use]
    pub fn as_fp32(&self) -> Vec<f32> {
        assert_eq!(self.datatype, "FP32", "{}", self.name);
        self.data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// The elements as they are in JSON, flat.
    #[must_use]
    pub fn elements(&self) -> Vec<Value> {
        macro_rules! numbers {
            ($type:ty) => {
                self.data.as_chunks().0.iter().map(|bytes| json!(<$type>::from_le_bytes(*bytes))).collect()
            };
        }
        match self.datatype.as_str() {
            "BOOL" => self.data.iter().map(|&byte| json!(byte == 1)).collect(),
            "UINT8" => numbers!(u8),
            "UINT16" => numbers!(u16),
            "UINT32" => numbers!(u32),
            "UINT64" => numbers!(u64),
            "INT8" => numbers!(i8),
            "INT16" => numbers!(i16),
            "INT32" => numbers!(i32),
            "INT64" => numbers!(i64),
            "FP16" => self.data.as_chunks().0.iter().map(|bytes| json!(f16::from_le_bytes(*bytes).to_f32())).collect(),
            "FP32" => numbers!(f32),
            "FP64" => numbers!(f64),
            "BYTES" => strings(&self.data),
            other => panic!("{other} is no datatype"),
        }
    }

    /// The tensor that a reply's JSON describes, with the data in it or, if that is elsewhere, so many bytes of it.
    fn from_json(json: &Value, binary: &mut &[u8]) -> Tensor {
        let shape: Vec<u64> = serde_json::from_value(json["shape"].clone()).unwrap();
        let datatype = json["datatype"].as_str().unwrap();
        let data = match json["parameters"]["binary_data_size"].as_u64() {
            Some(size) => {
                let (data, rest) = binary.split_at(usize::try_from(size).unwrap());
                *binary = rest;
                data.to_vec()
            }
            None => json["data"].as_array().unwrap().iter().flat_map(|element| to_bytes(datatype, element)).collect(),
        };
        Tensor::new(json["name"].as_str().unwrap(), datatype, &shape, data)
    }
}

fn strings(mut data: &[u8]) -> Vec<Value> {
    let mut elements = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk() {
        let (element, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        elements.push(json!(std::str::from_utf8(element).unwrap()));
        data = rest;
    }
    elements
}

fn to_bytes(datatype: &str, element: &Value) -> Vec<u8> {
    let int = || element.as_i64().unwrap().to_le_bytes();
    let uint = || element.as_u64().unwrap().to_le_bytes();
    match datatype {
        "BOOL" => vec![u8::from(element.as_bool().unwrap())],
        "UINT8" => uint()[..1].to_vec(),
        "UINT16" => uint()[..2].to_vec(),
        "UINT32" => uint()[..4].to_vec(),
        "UINT64" => uint().to_vec(),
        "INT8" => int()[..1].to_vec(),
        "INT16" => int()[..2].to_vec(),
        "INT32" => int()[..4].to_vec(),
        "INT64" => int().to_vec(),
        "FP16" => f16::from_f64(element.as_f64().unwrap()).to_le_bytes().to_vec(),
        "FP32" => (element.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
        "FP64" => element.as_f64().unwrap().to_le_bytes().to_vec(),
        "BYTES" => Tensor::bytes("", &[1], &[element.as_str().unwrap()]).data,
        other => panic!("{other} is no datatype"),
    }
}

// === requests and replies ===

/// The path on which a model is run.
#[must_use]
pub fn infer_path(model: &str) -> String {
    format!("/v2/models/{model}/infer")
}

/// The JSON of a request with flat data.
#[must_use]
pub fn json_body(inputs: &[Tensor]) -> Value {
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|input| {
            let Tensor { name, datatype, shape, .. } = input;
            json!({"name": name, "datatype": datatype, "shape": shape, "data": input.elements()})
        })
        .collect();
    json!({ "inputs": inputs })
}

/// A request whose inputs are in its JSON.
#[must_use]
pub fn json_request(model: &str, inputs: &[Tensor]) -> Request {
    Request::post_json(&infer_path(model), &json_body(inputs))
}

/// A request whose inputs, and whose reply's outputs, follow the JSON as bytes.
#[must_use]
pub fn binary_request(model: &str, inputs: &[Tensor]) -> Request {
    let declared: Vec<Value> = inputs
        .iter()
        .map(|input| {
            let Tensor { name, datatype, shape, data } = input;
            let parameters = json!({"binary_data_size": data.len()});
            json!({"name": name, "datatype": datatype, "shape": shape, "parameters": parameters})
        })
        .collect();
    let json = json!({"inputs": declared, "parameters": {"binary_data_output": true}}).to_string();
    let data: Vec<&[u8]> = inputs.iter().map(|input| &*input.data).collect();
    with_binary(&infer_path(model), &json, &data.concat())
}

/// A request of JSON with bytes behind it.
#[must_use]
pub fn with_binary(path: &str, json: &str, data: &[u8]) -> Request {
    Request::post(path, [json.as_bytes(), data].concat())
        .header("content-type", "application/octet-stream")
        .header("inference-header-content-length", &json.len().to_string())
}

/// The outputs in a reply, in JSON or behind it; the reply must be one.
#[track_caller]
pub fn outputs(reply: &Reply) -> Vec<Tensor> {
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let length =
        reply.header("inference-header-content-length").map_or(reply.body.len(), |length| length.parse().unwrap());
    let (json, mut binary) = reply.body.split_at(length);
    let json: Value = serde_json::from_slice(json).unwrap();
    let outputs =
        json["outputs"].as_array().unwrap().iter().map(|output| Tensor::from_json(output, &mut binary)).collect();
    assert!(binary.is_empty(), "{} bytes belong to no output", binary.len());
    outputs
}

/// Asserts that two tensors are alike: exactly, or if they hold numbers with a point, each within
/// `tolerance` · (1 + |expected|).
#[track_caller]
pub fn assert_close(actual: &Tensor, expected: &Tensor, tolerance: f64) {
    let head = |tensor: &Tensor| (tensor.name.clone(), tensor.datatype.clone(), tensor.shape.clone());
    assert_eq!(head(actual), head(expected));
    if !expected.datatype.starts_with("FP") {
        assert_eq!(actual.data, expected.data, "{}", expected.name);
        return;
    }
    let (actual, wanted) = (actual.elements(), expected.elements());
    assert_eq!(actual.len(), wanted.len(), "{}", expected.name);
    for (index, (actual, wanted)) in actual.iter().zip(&wanted).enumerate() {
        // A number that JSON lacks is null, and right where it is expected.
        if let (Some(actual), Some(wanted)) = (actual.as_f64(), wanted.as_f64()) {
            let difference = (actual - wanted).abs();
            assert!(
                difference <= tolerance * (1.0 + wanted.abs()),
                "{}[{index}] is {actual}, expected {wanted}",
                expected.name
            );
        } else {
            assert_eq!(actual, wanted, "{}[{index}]", expected.name);
        }
    }
}
