//! The Open Inference Protocol v2 over gRPC, as `samara serve --grpc-listen` speaks it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod batches;
mod datatypes;
mod deadlines;
mod facts;
mod limits;
mod listen;
mod refusals;
mod stop;
mod streams;
mod telemetry;

use std::net::SocketAddr;

use samara_tests::guests;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::Tensor;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A server of `good`, which echoes, and `bad`, which loops, with these options.
fn serve(options: &[&str]) -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    guests::write(directory.path(), "loops", "bad");
    let mut serve = Serve::new([directory.path()]).grpc();
    for option in options {
        serve = serve.option(option);
    }
    (directory, serve.start())
}

/// Where a server serves gRPC.
fn address(server: &Server) -> SocketAddr {
    let ready: Value = serde_json::from_str(server.ready_line()).unwrap();
    ready["grpc_listen"].as_str().unwrap().parse().unwrap()
}

fn input(x: f32) -> [Tensor; 1] {
    [Tensor::fp32("x", &[1], &[x])]
}
