//! Inference requests: a `ModelInferRequest`, read where it lies.

mod contents;
mod parameter;

use samara_protocol::{
    Error, GivenData, GivenInput, GivenOutput, GivenRequest, InferRequest, Limits, ModelMetadata, decode_given,
};

use self::contents::Contents;
use crate::wire::{Fields, Value, Varints, malformed};

/// The most inputs, outputs or raw contents that a request may list, as in JSON.
const MAX_TENSORS: usize = 1024;

/// The most fields of a request: more than it can have, and a bound on the time that looking through it takes.
const MAX_FIELDS: usize = 4 * MAX_TENSORS;

/// The most dimensions that are looked at: more than any model's.
const MAX_DIMENSIONS: usize = 256;

/// What can be told of a request without looking at its tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// The model that is asked.
    pub model_name: &'a str,
    /// The version that is asked for; empty for the newest.
    pub model_version: &'a str,
    /// The request's id; empty where it has none.
    pub id: &'a str,
    /// How long the client waits, in microseconds, where it says so. What is zero or less has passed.
    pub timeout: Option<i64>,
}

impl Head<'_> {
    /// The version that is asked for, if one is.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        Some(self.model_version).filter(|version| !version.is_empty())
    }
}

/// Reads what can be told of a request without looking at its tensors.
///
/// # Errors
///
/// [`Error::BadRequest`] where the message is none, or its parameter `timeout` no number.
pub fn head(message: &[u8]) -> Result<Head<'_>, Error> {
    let mut head = Head::default();
    for_each_field(message, |number, value| head.read(number, value))?;
    Ok(head)
}

/// How many items a request holds, by the first dimension of its first input; `None` where that cannot be told at little cost.
#[must_use]
pub fn items(message: &[u8]) -> Option<u64> {
    let field = |message, wanted| {
        let mut fields = Fields::new(message);
        for _ in 0..MAX_FIELDS {
            let (number, value) = fields.next().ok()??;
            if number == wanted {
                return Some(value);
            }
        }
        None
    };
    match field(field(message, 5)?.bytes("an input").ok()?, 3)? {
        Value::Varint(size) => Some(size),
        sizes => Varints(sizes.bytes("a shape").ok()?).next()?.ok(),
    }
}

/// Decodes a request for `model`.
///
/// The data of inputs is either in `raw_input_contents`, one for each, or in their `contents`, in the field for the datatype.
/// Raw data is not copied. Parameters that ask for nothing known here are passed over.
///
/// Source: Open Inference Protocol v2, "Inference Request" over gRPC.
///
/// # Errors
///
/// [`Error::BadRequest`], naming the input and what it should have been, for a message that is none or does not fit the
/// model; [`Error::TensorTooLarge`] for more elements than `limits` allow.
pub fn decode<'a>(message: &'a [u8], model: &'a ModelMetadata, limits: &Limits) -> Result<InferRequest<'a>, Error> {
    let (mut head, mut request) = (Head::default(), GivenRequest::default());
    let mut raw = Vec::new();
    for_each_field(message, |number, value| match number {
        5 => push(&mut request.inputs, input(value.bytes("an input")?)?, "inputs"),
        6 => push(&mut request.outputs, output(value.bytes("an output")?)?, "outputs"),
        7 => push(&mut raw, value.bytes("an entry of raw_input_contents")?, "raw_input_contents"),
        _ => head.read(number, value),
    })?;
    request.id = Some(head.id).filter(|id| !id.is_empty());
    request.timeout = head.timeout;
    if !raw.is_empty() {
        let inputs = request.inputs.len();
        if raw.len() != inputs {
            let given = raw.len();
            let message = format!("raw_input_contents has {given} entries for {inputs} inputs, expected one for each");
            return Err(Error::BadRequest(message));
        }
        for (input, raw) in request.inputs.iter_mut().zip(raw) {
            if matches!(input.data, GivenData::Elements(Contents(Some(_)))) {
                let message =
                    format!("input {:?}: both `contents` and raw_input_contents, expected one of them", input.name);
                return Err(Error::BadRequest(message));
            }
            input.data = GivenData::Raw(raw);
        }
    }
    decode_given(&request, model, limits)
}

impl<'a> Head<'a> {
    /// Takes a field of the request, if it is one of these.
    fn read(&mut self, number: u32, value: Value<'a>) -> Result<(), Error> {
        match number {
            1 => self.model_name = value.string("model_name")?,
            2 => self.model_version = value.string("model_version")?,
            3 => self.id = value.string("id")?,
            4 => {
                let (name, parameter) = parameter::read(value.bytes("a parameter")?)?;
                if name == "timeout" {
                    let timeout = parameter.integer().ok_or_else(|| {
                        Error::BadRequest(format!("the parameter `timeout` is {parameter}, expected an int64_param"))
                    })?;
                    self.timeout = Some(timeout);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Has each field of a request read.
fn for_each_field<'a>(
    message: &'a [u8],
    mut read: impl FnMut(u32, Value<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut fields = Fields::new(message);
    let mut count = 0;
    while let Some((number, value)) = fields.next()? {
        count += 1;
        if count > MAX_FIELDS {
            return Err(malformed(format_args!("it has more than {MAX_FIELDS} fields")));
        }
        read(number, value)?;
    }
    Ok(())
}

fn push<T>(list: &mut Vec<T>, item: T, what: &str) -> Result<(), Error> {
    if list.len() == MAX_TENSORS {
        return Err(malformed(format_args!("it has more than {MAX_TENSORS} {what}")));
    }
    list.push(item);
    Ok(())
}

/// `InferInputTensor`.
fn input(message: &[u8]) -> Result<GivenInput<'_, Contents<'_>>, Error> {
    let mut contents = None;
    let mut input = GivenInput {
        name: "",
        datatype: "",
        shape: Vec::new(),
        shared_memory: false,
        data: GivenData::Elements(Contents(None)),
    };
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => input.name = value.string("an input's name")?,
            (2, value) => input.datatype = value.string("an input's datatype")?,
            (3, Value::Varint(size)) => dimension(&mut input.shape, size)?,
            (3, value) => {
                for size in Varints(value.bytes("an input's shape")?) {
                    dimension(&mut input.shape, size?)?;
                }
            }
            (4, value) => {
                let (name, _) = parameter::read(value.bytes("an input's parameter")?)?;
                input.shared_memory |= name == SHARED_MEMORY;
            }
            (5, value) => {
                let before = contents.replace(value.bytes("an input's contents")?);
                if before.is_some() {
                    return Err(malformed("an input has `contents` more than once"));
                }
            }
            _ => {}
        }
    }
    input.data = GivenData::Elements(Contents(contents));
    Ok(input)
}

fn dimension(shape: &mut Vec<i64>, size: u64) -> Result<(), Error> {
    if shape.len() == MAX_DIMENSIONS {
        return Err(malformed(format_args!("an input has more than {MAX_DIMENSIONS} dimensions")));
    }
    // Two's complement is how the wire has what is negative.
    shape.push(size.cast_signed());
    Ok(())
}

/// `InferRequestedOutputTensor`.
fn output(message: &[u8]) -> Result<GivenOutput<'_>, Error> {
    let mut output = GivenOutput { name: "", classification: None, shared_memory: false };
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => output.name = value.string("an output's name")?,
            2 => {
                let (name, parameter) = parameter::read(value.bytes("an output's parameter")?)?;
                output.shared_memory |= name == SHARED_MEMORY;
                if name == "classification" {
                    // What is no number of classes is none that can be done without.
                    let classes = parameter.integer().map_or(1, |classes| u64::try_from(classes).unwrap_or(0));
                    output.classification = Some(classes);
                }
            }
            _ => {}
        }
    }
    Ok(output)
}

/// The parameter of an input or output that is in shared memory, of Triton's extension.
const SHARED_MEMORY: &str = "shared_memory_region";

#[cfg(test)]
mod tests;
