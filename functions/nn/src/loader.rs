//! How the declaration of a model gets into the adapter, before the snapshot is taken.
//!
//! These are the plain core exports of the engine's loader, without the one that takes parts of a graph:
//!
//! 1. [`samara_buffer`] gives a buffer, into which the host writes the declaration.
//! 2. [`samara_load`] takes the declaration.
//! 3. [`samara_reply`] tells where the reply is.
//!
//! A call returns 0 when it went well; otherwise its reply is the error's text.

use std::cell::RefCell;

use samara_model::{Exchange, Model};
use samara_protocol::ModelMetadata;
use serde::Deserialize;

use crate::Adapter;

/// What the host declares about the model, in JSON.
#[derive(Deserialize)]
struct Declaration {
    model: ModelMetadata,
    labels: Vec<String>,
    /// The name of the graph to ask the host for.
    graph: String,
}

thread_local! {
    static EXCHANGE: RefCell<Exchange> = RefCell::default();
}

fn load(declaration: &[u8]) -> Result<Vec<u8>, String> {
    let Declaration { model: metadata, labels, graph } =
        serde_json::from_slice(declaration).map_err(|error| error.to_string())?;
    samara_model::install(Model { metadata, labels, backend: Box::new(Adapter { graph }) });
    Ok(b"{}".to_vec())
}

/// Gives a zeroed buffer of `length` bytes for the next call's argument.
#[unsafe(export_name = "samara-buffer")]
extern "C" fn samara_buffer(length: usize) -> *mut u8 {
    wit_bindgen::rt::run_ctors_once();
    EXCHANGE.with_borrow_mut(|exchange| exchange.buffer(length))
}

/// Takes the declaration in the buffer.
#[unsafe(export_name = "samara-load")]
extern "C" fn samara_load() -> i32 {
    EXCHANGE.with_borrow_mut(|exchange| {
        let outcome = load(&exchange.take());
        exchange.answer(outcome)
    })
}

/// Where the last reply is: its address in the upper half, its length in the lower.
#[unsafe(export_name = "samara-reply")]
extern "C" fn samara_reply() -> u64 {
    EXCHANGE.with_borrow(Exchange::reply)
}

/// Drops what only loading needed. The last call before the snapshot.
#[unsafe(export_name = "samara-finish")]
extern "C" fn samara_finish() {
    EXCHANGE.with_borrow_mut(std::mem::take);
}
