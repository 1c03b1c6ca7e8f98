//! The guest that runs a model: tract inside a WebAssembly component.
//!
//! Its life has two parts. While a model is compiled, `loader` takes the graph, has tract optimise it for the vector
//! instructions that this build was made for, and keeps the plan in memory; then the host freezes that memory. Ever after,
//! each instance starts with the plan in place and answers through what `samara-model` exports.

mod allocator;
mod entropy;
mod graph;
mod loader;
mod profile;
mod session;
mod tensor;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator::new();

samara_model::export!();
