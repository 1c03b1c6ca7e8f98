//! Components that cannot be served as functions, and what is said of them.

use std::fs;

use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use tempfile::tempdir;

use crate::{autoencoder, function, text};

/// A component that exports empty interfaces of these names, and imports such.
fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let imports: String = imports.iter().map(|name| format!("(import \"{name}\" (instance))\n")).collect();
    let exports: String = exports.iter().map(|name| format!("(export \"{name}\" (instance $i))\n")).collect();
    wat::parse_str(format!("(component {imports} (component $c) (instance $i (instantiate $c)) {exports})")).unwrap()
}

#[test]
fn a_component_that_is_no_function_is_refused() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("other.wasm");
    let (old, new) = ("wasi:http/incoming-handler@0.2.0", "wasi:http/handler@0.3.0");
    let others: [(&[&str], &[&str], &[&str]); 3] = [
        (&[], &["a:b/c@1.0.0"], &["answers no HTTP requests", "a:b/c@1.0.0"]),
        (&[], &[old, new], &["two handlers"]),
        (&["wasi:nn/graph@0.2.0", "a:b/c"], &[old], &["does not grant", "wasi:nn/graph@0.2.0, a:b/c"]),
    ];
    for (imports, exports, said) in others {
        fs::write(&path, component(imports, exports)).unwrap();
        let message = Serve::functions(&["--function", text(&path)]).fails();
        assert_says(&message, &[&["other.wasm"], said].concat());
    }
    fs::write(&path, "no component").unwrap();
    assert_says(&Serve::functions(&["--function", text(&path)]).fails(), &["other.wasm"]);
}

#[test]
fn a_function_without_its_model_is_told_how_to_get_it() {
    let message = Serve::functions(&["--function", text(&function("score"))]).fails();
    assert_says(&message, &["samara:inference/model@0.1.0", "--model"]);
}

#[test]
fn a_model_is_a_function_too() {
    // It answers the protocol by its own handler: everything below /v2.
    let model = autoencoder();
    let server = Serve::functions(&["--function", text(&model), "--route", "/v2/..."]).start();
    assert_eq!(server.get("/v2/models/anomaly-autoencoder").status, 200);
}
