//! The two exports of a model.

mod handler;
mod typed;

#[allow(missing_docs, clippy::undocumented_unsafe_blocks, reason = "generated from wit/, which documents each item")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "samara:inference/engine",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_model",
    });
}

pub use bindings::export_model;

/// What the component exports.
pub struct Component;
