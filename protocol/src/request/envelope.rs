//! The JSON of a request, as far as it can be read without knowing the model.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::Error;
use crate::object::Object;

/// The most inputs or outputs that a request may list: far more than models have, and a bound on memory.
const MAX_TENSORS: usize = 1024;

/// `$inference_request`.
#[derive(serde::Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) parameters: Option<Object<RequestParameters>>,
    #[serde(borrow, default)]
    pub(super) inputs: Option<List<Input<'a>>>,
    #[serde(borrow, default)]
    pub(super) outputs: Option<List<Output<'a>>>,
}

/// `$request_input`; what is missing or of another type is told by whoever knows the input's name.
#[derive(serde::Deserialize)]
pub(super) struct Input<'a> {
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) shape: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) datatype: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) parameters: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
}

/// `$request_output`.
#[derive(serde::Deserialize)]
pub(super) struct Output<'a> {
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) parameters: Option<&'a RawValue>,
}

/// The parameters of a request that are known here.
#[derive(Default, serde::Deserialize)]
pub(super) struct RequestParameters {
    #[serde(default)]
    pub(super) binary_data_output: Option<bool>,
    #[serde(default)]
    pub(super) timeout: Option<i64>,
}

/// The parameters of an input that are known here.
#[derive(Default, serde::Deserialize)]
pub(super) struct InputParameters {
    #[serde(default)]
    pub(super) binary_data_size: Option<u64>,
    #[serde(default)]
    pub(super) shared_memory_region: Option<IgnoredAny>,
}

/// The parameters of an output that are known here.
#[derive(Default, serde::Deserialize)]
pub(super) struct OutputParameters {
    #[serde(default)]
    pub(super) binary_data: Option<bool>,
    #[serde(default)]
    pub(super) classification: Option<u64>,
    #[serde(default)]
    pub(super) shared_memory_region: Option<IgnoredAny>,
}

/// A JSON array of objects, not longer than [`MAX_TENSORS`].
pub(super) struct List<T>(pub(super) Vec<T>);

/// Reads the JSON of a request; `split` tells whether a header said where it ends.
pub(super) fn read(json: &[u8], split: bool) -> Result<Envelope<'_>, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let Object(envelope) = Object::<Envelope<'_>>::deserialize(&mut deserializer)
        .map_err(|error| Error::BadRequest(format!("invalid JSON in the request: {error}")))?;
    if deserializer.end().is_err() {
        let message = if split {
            "the JSON object ends before Inference-Header-Content-Length says"
        } else {
            "bytes follow the JSON object, but there is no Inference-Header-Content-Length to tell \
             where binary data starts"
        };
        return Err(Error::BadRequest(message.into()));
    }
    Ok(envelope)
}

/// Reads of the JSON of a request how long the client waits; what is no request reads as if it did not say.
pub(super) fn read_timeout(json: &[u8]) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Parameters {
        #[serde(default)]
        parameters: Option<Object<RequestParameters>>,
    }
    let Object(request) = serde_json::from_slice::<Object<Parameters>>(json).ok()?;
    request.parameters.and_then(|Object(parameters)| parameters.timeout)
}

/// Reads of the JSON of a request the first dimension of its first input; what is no request has none.
pub(super) fn read_items(json: &[u8]) -> Option<u64> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Shape {
        shape: Vec<u64>,
    }
    #[derive(serde::Deserialize)]
    struct Inputs {
        inputs: List<Shape>,
    }
    let Object(Inputs { inputs }) = serde_json::from_slice(json).ok()?;
    inputs.0.first()?.shape.first().copied()
}

/// Reads a `parameters` object; no object reads as an empty one.
pub(super) fn read_parameters<'a, T>(json: Option<&'a RawValue>) -> Result<T, serde_json::Error>
where
    T: Deserialize<'a> + Default,
{
    json.map_or_else(|| Ok(T::default()), |json| serde_json::from_str(json.get()).map(|Object(parameters)| parameters))
}

// === impl List ===

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of objects")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Object(item)) = items.next_element()? {
                    if list.len() == MAX_TENSORS {
                        return Err(de::Error::custom(format_args!("more than {MAX_TENSORS} tensors")));
                    }
                    list.push(item);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}
