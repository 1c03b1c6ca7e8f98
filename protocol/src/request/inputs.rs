//! A request's inputs, checked against the model's.

use std::borrow::Cow;

use super::elements;
use super::envelope::{self, Input, InputParameters};
use super::shape::{self, Shape};
use crate::excerpt::excerpt;
use crate::tensor::check_data;
use crate::{Datatype, Error, InputTensor, Limits, ModelMetadata, TensorSpec, UnknownDatatype};

/// Reads every input, in the model's order.
///
/// `binary` is what follows the JSON, where a header announced it: each input that has a
/// `binary_data_size` takes so many bytes of it, in the request's order, and none may be left.
pub(super) fn read<'a>(
    inputs: &[Input<'a>],
    binary: Option<&'a [u8]>,
    model: &'a ModelMetadata,
    limits: &Limits,
) -> Result<Vec<InputTensor<'a>>, Error> {
    let mut found: Vec<Option<InputTensor<'a>>> = vec![None; model.inputs.len()];
    let mut rest = binary;
    for input in inputs {
        let position = model.inputs.iter().position(|spec| spec.name == input.name);
        let known = position.and_then(|at| Some((model.inputs.get(at)?, found.get_mut(at)?)));
        let Some((spec, slot)) = known else {
            return Err(unknown(input, model));
        };
        if slot.is_some() {
            return Err(refusal(spec, "given more than once"));
        }
        *slot = Some(read_one(input, &mut rest, spec, limits)?);
    }
    if let Some(rest) = rest
        && !rest.is_empty()
    {
        return Err(Error::BadRequest(format!(
            "{} bytes of binary data follow those of the last input, expected none",
            rest.len()
        )));
    }
    let missing = || missing(inputs, model);
    found.into_iter().collect::<Option<_>>().ok_or_else(missing)
}

/// The names of tensors, quoted, for a message.
pub(super) fn names(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| format!("`{}`", spec.name)).collect::<Vec<_>>().join(", ")
}

fn read_one<'a>(
    input: &Input<'a>,
    rest: &mut Option<&'a [u8]>,
    spec: &'a TensorSpec,
    limits: &Limits,
) -> Result<InputTensor<'a>, Error> {
    check_datatype(input, spec)?;
    let json = input.shape.ok_or_else(|| refusal(spec, &format!("no `shape`, expected {}", Shape(&spec.shape))))?;
    let shape = shape::read(spec, json.get())?;
    let count = shape::count(spec, &shape, limits)?;
    let parameters: InputParameters = envelope::read_parameters(input.parameters)
        .map_err(|error| refusal(spec, &format!("invalid `parameters`: {error}")))?;
    if parameters.shared_memory_region.is_some() {
        return Err(refusal(spec, "shared memory is not supported"));
    }
    let data = match (input.data, parameters.binary_data_size) {
        (Some(json), None) => elements::read(spec.datatype, &shape, count, json.get())
            .map(Cow::Owned)
            .map_err(|why| refusal(spec, &why))?,
        (None, Some(size)) => Cow::Borrowed(take_binary(size, rest, spec, &shape)?),
        (None, None) => {
            return Err(refusal(spec, "no data, expected `data` or the parameter `binary_data_size`"));
        }
        (Some(_), Some(_)) => {
            return Err(refusal(spec, "both `data` and the parameter `binary_data_size`, expected one of them"));
        }
    };
    Ok(InputTensor { name: Cow::Borrowed(&spec.name), datatype: spec.datatype, shape, data })
}

fn check_datatype(input: &Input<'_>, spec: &TensorSpec) -> Result<(), Error> {
    let expected = spec.datatype;
    let Some(json) = input.datatype else {
        return Err(refusal(spec, &format!("no `datatype`, expected {expected}")));
    };
    let actual = json.get();
    let text: Cow<'_, str> = serde_json::from_str::<String>(actual).map_or(Cow::Borrowed(actual), Cow::Owned);
    match text.parse::<Datatype>() {
        Ok(actual) if actual == expected => Ok(()),
        Ok(actual) => Err(refusal(spec, &format!("expected datatype {expected}, got {actual}"))),
        Err(UnknownDatatype(name)) => Err(refusal(
            spec,
            &format!("expected datatype {expected}, got `{}`, which is none of the protocol's", excerpt(&name)),
        )),
    }
}

fn take_binary<'a>(
    size: u64,
    rest: &mut Option<&'a [u8]>,
    spec: &TensorSpec,
    shape: &[u64],
) -> Result<&'a [u8], Error> {
    let Some(available) = *rest else {
        return Err(refusal(
            spec,
            "`binary_data_size` without an Inference-Header-Content-Length to tell where binary \
             data starts",
        ));
    };
    let split = usize::try_from(size).ok().and_then(|size| available.split_at_checked(size));
    let Some((data, left)) = split else {
        return Err(refusal(
            spec,
            &format!("`binary_data_size` is {size}, but only {} bytes of binary data are left", available.len()),
        ));
    };
    check_data(spec.datatype, shape, data).map_err(|error| {
        let shape = Shape(shape);
        refusal(spec, &format!("{} of shape {shape}: {error}", spec.datatype))
    })?;
    *rest = Some(left);
    Ok(data)
}

fn refusal(spec: &TensorSpec, why: &str) -> Error {
    Error::BadRequest(format!("input `{}`: {why}", spec.name))
}

fn unknown(input: &Input<'_>, model: &ModelMetadata) -> Error {
    let known = names(&model.inputs);
    let subject = if input.name.is_empty() {
        "an input has no `name`".into()
    } else {
        format!("input `{}`: unknown", excerpt(&input.name))
    };
    Error::BadRequest(format!("{subject}, model `{}` has {known}", model.name))
}

fn missing(inputs: &[Input<'_>], model: &ModelMetadata) -> Error {
    let missing: Vec<String> = model
        .inputs
        .iter()
        .filter(|spec| inputs.iter().all(|input| input.name != spec.name))
        .map(|spec| {
            let shape = Shape(&spec.shape);
            format!("input `{}`: missing, expected {} of shape {shape}", spec.name, spec.datatype)
        })
        .collect();
    Error::BadRequest(missing.join("; "))
}
