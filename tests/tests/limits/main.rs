//! Limits: each is met, told apart from the others, counted, and no concern of anybody else's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod body;
mod deadline;
mod elements;
mod headers;
mod instances;
mod leaks;
mod memory;
mod slow_clients;

use samara_tests::server::Server;
use samara_tests::tensor::{Tensor, outputs};

/// One element.
fn input(x: f32) -> [Tensor; 1] {
    [Tensor::fp32("x", &[1], &[x])]
}

/// Asserts that of all counters of a model just this one has counted, and so often.
#[track_caller]
fn assert_counted(server: &Server, model: &str, counter: &str, count: u64) {
    let counters = server.limits(model);
    for (name, value) in counters.as_object().unwrap() {
        let expected = if name == counter { count } else { 0 };
        assert_eq!(value.as_u64(), Some(expected), "{name} in {counters}");
    }
    assert!(counters[counter].is_u64(), "{counters}");
}

/// Asserts that the model `good`, a guest that echoes, answers.
#[track_caller]
fn assert_good(server: &Server) {
    let reply = server.infer("good", &input(3.0));
    assert_eq!(outputs(&reply), [Tensor::fp32("y", &[1], &[3.0])]);
}
