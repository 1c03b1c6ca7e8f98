//! What a node tells of itself: metrics, logs and traces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod dashboard;
mod logs;
mod metrics;
mod traces;

use std::collections::BTreeMap;

use samara_tests::http::Request;
use samara_tests::server::Server;
use samara_tests::tensor::Tensor;

fn input(x: f32) -> [Tensor; 1] {
    [Tensor::fp32("x", &[1], &[x])]
}

/// The metrics of a server: each series with its value, its labels in the order of their names.
fn metrics(server: &Server) -> BTreeMap<String, f64> {
    let reply = server.send(&Request::get("/metrics")).expect(200);
    assert!(reply.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    parse(std::str::from_utf8(&reply.body).unwrap())
}

fn parse(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}
