//! Which outputs a request asks for, and in which form.

use super::RequestedOutput;
use super::envelope::{self, Envelope, OutputParameters};
use super::inputs::NO_SHARED_MEMORY;
use crate::excerpt::excerpt;
use crate::{Error, ModelMetadata};

/// Every output of the model, in its order.
pub(super) fn all(model: &ModelMetadata, binary: bool) -> Vec<RequestedOutput> {
    (0..model.outputs.len()).map(|index| RequestedOutput { index, binary }).collect()
}

/// The outputs that a request lists, or all where it lists none.
pub(super) fn plan(envelope: &Envelope<'_>, model: &ModelMetadata) -> Result<Vec<RequestedOutput>, Error> {
    let default = envelope.parameters.as_ref().and_then(|parameters| parameters.0.binary_data_output).unwrap_or(false);
    let outputs = envelope.outputs.as_ref().map_or(&[][..], |list| &list.0);
    if outputs.is_empty() {
        return Ok(all(model, default));
    }
    collect(
        outputs,
        |output| &output.name,
        model,
        |output| {
            let parameters: OutputParameters = envelope::read_parameters(output.parameters)
                .map_err(|error| refusal(&output.name, &format!("invalid `parameters`: {error}")))?;
            check(&output.name, parameters.classification, parameters.shared_memory_region.is_some())?;
            Ok(parameters.binary_data.unwrap_or(default))
        },
    )
}

/// The outputs that a request lists, each once; `binary` says in which form one is wanted.
pub(super) fn collect<O>(
    outputs: &[O],
    name: impl Fn(&O) -> &str,
    model: &ModelMetadata,
    binary: impl Fn(&O) -> Result<bool, Error>,
) -> Result<Vec<RequestedOutput>, Error> {
    let mut planned: Vec<RequestedOutput> = Vec::with_capacity(outputs.len().min(model.outputs.len()));
    for output in outputs {
        let index = find(name(output), model)?;
        if planned.iter().any(|planned| planned.index == index) {
            return Err(refusal(name(output), "requested more than once"));
        }
        planned.push(RequestedOutput { index, binary: binary(output)? });
    }
    Ok(planned)
}

/// Refuses what cannot be done with an output.
pub(super) fn check(name: &str, classification: Option<u64>, shared_memory: bool) -> Result<(), Error> {
    if shared_memory {
        return Err(refusal(name, NO_SHARED_MEMORY));
    }
    if classification.is_some_and(|classes| classes > 0) {
        return Err(refusal(name, "`classification` is not supported, expected a request for the tensor itself"));
    }
    Ok(())
}

fn find(name: &str, model: &ModelMetadata) -> Result<usize, Error> {
    model.outputs.iter().position(|spec| spec.name == name).ok_or_else(|| {
        let known = super::inputs::names(&model.outputs);
        refusal(name, &format!("unknown, model `{}` has {known}", model.name))
    })
}

fn refusal(name: &str, why: &str) -> Error {
    Error::BadRequest(format!("output `{}`: {why}", excerpt(name)))
}
