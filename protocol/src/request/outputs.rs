//! Which outputs a request asks for, and in which form.

use super::RequestedOutput;
use super::envelope::{self, Envelope, Output, OutputParameters};
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
    let mut planned: Vec<RequestedOutput> = Vec::with_capacity(outputs.len());
    for output in outputs {
        let index = find(output, model)?;
        if planned.iter().any(|planned| planned.index == index) {
            return Err(refusal(output, "requested more than once"));
        }
        planned.push(RequestedOutput { index, binary: wants_binary(output)?.unwrap_or(default) });
    }
    Ok(planned)
}

fn find(output: &Output<'_>, model: &ModelMetadata) -> Result<usize, Error> {
    model.outputs.iter().position(|spec| spec.name == output.name).ok_or_else(|| {
        let known = super::inputs::names(&model.outputs);
        refusal(output, &format!("unknown, model `{}` has {known}", model.name))
    })
}

fn wants_binary(output: &Output<'_>) -> Result<Option<bool>, Error> {
    let parameters: OutputParameters = envelope::read_parameters(output.parameters)
        .map_err(|error| refusal(output, &format!("invalid `parameters`: {error}")))?;
    if parameters.shared_memory_region.is_some() {
        return Err(refusal(output, "shared memory is not supported"));
    }
    if parameters.classification.is_some_and(|classes| classes > 0) {
        return Err(refusal(output, "`classification` is not supported, expected a request for the tensor itself"));
    }
    Ok(parameters.binary_data)
}

fn refusal(output: &Output<'_>, why: &str) -> Error {
    Error::BadRequest(format!("output `{}`: {why}", excerpt(&output.name)))
}
