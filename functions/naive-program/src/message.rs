//! Requests and replies: JSON that says what there is, then the elements, little-endian.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;

#[derive(Deserialize)]
struct Request {
    inputs: Vec<Described>,
}

#[derive(Serialize)]
struct Reply {
    outputs: Vec<Described>,
}

#[derive(Deserialize, Serialize)]
struct Described {
    name: String,
    datatype: String,
    shape: Vec<usize>,
    parameters: Parameters,
}

#[derive(Deserialize, Serialize)]
struct Parameters {
    binary_data_size: usize,
}

/// The inputs of a request, of which the first `header` bytes are JSON.
pub fn read(request: &[u8], header: usize) -> Result<Vec<(String, Tensor)>> {
    let (json, mut data) = request.split_at_checked(header).context("the request is shorter than its header")?;
    let request: Request = serde_json::from_slice(json)?;
    let read = |described: Described| {
        let size = described.parameters.binary_data_size;
        let (elements, rest) = data.split_at_checked(size).context("the request has too little data")?;
        data = rest;
        let datatype = match described.datatype.as_str() {
            "FP32" => f32::datum_type(),
            "INT32" => i32::datum_type(),
            "INT64" => i64::datum_type(),
            other => bail!("input {} is {other}", described.name),
        };
        // SAFETY: All bytes make an element of each of these types; it checks that there are as many as the shape asks for.
        let tensor = unsafe { Tensor::from_raw_dt(datatype, &described.shape, elements) }?;
        Ok((described.name, tensor))
    };
    request.inputs.into_iter().map(read).collect()
}

/// A reply with these outputs, and how many bytes of it are JSON.
pub fn write<'a>(outputs: impl Iterator<Item = (String, &'a Tensor)>) -> Result<(Vec<u8>, usize)> {
    let mut data = Vec::new();
    let mut described = Vec::new();
    for (name, tensor) in outputs {
        let datatype = match tensor.datum_type() {
            DatumType::F32 => "FP32",
            DatumType::I32 => "INT32",
            DatumType::I64 => "INT64",
            other => bail!("output {name} is {other:?}"),
        };
        let elements = tensor.as_bytes();
        data.extend_from_slice(elements);
        let parameters = Parameters { binary_data_size: elements.len() };
        described.push(Described { name, datatype: datatype.to_owned(), shape: tensor.shape().to_vec(), parameters });
    }
    let mut body = serde_json::to_vec(&Reply { outputs: described })?;
    let header = body.len();
    body.append(&mut data);
    Ok((body, header))
}
