//! Requests in another form than JSON: read by whoever knows that form, and checked here as all others are.

use std::borrow::Cow;

use super::inputs::{self, NO_SHARED_MEMORY, refusal};
use super::shape::{self, Shape};
use super::{InferRequest, ResponsePlan, outputs};
use crate::{Datatype, Error, InputTensor, Limits, ModelMetadata, TensorSpec};

/// A request as another form than JSON gives it, before anything of it was held against the model.
#[derive(Clone, Debug, Default)]
pub struct GivenRequest<'a, E> {
    /// The request's id, if it has one.
    pub id: Option<&'a str>,
    /// How long the client waits, in microseconds, where it says so.
    pub timeout: Option<i64>,
    /// The inputs, in the request's order.
    pub inputs: Vec<GivenInput<'a, E>>,
    /// The outputs that are asked for; none for all.
    pub outputs: Vec<GivenOutput<'a>>,
}

/// An input of a [`GivenRequest`].
#[derive(Clone, Debug)]
pub struct GivenInput<'a, E> {
    /// The name of the input.
    pub name: &'a str,
    /// The name of its datatype.
    pub datatype: &'a str,
    /// The size of each dimension.
    pub shape: Vec<i64>,
    /// Whether it is to be taken from shared memory, which is refused.
    pub shared_memory: bool,
    /// Its data.
    pub data: GivenData<'a, E>,
}

/// An output that a [`GivenRequest`] asks for.
#[derive(Clone, Copy, Debug)]
pub struct GivenOutput<'a> {
    /// The name of the output.
    pub name: &'a str,
    /// How many classes are wanted instead of the tensor: refused, unless it is none or zero.
    pub classification: Option<u64>,
    /// Whether it is to be put into shared memory, which is refused.
    pub shared_memory: bool,
}

/// The data of a [`GivenInput`].
#[derive(Clone, Debug)]
pub enum GivenData<'a, E> {
    /// As a tensor has it: little-endian and row-major.
    Raw(&'a [u8]),
    /// Elements in a form of their own.
    Elements(E),
}

/// Elements in a form of their own.
pub trait Elements<'a> {
    /// Makes `count` elements of a datatype, little-endian and row-major, of what is there. No more of it is read than that.
    ///
    /// # Errors
    ///
    /// [`InvalidElements`] where it is of another type, or other in number.
    fn read(&self, datatype: Datatype, count: u64) -> Result<Cow<'a, [u8]>, InvalidElements>;
}

/// Why elements are none of an input's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidElements {
    /// There are fewer than the shape asks for: so many.
    TooFew(u64),
    /// There are more.
    TooMany,
    /// Anything else, as the rest of a sentence about the input.
    Other(String),
}

/// Checks a request against a model, as [`decode`](crate::decode) does with one in JSON; the reply's outputs are binary.
///
/// # Errors
///
/// [`Error::BadRequest`], naming the input or output and what it should have been, for what does not fit the model;
/// [`Error::TensorTooLarge`] for more elements than `limits` allow, before any are read.
pub fn decode_given<'a, E: Elements<'a>>(
    request: &GivenRequest<'a, E>,
    model: &'a ModelMetadata,
    limits: &Limits,
) -> Result<InferRequest<'a>, Error> {
    let outputs = match &request.outputs[..] {
        [] => outputs::all(model, true),
        asked => outputs::collect(
            asked,
            |output| output.name,
            model,
            |output| {
                outputs::check(output.name, output.classification, output.shared_memory)?;
                Ok(true)
            },
        )?,
    };
    let read = |input: &GivenInput<'a, E>, spec| read_one(input, spec, limits);
    Ok(InferRequest {
        inputs: inputs::arrange(&request.inputs, |input| input.name, model, read)?.all()?,
        timeout: request.timeout,
        plan: ResponsePlan { id: request.id.map(str::to_owned), outputs, coding: None },
    })
}

fn read_one<'a, E: Elements<'a>>(
    input: &GivenInput<'a, E>,
    spec: &'a TensorSpec,
    limits: &Limits,
) -> Result<InputTensor<'a>, Error> {
    inputs::check_datatype(input.datatype, spec)?;
    let shape = shape::from_signed(spec, &input.shape)?;
    let count = shape::count(spec, &shape, limits)?;
    if input.shared_memory {
        return Err(refusal(spec, NO_SHARED_MEMORY));
    }
    let data = match &input.data {
        GivenData::Raw(data) => Cow::Borrowed(*data),
        GivenData::Elements(elements) => elements.read(spec.datatype, count).map_err(|error| {
            let shape = Shape(&shape);
            let why = match error {
                InvalidElements::TooFew(found) => {
                    format!("its contents have {found} elements, shape {shape} asks for {count}")
                }
                InvalidElements::TooMany => {
                    format!("its contents have more elements than the {count} that shape {shape} asks for")
                }
                InvalidElements::Other(why) => why,
            };
            refusal(spec, &why)
        })?,
    };
    inputs::check_bytes(&data, spec, &shape)?;
    Ok(InputTensor { name: Cow::Borrowed(&spec.name), datatype: spec.datatype, shape, data })
}
