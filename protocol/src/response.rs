//! Inference replies: JSON, or JSON followed by binary data.

mod elements;

use crate::{Error, ModelMetadata, OutputTensor, RequestedOutput, ResponsePlan, TensorSpec};
use crate::{compress, tensor::check_data};

/// What the JSON of a reply takes beside the data, at a guess: where it is more, memory grows.
const ENVELOPE_BYTES: usize = 256;

/// A reply with status 200: its headers and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferResponse {
    /// `Content-Type`: `application/json`, or `application/octet-stream` where binary data follows the JSON.
    pub content_type: &'static str,
    /// `Inference-Header-Content-Length`: the bytes of JSON before the binary data, where an output is
    /// binary, counted before `content_encoding` is applied.
    pub inference_header_content_length: Option<usize>,
    /// `Content-Encoding`, where the body is compressed.
    pub content_encoding: Option<&'static str>,
    /// The body; its length is the `Content-Length`.
    pub body: Vec<u8>,
}

/// Lays out an engine's outputs as the request asked.
///
/// `outputs` may come in any order, and may hold more than the plan asks for. Numbers are written in the
/// shortest form that reads back as the same number; FP16 as the FP32 of the same value.
///
/// Sources: KServe's Open Inference Protocol v2, "Inference Response JSON Object"; Triton's binary tensor
/// data extension.
///
/// # Errors
///
/// [`Error::BadRequest`] where an output cannot be JSON: it holds NaN or an infinity, or bytes that are
/// not UTF-8; the message says to ask for it as binary data. [`Error::Internal`] where the outputs are
/// not what the model declares: one is missing, of another datatype, or its data disagrees with its shape.
pub fn encode(
    plan: &ResponsePlan,
    model: &ModelMetadata,
    outputs: &[OutputTensor<'_>],
) -> Result<InferResponse, Error> {
    let chosen = plan
        .outputs
        .iter()
        .map(|requested| Ok((choose(requested, model, outputs)?, requested.binary)))
        .collect::<Result<Vec<_>, Error>>()?;

    let mut body = Vec::with_capacity(capacity(&chosen));
    body.push(b'{');
    if let Some(id) = &plan.id {
        body.extend_from_slice(b"\"id\":");
        elements::write_string(id, &mut body);
        body.push(b',');
    }
    body.extend_from_slice(b"\"model_name\":");
    elements::write_string(&model.name, &mut body);
    body.extend_from_slice(b",\"model_version\":");
    elements::write_string(&model.version, &mut body);
    body.extend_from_slice(b",\"outputs\":[");
    for (position, (output, binary)) in chosen.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        write_output(output, *binary, &mut body)?;
    }
    body.extend_from_slice(b"]}");

    let json_length = body.len();
    let any_binary = chosen.iter().any(|(_, binary)| *binary);
    for (output, _) in chosen.iter().filter(|(_, binary)| *binary) {
        body.extend_from_slice(&output.data);
    }

    let compressed = plan.coding.and_then(|coding| Some((coding, compress(coding, &body)?)));
    let (content_encoding, body) = match compressed {
        Some((coding, compressed)) => (Some(coding.name()), compressed),
        None => (None, body),
    };
    Ok(InferResponse {
        content_type: if any_binary { "application/octet-stream" } else { "application/json" },
        inference_header_content_length: any_binary.then_some(json_length),
        content_encoding,
        body,
    })
}

/// The outputs that a plan asks for, in its order, out of an engine's.
///
/// # Errors
///
/// [`Error::Internal`] where they are not what the model declares: one is missing, of another datatype, or its data disagrees
/// with its shape.
pub fn select_outputs<'o, 'a>(
    plan: &ResponsePlan,
    model: &ModelMetadata,
    outputs: &'o [OutputTensor<'a>],
) -> Result<Vec<&'o OutputTensor<'a>>, Error> {
    plan.outputs.iter().map(|requested| choose(requested, model, outputs)).collect()
}

/// Finds an output among the engine's, and checks it.
fn choose<'o, 'a>(
    requested: &RequestedOutput,
    model: &ModelMetadata,
    outputs: &'o [OutputTensor<'a>],
) -> Result<&'o OutputTensor<'a>, Error> {
    let spec: &TensorSpec = model
        .outputs
        .get(requested.index)
        .ok_or_else(|| Error::Internal(format!("the model has no output {}", requested.index)))?;
    let failure = |why: &dyn std::fmt::Display| Error::Internal(format!("output `{}`: {why}", spec.name));
    let output = outputs
        .iter()
        .find(|output| output.name == spec.name)
        .ok_or_else(|| failure(&"the model did not produce it"))?;
    if output.datatype != spec.datatype {
        return Err(failure(&format_args!(
            "expected datatype {}, the model produced {}",
            spec.datatype, output.datatype
        )));
    }
    check_data(output.datatype, &output.shape, &output.data).map_err(|error| failure(&error))?;
    Ok(output)
}

fn capacity(chosen: &[(&OutputTensor<'_>, bool)]) -> usize {
    chosen
        .iter()
        .map(|(output, binary)| {
            let data = output.data.len();
            if *binary { data } else { data.saturating_mul(3) }
        })
        .fold(ENVELOPE_BYTES, |sum, bytes| sum.saturating_add(bytes).saturating_add(ENVELOPE_BYTES))
}

fn write_output(output: &OutputTensor<'_>, binary: bool, body: &mut Vec<u8>) -> Result<(), Error> {
    body.extend_from_slice(b"{\"name\":");
    elements::write_string(&output.name, body);
    body.extend_from_slice(b",\"datatype\":\"");
    body.extend_from_slice(output.datatype.name().as_bytes());
    body.extend_from_slice(b"\",\"shape\":[");
    elements::write_sizes(&output.shape, body);
    if binary {
        body.extend_from_slice(b"],\"parameters\":{\"binary_data_size\":");
        elements::write_sizes(&[output.data.len() as u64], body);
        body.extend_from_slice(b"}}");
        return Ok(());
    }
    body.extend_from_slice(b"],\"data\":[");
    elements::write(output.datatype, &output.data, body).map_err(|why| {
        Error::BadRequest(format!(
            "output `{}` {why}, which JSON cannot hold: ask for it with the parameter \
             `binary_data: true`",
            output.name
        ))
    })?;
    body.extend_from_slice(b"]}");
    Ok(())
}

#[cfg(test)]
mod tests;
