//! The Open Inference Protocol v2, as `samara serve` speaks it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod bad_requests;
mod compression;
mod datatypes;
mod dynamic_shapes;
mod forms;
mod http_versions;
mod requested_outputs;
mod routes;

use samara_tests::models;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::Tensor;

/// A server for the model `duo`: see [`samara_tests::onnx::duo`].
fn duo() -> Server {
    Serve::new([models::duo()]).start()
}

/// One row for `duo`.
fn inputs() -> [Tensor; 2] {
    [Tensor::fp32("a", &[1, 2], &[6.0, -1.5]), Tensor::fp32("b", &[1, 2], &[2.0, 0.5])]
}

/// What `duo` makes of it.
fn expected() -> [Tensor; 4] {
    [
        Tensor::fp32("sum", &[1, 2], &[8.0, -1.0]),
        Tensor::fp32("product", &[1, 2], &[12.0, -0.75]),
        Tensor::fp32("quotient", &[1, 2], &[3.0, -3.0]),
        Tensor::new("larger", "BOOL", &[1, 2], vec![1, 0]),
    ]
}
