//! Tensors: read from files, put into requests, taken out of replies, compared.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use npyz::{DType, NpyFile, TypeChar};
use samara_protocol::{Datatype, InputTensor, OutputTensor};
use serde_json::{Value, json};

use crate::http::{Reply, Request};

/// A named array.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name that the model has for it.
    pub name: String,
    /// The type of its elements: FP32, INT32 or INT64.
    pub datatype: Datatype,
    /// The size of each dimension.
    pub shape: Vec<u64>,
    /// The elements, little-endian and row-major.
    pub data: Vec<u8>,
}

/// How tensors travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As numbers in JSON.
    Json,
    /// As bytes behind the JSON.
    Binary,
}

// === impl Tensor ===

impl Tensor {
    /// Reads a `.npy` file.
    pub fn read(name: &str, path: &Path) -> Result<Tensor> {
        Tensor::parse(name, path).with_context(|| path.display().to_string())
    }

    fn parse(name: &str, path: &Path) -> Result<Tensor> {
        let npy = NpyFile::new(BufReader::new(File::open(path)?))?;
        let shape = npy.shape().to_vec();
        let DType::Plain(element) = npy.dtype() else { bail!("its elements have fields") };
        let (datatype, data) = match (element.type_char(), element.size_field()) {
            (TypeChar::Float, 4) => {
                (Datatype::Fp32, npy.into_vec::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect())
            }
            (TypeChar::Int, 4) => {
                (Datatype::Int32, npy.into_vec::<i32>()?.into_iter().flat_map(i32::to_le_bytes).collect())
            }
            (TypeChar::Int, 8) => {
                (Datatype::Int64, npy.into_vec::<i64>()?.into_iter().flat_map(i64::to_le_bytes).collect())
            }
            _ => bail!("its elements are of type {element}"),
        };
        Ok(Tensor { name: name.to_owned(), datatype, shape, data })
    }

    /// An array without elements.
    pub fn empty(name: &str, datatype: Datatype) -> Tensor {
        Tensor { name: name.to_owned(), datatype, shape: vec![0], data: Vec::new() }
    }

    /// Its items again and again, along the first dimension.
    pub fn repeated(&self, times: u64) -> Tensor {
        let mut shape = self.shape.clone();
        if let Some(items) = shape.first_mut() {
            *items *= times;
        }
        Tensor { shape, data: self.data.repeat(times as usize), ..self.clone() }
    }

    /// As the runtime takes it.
    pub fn as_input(&self) -> InputTensor<'_> {
        InputTensor {
            name: (&self.name).into(),
            datatype: self.datatype,
            shape: self.shape.clone(),
            data: (&self.data).into(),
        }
    }

    /// The elements as the widest type, which holds each of them well enough to compare.
    fn values(&self) -> Vec<f64> {
        match self.datatype {
            Datatype::Fp32 => self.floats().map(f64::from).collect(),
            Datatype::Int32 => self.data.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes).into()).collect(),
            _ => self.data.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as f64).collect(),
        }
    }

    fn floats(&self) -> impl Iterator<Item = f32> {
        self.data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
    }

    /// The elements in JSON, each in the shortest form that reads back as itself.
    fn to_json(&self) -> Result<String> {
        Ok(match self.datatype {
            Datatype::Fp32 => serde_json::to_string(&self.floats().collect::<Vec<f32>>())?,
            _ => {
                let integers: Vec<i64> = self.values().into_iter().map(|value| value as i64).collect();
                serde_json::to_string(&integers)?
            }
        })
    }

    /// By how much another tensor misses this one: the largest difference, relative where this one is above 1.
    pub fn error_of(&self, actual: &Tensor) -> Result<f64> {
        ensure!(actual.name == self.name, "output {} instead of {}", actual.name, self.name);
        ensure!(
            actual.datatype == self.datatype && actual.shape == self.shape,
            "output {} is {}{:?} instead of {}{:?}",
            self.name,
            actual.datatype,
            actual.shape,
            self.datatype,
            self.shape
        );
        let errors = self.values().into_iter().zip(actual.values()).map(|(wanted, got)| {
            let error = (got - wanted).abs() / wanted.abs().max(1.0);
            // A maximum passes over what is not a number.
            if error.is_nan() { f64::INFINITY } else { error }
        });
        Ok(errors.fold(0.0, f64::max))
    }
}

impl From<OutputTensor<'_>> for Tensor {
    fn from(output: OutputTensor<'_>) -> Tensor {
        Tensor {
            name: output.name.into_owned(),
            datatype: output.datatype,
            shape: output.shape.into_owned(),
            data: output.data.into_owned(),
        }
    }
}

impl From<(String, samara_nn::Tensor)> for Tensor {
    fn from((name, output): (String, samara_nn::Tensor)) -> Tensor {
        Tensor { name, datatype: output.datatype, shape: output.shape, data: output.data.to_vec() }
    }
}

impl From<&Tensor> for samara_nn::Tensor {
    fn from(input: &Tensor) -> samara_nn::Tensor {
        samara_nn::Tensor { datatype: input.datatype, shape: input.shape.clone(), data: input.data.clone().into() }
    }
}

/// By how much outputs miss the expected ones, which they may hold in any order.
pub fn largest_error(expected: &[Tensor], outputs: &[Tensor]) -> Result<f64> {
    ensure!(outputs.len() == expected.len(), "{} outputs instead of {}", outputs.len(), expected.len());
    expected.iter().try_fold(0.0_f64, |largest, wanted| {
        let output = outputs.iter().find(|output| output.name == wanted.name);
        let output = output.with_context(|| format!("output {} is missing", wanted.name))?;
        Ok(largest.max(wanted.error_of(output)?))
    })
}

// === Requests and replies ===

/// A request to run `model` on these inputs, in which the outputs are asked for in the same form.
pub fn infer_request(model: &str, inputs: &[Tensor], form: Form) -> Result<Request> {
    let path = format!("/v2/models/{model}/infer");
    let mut described = Vec::new();
    let mut binary = Vec::new();
    for input in inputs {
        let head = json!({"name": input.name, "datatype": input.datatype.name(), "shape": input.shape}).to_string();
        let head = head.trim_end_matches('}');
        described.push(match form {
            Form::Json => format!("{head},\"data\":{}}}", input.to_json()?),
            Form::Binary => {
                binary.extend_from_slice(&input.data);
                format!("{head},\"parameters\":{{\"binary_data_size\":{}}}}}", input.data.len())
            }
        });
    }
    let inputs = described.join(",");
    Ok(match form {
        Form::Json => Request::post(&path, format!("{{\"inputs\":[{inputs}]}}").into_bytes(), None),
        Form::Binary => {
            let json = format!("{{\"parameters\":{{\"binary_data_output\":true}},\"inputs\":[{inputs}]}}");
            let length = json.len();
            let mut body = json.into_bytes();
            body.append(&mut binary);
            Request::post(&path, body, Some(length))
        }
    })
}

/// The outputs in a reply.
pub fn outputs_of(reply: &Reply) -> Result<Vec<Tensor>> {
    ensure!(reply.status == 200, "status {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    let length = reply.header_length.unwrap_or(reply.body.len());
    let (json, binary) = reply.body.split_at_checked(length).context("the reply is shorter than it says")?;
    let json: Value = serde_json::from_slice(json)?;
    outputs_in(json["outputs"].as_array().context("the reply has no outputs")?, binary)
}

/// The outputs that JSON tells of, with the bytes behind it.
pub fn outputs_in(outputs: &[Value], mut binary: &[u8]) -> Result<Vec<Tensor>> {
    outputs.iter().map(|output| read_output(output, &mut binary)).collect()
}

fn read_output(output: &Value, binary: &mut &[u8]) -> Result<Tensor> {
    let name = output["name"].as_str().context("an output has no name")?.to_owned();
    let datatype: Datatype = output["datatype"].as_str().unwrap_or_default().parse()?;
    let shape: Vec<u64> = serde_json::from_value(output["shape"].clone())?;
    let data = match output["parameters"]["binary_data_size"].as_u64() {
        Some(size) => {
            let (data, rest) =
                binary.split_at_checked(usize::try_from(size)?).context("the reply's binary data is too short")?;
            *binary = rest;
            data.to_vec()
        }
        None => {
            let data = output["data"].as_array().with_context(|| format!("output {name} has no data"))?;
            data.iter().try_fold(Vec::new(), |bytes, value| push(datatype, value, bytes)).context("an odd element")?
        }
    };
    Ok(Tensor { name, datatype, shape, data })
}

/// Appends an element that came as JSON.
fn push(datatype: Datatype, value: &Value, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    match datatype {
        Datatype::Fp32 => bytes.extend_from_slice(&(value.as_f64()? as f32).to_le_bytes()),
        Datatype::Int32 => bytes.extend_from_slice(&i32::try_from(value.as_i64()?).ok()?.to_le_bytes()),
        Datatype::Int64 => bytes.extend_from_slice(&value.as_i64()?.to_le_bytes()),
        _ => return None,
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor {
            name: "x".into(),
            datatype: Datatype::Fp32,
            shape: vec![values.len() as u64],
            data: values.iter().copied().flat_map(f32::to_le_bytes).collect(),
        }
    }

    #[test]
    fn errors_are_relative_above_one() {
        let wanted = tensor(&[0.5, 100.0]);
        assert_eq!(wanted.error_of(&wanted).expect("the same"), 0.0);
        let error = wanted.error_of(&tensor(&[0.5, 101.0])).expect("near");
        assert!((error - 0.01).abs() < 1e-12, "{error}");
        assert_eq!(wanted.error_of(&tensor(&[f32::NAN, 100.0])).expect("NaN"), f64::INFINITY);
        wanted.error_of(&tensor(&[0.5])).expect_err("another shape");
    }

    #[test]
    fn a_reply_is_read_in_both_forms() {
        let json = br#"{"outputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[0.5,100.0]}]}"#;
        let reply = Reply { status: 200, header_length: None, body: json.to_vec() };
        assert_eq!(outputs_of(&reply).expect("JSON"), [tensor(&[0.5, 100.0])]);
        let head = br#"{"outputs":[{"name":"x","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}"#;
        let body = [&head[..], &tensor(&[0.5, 100.0]).data].concat();
        let reply = Reply { status: 200, header_length: Some(head.len()), body };
        assert_eq!(outputs_of(&reply).expect("binary"), [tensor(&[0.5, 100.0])]);
    }
}
