//! The guest that runs a model: tract inside a WebAssembly component.
//!
//! Its life has two parts. While a model is compiled, [`loader`] takes the graph, has tract optimise it for the vector
//! instructions that this build was made for, and keeps the plan in memory; then the host freezes that memory. Ever after,
//! each instance starts with the plan in place and answers through one of two exports: `samara:inference/model`, typed
//! ([`model`]), or `wasi:http/incoming-handler`, the Open Inference Protocol v2 ([`http`]).

mod allocator;
mod entropy;
mod graph;
mod http;
mod loader;
mod model;
mod tensor;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator::new();

#[allow(missing_docs, clippy::undocumented_unsafe_blocks, reason = "generated from wit/, which documents each item")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "samara:inference/engine",
        generate_all,
    });
}

/// What the component exports.
struct Component;

bindings::export!(Component with_types_in bindings);
