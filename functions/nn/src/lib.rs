//! The guest that has its host run a model: what every model exports, and `wasi:nn` underneath.
//!
//! Like the engine, it lives twice. While a model is compiled, its loader takes what the model is called, takes and gives;
//! then the host freezes that memory. Ever after, each instance answers through what `samara-model` exports, and
//! [`Adapter`] asks the host for the graph.

mod adapter;
#[cfg(target_arch = "wasm32")]
mod loader;
mod tensor;

pub use adapter::Adapter;

#[allow(missing_docs, clippy::undocumented_unsafe_blocks, reason = "generated from wit/, which documents each item")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "samara:inference/computes",
        generate_all,
    });
}

samara_model::export!();
