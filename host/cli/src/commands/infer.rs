//! `samara infer`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use samara_protocol::{Datatype, OutputTensor};
use serde::Serialize;

use crate::options::InferOptions;
use crate::{model, npy};

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: Datatype,
    shape: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    version: &'a str,
    latency_ms: f64,
    outputs: Vec<Output<'a>>,
}

pub fn run(arguments: &InferOptions) -> Result<()> {
    let (_, model) = model::load(&arguments.model)?;
    let inputs = model::read_inputs(&model.metadata().inputs, &arguments.model.input)?;

    let mut instance = model.instantiate()?;
    let start = Instant::now();
    let outputs = instance.infer(&inputs, &[])?;
    let latency_ms = start.elapsed().as_secs_f64() * 1e3;

    let files = match &arguments.output {
        Some(directory) => write_outputs(directory, &outputs)?.into_iter().map(Some).collect(),
        None => vec![None; outputs.len()],
    };
    if arguments.json {
        let outputs = outputs
            .iter()
            .zip(files)
            .map(|(output, file)| Output {
                name: &output.name,
                datatype: output.datatype,
                shape: &output.shape,
                data: if file.is_none() { Some(values(output).into()) } else { None },
                file,
            })
            .collect();
        let metadata = model.metadata();
        let report = Report { model: &metadata.name, version: &metadata.version, latency_ms, outputs };
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for (output, file) in outputs.iter().zip(files) {
            println!("{}", summary(output, file.as_deref()));
        }
        println!("{latency_ms:.3} ms in a fresh instance");
    }
    Ok(())
}

fn write_outputs(directory: &Path, outputs: &[OutputTensor<'_>]) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    outputs
        .iter()
        .map(|output| {
            let path = directory.join(format!("{}.npy", file_name(&output.name)));
            npy::write(&path, output)?;
            Ok(path)
        })
        .collect()
}

/// A tensor's name as a file's.
fn file_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect();
    if name.chars().all(|c| c == '.') { "_".to_owned() } else { name }
}

fn summary(output: &OutputTensor<'_>, file: Option<&Path>) -> String {
    const SHOWN: usize = 8;
    let shape: Vec<String> = output.shape.iter().map(u64::to_string).collect();
    let head = format!("{} {}[{}]", output.name, output.datatype, shape.join(","));
    match file {
        Some(file) => format!("{head} → {}", file.display()),
        None => {
            let values = values(output);
            let shown: Vec<String> = values.iter().take(SHOWN).map(ToString::to_string).collect();
            let rest = if values.len() > SHOWN { ", …" } else { "" };
            format!("{head} = {}{rest}", shown.join(", "))
        }
    }
}

/// The elements as JSON has them; null where JSON has no such number.
fn values(output: &OutputTensor<'_>) -> Vec<serde_json::Value> {
    fn numbers<const N: usize, T: Into<serde_json::Value>>(
        data: &[u8],
        value: impl Fn([u8; N]) -> T,
    ) -> Vec<serde_json::Value> {
        data.as_chunks::<N>().0.iter().map(|&bytes| value(bytes).into()).collect()
    }
    let data = &output.data;
    match output.datatype {
        Datatype::Bool => numbers(data, |[byte]: [u8; 1]| byte != 0),
        Datatype::Uint8 => numbers(data, u8::from_le_bytes),
        Datatype::Uint16 => numbers(data, u16::from_le_bytes),
        Datatype::Uint32 => numbers(data, u32::from_le_bytes),
        Datatype::Uint64 => numbers(data, u64::from_le_bytes),
        Datatype::Int8 => numbers(data, i8::from_le_bytes),
        Datatype::Int16 => numbers(data, i16::from_le_bytes),
        Datatype::Int32 => numbers(data, i32::from_le_bytes),
        Datatype::Int64 => numbers(data, i64::from_le_bytes),
        Datatype::Fp16 => numbers(data, |bytes| shortest(half::f16::from_le_bytes(bytes).to_f32())),
        Datatype::Fp32 => numbers(data, |bytes| shortest(f32::from_le_bytes(bytes))),
        Datatype::Fp64 => numbers(data, f64::from_le_bytes),
        Datatype::Bytes => samara_protocol::bytes_elements(data)
            .map_while(Result::ok)
            .map(|element| String::from_utf8_lossy(element).into_owned().into())
            .collect(),
    }
}

/// The number with as few digits as tell it from every other `f32`.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_with_the_digits_that_it_has() {
        let output = OutputTensor {
            name: "y".into(),
            datatype: Datatype::Fp32,
            shape: vec![3].into(),
            data: [0.1_f32, f32::NAN, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into(),
        };
        assert_eq!(summary(&output, None), "y FP32[3] = 0.1, null, -2.0");
    }

    #[test]
    fn a_tensors_name_becomes_a_files() {
        assert_eq!(file_name("softmax_11.tmp_0"), "softmax_11.tmp_0");
        assert_eq!(file_name("a/../b:0"), "a_.._b_0");
        assert_eq!(file_name(".."), "_");
    }
}
