//! ONNX graphs that the host runs for its guests.
//!
//! A [`Registry`] loads each graph once, as its [`GraphSpec`] says, and hands it out by name. A [`Graph`] computes on any
//! number of threads at once, one context each, and counts what it did. What computes is a backend: tract, ONNX Runtime or
//! OpenVINO.
//!
//! Guests reach the graphs through `wasi:nn`: components through [`wit`], core modules through [`witx`]. Both are written
//! here, as crate `wasmtime-wasi-nn` has one error code for everything that a backend can report, graphs without a pool,
//! tensors that are copied once more, and panics that a guest can cause.

#![cfg_attr(
    not(test),
    deny(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::string_slice, clippy::unwrap_used)
)]

mod backend;
mod budget;
mod crossing;
mod declared;
mod error;
mod graph;
pub mod library;
mod pool;
mod registry;
mod spec;
mod tensor;
pub mod wit;
pub mod witx;

pub use error::{BackendError, ComputeError, LoadError, UnknownGraph};
pub use graph::{Graph, GraphInfo, Statistics};
pub use registry::{Options, Registry};
pub use spec::{BackendKind, Device, GraphSpec, Optimization, SpecError};
pub use tensor::Tensor;
