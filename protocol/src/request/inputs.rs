//! A request's inputs, checked against the model's.

use std::borrow::Cow;

use super::elements;
use super::envelope::{self, Input, InputParameters};
use super::shape::{self, Shape};
use crate::excerpt::excerpt;
use crate::tensor::check_data;
use crate::{Datatype, Error, InputTensor, Limits, ModelMetadata, TensorSpec, UnknownDatatype};

/// Reads every input of a JSON request, in the model's order.
///
/// `binary` is what follows the JSON, where a header announced it: each input that has a
/// `binary_data_size` takes so many bytes of it, in the request's order, and none may be left.
pub(super) fn read<'a>(
    inputs: &[Input<'a>],
    binary: Option<&'a [u8]>,
    model: &'a ModelMetadata,
    limits: &Limits,
) -> Result<Vec<InputTensor<'a>>, Error> {
    let mut rest = binary;
    let read = |input: &Input<'a>, spec| read_one(input, &mut rest, spec, limits);
    let found = arrange(inputs, |input| &input.name, model, read)?;
    if let Some(rest) = rest
        && !rest.is_empty()
    {
        return Err(Error::BadRequest(format!(
            "{} bytes of binary data follow those of the last input, expected none",
            rest.len()
        )));
    }
    found.all()
}

/// Inputs that were read, by the model's order.
pub(super) struct Found<'a> {
    model: &'a ModelMetadata,
    tensors: Vec<Option<InputTensor<'a>>>,
}

/// Has each input read as what the model declares by its name.
pub(super) fn arrange<'a, I>(
    inputs: &[I],
    name: impl Fn(&I) -> &str,
    model: &'a ModelMetadata,
    mut read: impl FnMut(&I, &'a TensorSpec) -> Result<InputTensor<'a>, Error>,
) -> Result<Found<'a>, Error> {
    let mut tensors: Vec<Option<InputTensor<'a>>> = vec![None; model.inputs.len()];
    for input in inputs {
        let position = model.inputs.iter().position(|spec| spec.name == name(input));
        let known = position.and_then(|at| Some((model.inputs.get(at)?, tensors.get_mut(at)?)));
        let Some((spec, slot)) = known else {
            return Err(unknown(name(input), model));
        };
        if slot.is_some() {
            return Err(refusal(spec, "given more than once"));
        }
        *slot = Some(read(input, spec)?);
    }
    Ok(Found { model, tensors })
}

/// Why an input or output in shared memory is refused.
pub(super) const NO_SHARED_MEMORY: &str = "shared memory is not supported";

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
    let json = input.datatype.ok_or_else(|| refusal(spec, &format!("no `datatype`, expected {}", spec.datatype)))?;
    let text: Cow<'_, str> = serde_json::from_str::<String>(json.get()).map_or(Cow::Borrowed(json.get()), Cow::Owned);
    check_datatype(&text, spec)?;
    let json = input.shape.ok_or_else(|| refusal(spec, &format!("no `shape`, expected {}", Shape(&spec.shape))))?;
    let shape = shape::read(spec, json.get())?;
    let count = shape::count(spec, &shape, limits)?;
    let parameters: InputParameters = envelope::read_parameters(input.parameters)
        .map_err(|error| refusal(spec, &format!("invalid `parameters`: {error}")))?;
    if parameters.shared_memory_region.is_some() {
        return Err(refusal(spec, NO_SHARED_MEMORY));
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

/// Checks that a datatype, as a request names it, is the one that the model declares.
pub(super) fn check_datatype(text: &str, spec: &TensorSpec) -> Result<(), Error> {
    let expected = spec.datatype;
    match text.parse::<Datatype>() {
        Ok(actual) if actual == expected => Ok(()),
        Ok(actual) => Err(refusal(spec, &format!("expected datatype {expected}, got {actual}"))),
        Err(UnknownDatatype(name)) => Err(refusal(
            spec,
            &format!("expected datatype {expected}, got `{}`, which is none of the protocol's", excerpt(&name)),
        )),
    }
}

/// Checks that bytes are what a tensor of this shape holds.
pub(super) fn check_bytes(data: &[u8], spec: &TensorSpec, shape: &[u64]) -> Result<(), Error> {
    check_data(spec.datatype, shape, data).map_err(|error| {
        let shape = Shape(shape);
        refusal(spec, &format!("{} of shape {shape}: {error}", spec.datatype))
    })
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
    check_bytes(data, spec, shape)?;
    *rest = Some(left);
    Ok(data)
}

/// A refusal that names the input.
pub(super) fn refusal(spec: &TensorSpec, why: &str) -> Error {
    Error::BadRequest(format!("input `{}`: {why}", spec.name))
}

fn unknown(name: &str, model: &ModelMetadata) -> Error {
    let known = names(&model.inputs);
    let subject =
        if name.is_empty() { "an input has no `name`".into() } else { format!("input `{}`: unknown", excerpt(name)) };
    Error::BadRequest(format!("{subject}, model `{}` has {known}", model.name))
}

// === impl Found ===

impl<'a> Found<'a> {
    /// Every input of the model, none of which may be missing.
    pub(super) fn all(self) -> Result<Vec<InputTensor<'a>>, Error> {
        let Found { model, tensors } = self;
        if tensors.iter().all(Option::is_some) {
            return Ok(tensors.into_iter().flatten().collect());
        }
        let missing: Vec<String> = model
            .inputs
            .iter()
            .zip(&tensors)
            .filter(|(_, tensor)| tensor.is_none())
            .map(|(spec, _)| {
                let shape = Shape(&spec.shape);
                format!("input `{}`: missing, expected {} of shape {shape}", spec.name, spec.datatype)
            })
            .collect();
        Err(Error::BadRequest(missing.join("; ")))
    }
}
