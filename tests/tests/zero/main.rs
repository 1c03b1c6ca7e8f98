//! What costs nothing at rest: models that nobody asks, and a process that nobody connects to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod activation;
mod budget;
mod cache;
mod idle;
mod many;

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::server::Server;
use samara_tests::tensor::Tensor;

/// One number for a model that takes and gives such.
fn input(value: f32) -> [Tensor; 1] {
    [Tensor::fp32("x", &[1], &[value])]
}

/// What a metric without labels of a model says.
#[track_caller]
fn metric(server: &Server, series: &str) -> f64 {
    server.metric(series).unwrap_or_else(|| panic!("{series} is not told"))
}

/// How many models are mapped.
#[track_caller]
fn mapped(server: &Server) -> f64 {
    metric(server, r#"samara_models{state="mapped"}"#)
}

/// Waits until something is so.
#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
