//! Makes components of functions, and one of a function and the model that it asks.
//!
//! A function is built as a core module, which [`lift`] makes a component of, or as a component already. [`link`] gives
//! the function's import `samara:inference/model` the model's export of that name, and what comes out is one
//! self-contained component: it exports what the function exports, and imports what either still needs.

#![forbid(unsafe_code)]

mod error;
mod lift;
mod link;

pub use error::LinkError;
pub use lift::lift;
pub use link::{asks_model, link};
pub use samara_artifact::MODEL_INTERFACE;
