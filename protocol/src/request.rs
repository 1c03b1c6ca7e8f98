//! Inference requests: JSON, JSON followed by binary data, or one tensor's raw bytes.

mod elements;
mod envelope;
mod given;
mod head;
mod inputs;
mod outputs;
mod raw;
mod shape;

use std::borrow::Cow;

pub use self::given::{Elements, GivenData, GivenInput, GivenOutput, GivenRequest, InvalidElements, decode_given};
use self::head::Payload;
use crate::object::Object;
use crate::{Coding, Error, InputTensor, Limits, ModelMetadata, decompress};

/// The headers of an inference request that matter, as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InferHead<'a> {
    /// `Content-Type`: absent, `application/json` or `application/octet-stream`, which are taken alike.
    pub content_type: Option<&'a str>,
    /// `Inference-Header-Content-Length`: the bytes of JSON that precede the binary data, counted before
    /// `content_encoding` was applied. Absent where the body is all JSON; 0 where it has none.
    pub inference_header_content_length: Option<&'a str>,
    /// `Content-Encoding`: see [`decompress`].
    pub content_encoding: Option<&'a str>,
    /// `Accept-Encoding`: see [`Coding::preferred`].
    pub accept_encoding: Option<&'a str>,
}

/// A request that fits the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferRequest<'a> {
    /// Every input of the model exactly once, in the model's order, whatever the request's order was.
    pub inputs: Vec<InputTensor<'a>>,
    /// How long the client waits, in microseconds, where it says so. What is zero or less has passed.
    pub timeout: Option<i64>,
    /// How to lay out the reply; give it to [`encode`](crate::encode).
    pub plan: ResponsePlan,
}

/// How a request wants its reply. Owns what it needs, so that it can outlive the request's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponsePlan {
    /// The request's `id`, which the reply repeats.
    pub id: Option<String>,
    /// The outputs to send, in the reply's order: those requested, or all of the model's.
    pub outputs: Vec<RequestedOutput>,
    /// The content coding that the client prefers, of those known here.
    pub coding: Option<Coding>,
}

/// One output that a reply must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedOutput {
    /// Which output: an index into [`ModelMetadata::outputs`].
    pub index: usize,
    /// Whether its data follows the JSON as bytes, rather than inside it.
    pub binary: bool,
}

/// Decodes an inference request for `model`.
///
/// Three forms are understood, all of them also under a `Content-Encoding`:
///
/// - JSON, each input's `data` flat or nested like its `shape`;
/// - JSON followed by the bytes of those inputs that have a `binary_data_size`, in the request's order;
/// - with an `Inference-Header-Content-Length` of 0, the raw bytes of the model's only input. Its one
///   unknown dimension follows from the number of bytes; a `BYTES` input is one element, without a length
///   before it. The reply's outputs are binary, as Triton sends them.
///
/// Parameters that ask for nothing this crate knows are passed over.
///
/// Sources: KServe's Open Inference Protocol v2, "Inference Request JSON Object"; Triton's binary tensor
/// data extension, and its HTTP server for the raw form.
///
/// # Errors
///
/// [`Error::BadRequest`], naming the input and what it should have been, for a request that is malformed
/// or does not fit the model; [`Error::UnsupportedMediaType`] for a content type or coding that is not
/// understood; [`Error::PayloadTooLarge`] and [`Error::TensorTooLarge`] for more than `limits` allow.
pub fn decode<'a>(
    head: &InferHead<'_>,
    body: &'a [u8],
    model: &'a ModelMetadata,
    limits: &Limits,
) -> Result<InferRequest<'a>, Error> {
    head::check_content_type(head.content_type)?;
    let body = decompress(head.content_encoding, body, limits.max_body_bytes)?;
    let mut request = match body {
        Cow::Borrowed(body) => decode_plain(head, body, model, limits)?,
        Cow::Owned(body) => decode_plain(head, &body, model, limits)?.into_owned(),
    };
    request.plan.coding = Coding::preferred(head.accept_encoding);
    Ok(request)
}

/// How long a client waits by the parameter `timeout` of its request, in microseconds, without decoding the rest; `None`
/// where it does not say, or the body is coded or no request.
///
/// `header_length` is the `Inference-Header-Content-Length`. Source: Triton's schedule policy extension.
#[must_use]
pub fn timeout(header_length: Option<&str>, body: &[u8]) -> Option<i64> {
    match Payload::split(header_length, body) {
        Ok(Payload::Json { json, .. }) => envelope::read_timeout(json),
        _ => None,
    }
}

/// How many items a request holds, by the first dimension of its first input, without decoding the rest; `None` where that
/// cannot be told: the body is coded, raw or no request.
///
/// `header_length` is the `Inference-Header-Content-Length`.
#[must_use]
pub fn items(header_length: Option<&str>, body: &[u8]) -> Option<u64> {
    match Payload::split(header_length, body) {
        Ok(Payload::Json { json, .. }) => envelope::read_items(json),
        _ => None,
    }
}

fn decode_plain<'a>(
    head: &InferHead<'_>,
    body: &'a [u8],
    model: &'a ModelMetadata,
    limits: &Limits,
) -> Result<InferRequest<'a>, Error> {
    match Payload::split(head.inference_header_content_length, body)? {
        Payload::Raw(data) => Ok(InferRequest {
            inputs: vec![raw::read(data, model, limits)?],
            timeout: None,
            plan: ResponsePlan { id: None, outputs: outputs::all(model, true), coding: None },
        }),
        Payload::Json { json, binary } => {
            let envelope = envelope::read(json, binary.is_some())?;
            let inputs = envelope.inputs.as_ref().map_or(&[][..], |list| &list.0);
            let outputs = outputs::plan(&envelope, model)?;
            Ok(InferRequest {
                inputs: inputs::read(inputs, binary, model, limits)?,
                timeout: envelope.parameters.as_ref().and_then(|Object(parameters)| parameters.timeout),
                plan: ResponsePlan { id: envelope.id, outputs, coding: None },
            })
        }
    }
}

// === impl InferRequest ===

impl InferRequest<'_> {
    /// The same request, borrowing neither the body nor the model.
    #[must_use]
    pub fn into_owned(self) -> InferRequest<'static> {
        let InferRequest { inputs, timeout, plan } = self;
        InferRequest { inputs: inputs.into_iter().map(InputTensor::into_owned).collect(), timeout, plan }
    }
}

#[cfg(test)]
mod tests;
