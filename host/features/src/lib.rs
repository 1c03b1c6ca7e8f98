//! Makes every cargo command build the dependencies with the same features.
//!
//! Cargo builds a dependency with the features that the packages of one command ask for. The tests ask for more than the
//! command does, so `cargo build` and `cargo nextest run` would each compile Wasmtime, minutes of work, for themselves; and
//! what `make build` compiles beside the engine asks for less.
//! This crate, which the runtime depends on, asks for the union. It has no code.
