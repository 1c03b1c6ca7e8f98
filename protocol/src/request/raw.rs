//! Requests that are nothing but one tensor's bytes.

use std::borrow::Cow;

use super::shape::{self, Shape};
use crate::tensor::check_data;
use crate::{Error, InputTensor, Limits, ModelMetadata, TensorSpec, element_count};

/// Takes a whole body as the model's only input.
pub(super) fn read<'a>(body: &'a [u8], model: &'a ModelMetadata, limits: &Limits) -> Result<InputTensor<'a>, Error> {
    let [spec] = model.inputs.as_slice() else {
        return Err(Error::BadRequest(format!(
            "model `{}` has {} inputs, expected one for a raw body (Inference-Header-Content-Length: 0)",
            model.name,
            model.inputs.len()
        )));
    };
    let (shape, data) = match spec.datatype.size() {
        Some(size) => (infer_shape(spec, body.len(), size)?, Cow::Borrowed(body)),
        None => (single_element_shape(spec)?, Cow::Owned(frame(spec, body)?)),
    };
    shape::count(spec, &shape, limits)?;
    check_data(spec.datatype, &shape, &data).map_err(|error| {
        let shape = Shape(&shape);
        refusal(spec, &format!("{} of shape {shape}: {error}", spec.datatype))
    })?;
    Ok(InputTensor { name: Cow::Borrowed(&spec.name), datatype: spec.datatype, shape, data })
}

/// The model's shape, its one dynamic dimension made to hold `bytes`.
fn infer_shape(spec: &TensorSpec, bytes: usize, size: usize) -> Result<Vec<u64>, Error> {
    let dynamic = spec.shape.iter().filter(|&&size| size < 0).count();
    if dynamic > 1 {
        return Err(refusal(
            spec,
            &format!(
                "shape {} has {dynamic} dynamic dimensions, expected at most one for a raw body",
                Shape(&spec.shape)
            ),
        ));
    }
    let known = with_dynamic(spec, 1);
    let row = element_count(&known).and_then(|count| count.checked_mul(size as u64)).filter(|&row| row > 0);
    // What does not divide is left to the check of the bytes against the shape.
    Ok(match row {
        Some(row) if dynamic == 1 => with_dynamic(spec, bytes as u64 / row),
        _ => known,
    })
}

/// The model's shape with every dynamic dimension 1, where that is a single element.
fn single_element_shape(spec: &TensorSpec) -> Result<Vec<u64>, Error> {
    let shape = with_dynamic(spec, 1);
    if element_count(&shape) == Some(1) {
        return Ok(shape);
    }
    Err(refusal(
        spec,
        &format!("shape {} holds more than one element, expected one for a raw body of BYTES", Shape(&spec.shape)),
    ))
}

fn with_dynamic(spec: &TensorSpec, dynamic: u64) -> Vec<u64> {
    spec.shape.iter().map(|&size| u64::try_from(size).unwrap_or(dynamic)).collect()
}

/// A `BYTES` tensor's data with a body as its one element.
fn frame(spec: &TensorSpec, body: &[u8]) -> Result<Vec<u8>, Error> {
    let length = u32::try_from(body.len()).map_err(|_| {
        Error::TensorTooLarge(format!(
            "input `{}`: the body has {} bytes, expected at most {} for one element",
            spec.name,
            body.len(),
            u32::MAX
        ))
    })?;
    Ok([&length.to_le_bytes(), body].concat())
}

fn refusal(spec: &TensorSpec, why: &str) -> Error {
    Error::BadRequest(format!("input `{}`: {why}", spec.name))
}
