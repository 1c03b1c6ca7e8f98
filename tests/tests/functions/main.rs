//! Functions: linked with their models, and served.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod failures;
mod link;
mod refused;
mod reuse;
mod routes;
mod spin;

use std::path::PathBuf;

use samara_tests::models;
use samara_tests::samara::checkout;

/// A function of this repository, as a component without its model.
fn function(name: &str) -> PathBuf {
    let path = checkout().join("target/functions").join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run `make functions`", path.display());
    path
}

/// The model that `score` asks.
fn autoencoder() -> PathBuf {
    models::card("anomaly-autoencoder").compiled()
}

/// A path, as an option's value.
fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}
