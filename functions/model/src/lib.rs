//! What a component that is a model exports, whatever runs the model underneath.
//!
//! Two guests are models: the engine, which has the graph in its memory, and the adapter, which asks its host for
//! `wasi:nn`. Each implements [`Backend`], [`install`]s a [`Model`] before the snapshot, and calls [`export!`]. Ever after
//! an instance answers through one of two exports: `samara:inference/model`, typed, or `wasi:http/incoming-handler`, the
//! Open Inference Protocol v2.
//!
//! A backend gets inputs that fit the model: [`arrange`] has held them against its metadata, or the protocol's codec has.

mod answer;
mod arrange;
#[cfg(target_arch = "wasm32")]
mod component;
mod exchange;
mod model;

pub use answer::{Reply, Request, answer};
pub use arrange::{NamedInput, arrange, wanted};
pub use exchange::Exchange;
pub use model::{Backend, Input, Model, Output, RunError, install, with};

/// What an answer is where there is no model.
const EMPTY: &str = "this component carries no model: compile one with `samara compile`";

/// What [`export!`] needs. Not for direct use.
#[doc(hidden)]
pub mod private {
    #[cfg(target_arch = "wasm32")]
    pub use crate::component::*;
}

/// Exports the installed model: `samara:inference/model`, and `wasi:http/incoming-handler`.
#[macro_export]
macro_rules! export {
    () => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::private::Component;

    $crate::private::export_model!(Component with_types_in $crate::private::bindings);
        };
    };
}
