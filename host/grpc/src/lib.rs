//! The Open Inference Protocol v2 over gRPC, without the gRPC: no sockets, no clock, no threads.
//!
//! [`inference`] and [`health`] are the messages of `proto/`, made by `make grpc-messages`. Two of them carry tensors, and
//! have code of their own here: [`request`] reads a `ModelInferRequest` in place, so that tensors are not copied and what it
//! takes is bounded by what it holds; [`response`] writes a `ModelInferResponse` with one copy of each output. [`status`] has
//! the code that goes with each refusal.

#![forbid(unsafe_code)]
// What a client sends must not be able to panic a server: whatever may be absent is asked for.
#![cfg_attr(
    not(test),
    deny(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)
)]

mod facts;
mod messages;
pub mod request;
pub mod response;
pub mod status;
mod wire;

pub use facts::{model_config, model_metadata, statistics};
pub use messages::{health, inference};
