//! The Open Inference Protocol v2 over HTTP, without the HTTP: no sockets, no clock, no threads.
//!
//! A server hands in what it read (a method and a path, a few headers, a body) and gets back what to
//! do and what to send:
//!
//! 1. [`Route::parse`] says what a request line asks for.
//! 2. [`decode`] turns an inference request into tensors that are known to fit the model: their names,
//!    datatypes, shapes and lengths have been checked, so an engine need not look again.
//! 3. The engine computes, knowing nothing of HTTP or JSON.
//! 4. [`encode`] turns the engine's outputs into a reply, laid out as the request asked.
//! 5. [`repository`] has the bodies of every other route, and [`Error`] the body and status of every
//!    refusal.
//!
//! Tensor data is always little-endian, row-major and without padding. An element of datatype
//! [`Datatype::Bytes`] is its length in bytes as a little-endian `u32`, then the bytes.
//!
//! ```
//! use samara_protocol::{
//!     Datatype, InferHead, Limits, ModelMetadata, OutputTensor, TensorSpec, decode, encode,
//! };
//!
//! let spec = |name: &str, shape: &[i64]| TensorSpec {
//!     name: name.into(),
//!     datatype: Datatype::Fp32,
//!     shape: shape.into(),
//! };
//! let model = ModelMetadata {
//!     name: "same".into(),
//!     version: "1".into(),
//!     platform: "samara_wasm".into(),
//!     inputs: vec![spec("x", &[-1, 2])],
//!     outputs: vec![spec("y", &[-1, 2])],
//! };
//! let body = br#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[0.5,3]}]}"#;
//!
//! let request = decode(&InferHead::default(), body, &model, &Limits::default())?;
//! let [x] = &request.inputs[..] else { unreachable!() };
//! let y = OutputTensor {
//!     name: "y".into(),
//!     datatype: x.datatype,
//!     shape: (&x.shape[..]).into(),
//!     data: (&x.data[..]).into(),
//! };
//! let reply = encode(&request.plan, &model, &[y])?;
//! assert_eq!(
//!     reply.body,
//!     br#"{"model_name":"same","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.5,3.0]}]}"#
//! );
//! # Ok::<(), samara_protocol::Error>(())
//! ```
//!
//! The protocol is specified by [KServe][kserve]; the binary form, the configuration, the statistics and
//! the repository index by [Triton's extensions][triton].
//!
//! [kserve]: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
//! [triton]: https://github.com/triton-inference-server/server/tree/main/docs/protocol

#![forbid(unsafe_code)]
#![deny(missing_docs, rust_2018_idioms)]
// What a client sends must not be able to panic a server: whatever may be absent is asked for.
#![cfg_attr(
    not(test),
    deny(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)
)]

mod compression;
mod datatype;
mod error;
mod excerpt;
mod float16;
mod limits;
mod model;
mod object;
pub mod repository;
mod request;
mod response;
mod route;
mod tensor;

pub use compression::{Coding, compress, decompress};
pub use datatype::{Datatype, UnknownDatatype};
pub use error::Error;
pub use limits::Limits;
pub use model::{ModelMetadata, PLATFORM, TensorSpec};
pub use request::{
    Elements, GivenData, GivenInput, GivenOutput, GivenRequest, InferHead, InferRequest, InvalidElements,
    RequestedOutput, ResponsePlan, decode, decode_given, items, timeout,
};
pub use response::{InferResponse, encode, select_outputs};
pub use route::Route;
pub use tensor::{
    BytesElements, InputTensor, OutputTensor, TensorError, bytes_elements, check_data, element_count,
    push_bytes_element,
};
