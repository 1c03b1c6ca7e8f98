//! What a request to a model holds before it is decoded: what came, in the form in which it came.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use samara_protocol::{
    Error, InferHead, InferRequest, InferResponse, Limits, ModelMetadata, OutputTensor, ResponsePlan, decode, encode,
    items,
};

/// `Inference-Header-Content-Length`, of the protocol's binary form.
pub const INFERENCE_HEADER_CONTENT_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What a request to a model holds. It is decoded on a worker's thread.
pub enum Message {
    /// JSON, or the protocol's binary form, over HTTP.
    Http { headers: HeaderMap, body: Bytes },
    /// A `ModelInferRequest`, over gRPC.
    Grpc(Bytes),
}

/// How much JSON is looked at before a request is decoded.
const LOOKED_AT_BYTES: usize = 64 << 10;

impl Message {
    /// How many items it holds, as far as that can be told at little cost.
    pub fn items(&self) -> Option<usize> {
        match self {
            Message::Http { headers, body } => {
                let length = headers.get(INFERENCE_HEADER_CONTENT_LENGTH).and_then(|length| length.to_str().ok());
                let json = length.map_or(Some(body.len()), |length| length.trim().parse().ok())?;
                let items = (json <= LOOKED_AT_BYTES).then(|| items(length, body)).flatten()?;
                usize::try_from(items).ok()
            }
            Message::Grpc(message) => usize::try_from(samara_grpc::request::items(message)?).ok(),
        }
    }

    /// The request, held against what the model takes.
    pub fn decode<'a>(&'a self, model: &'a ModelMetadata, limits: &Limits) -> Result<InferRequest<'a>, Error> {
        match self {
            Message::Http { headers, body } => {
                let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
                let head = InferHead {
                    content_type: header(&CONTENT_TYPE),
                    inference_header_content_length: header(&INFERENCE_HEADER_CONTENT_LENGTH),
                    content_encoding: header(&CONTENT_ENCODING),
                    accept_encoding: header(&ACCEPT_ENCODING),
                };
                decode(&head, body, model, limits)
            }
            Message::Grpc(message) => samara_grpc::request::decode(message, model, limits),
        }
    }

    /// The reply, in the form in which the request came.
    pub fn encode(
        &self,
        plan: &ResponsePlan,
        model: &ModelMetadata,
        outputs: &[OutputTensor<'_>],
    ) -> Result<InferResponse, Error> {
        match self {
            Message::Http { .. } => encode(plan, model, outputs),
            Message::Grpc(_) => Ok(InferResponse {
                content_type: "application/grpc",
                inference_header_content_length: None,
                content_encoding: None,
                body: samara_grpc::response::encode(plan, model, outputs)?,
            }),
        }
    }
}
