//! What a component asks of its host.

use std::fs;
use std::path::Path;

use samara_tests::models;
use wasmparser::{Validator, WasmFeatures};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Resolve, WorldItem, WorldKey};

fn names<'a>(resolve: &Resolve, items: impl Iterator<Item = (&'a WorldKey, &'a WorldItem)>) -> Vec<String> {
    let mut names: Vec<String> = items.map(|(key, _)| resolve.name_world_key(key)).collect();
    names.sort();
    names
}

/// The imports and exports of a component, found without any code of ours.
pub fn interfaces(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let DecodedWasm::Component(resolve, world) = decode(component).unwrap() else { panic!("no component") };
    let world = &resolve.worlds[world];
    (names(&resolve, world.imports.iter()), names(&resolve, world.exports.iter()))
}

#[track_caller]
fn assert_imports_nothing_but_http_and_io(component: &Path) {
    let (imports, exports) = interfaces(&fs::read(component).unwrap());
    for import in &imports {
        assert!(import.starts_with("wasi:http/") || import.starts_with("wasi:io/"), "{import} is imported");
    }
    assert!(imports.iter().all(|import| !import.starts_with("wasi:http/outgoing-handler")), "{imports:?}");
    assert_eq!(exports.len(), 2, "{exports:?}");
    assert!(exports[0].starts_with("samara:inference/model@0.1."), "{exports:?}");
    assert!(exports[1].starts_with("wasi:http/incoming-handler@0.2."), "{exports:?}");
}

#[test]
fn a_component_with_relaxed_simd_imports_only_http_and_io() {
    let component = models::card("fashion-cnn").compiled();
    assert_imports_nothing_but_http_and_io(&component);
}

#[test]
fn a_component_with_plain_simd_imports_only_http_and_io() {
    let card = models::card("fashion-cnn");
    let component = models::compiled("fashion-cnn", &card.onnx(), &["--simd", "baseline"]);
    assert_imports_nothing_but_http_and_io(&component);
}

/// What `--simd` says is what a host needs.
#[test]
fn only_a_relaxed_component_needs_relaxed_simd() {
    let card = models::card("fashion-cnn");
    let baseline = models::compiled("fashion-cnn", &card.onnx(), &["--simd", "baseline"]);
    let relaxed = models::compiled("fashion-cnn", &card.onnx(), &["--simd", "relaxed"]);
    let is_valid = |component: &Path, features| {
        Validator::new_with_features(features).validate_all(&fs::read(component).unwrap()).is_ok()
    };
    let all = WasmFeatures::default();
    let plain = all - WasmFeatures::RELAXED_SIMD;
    assert!(is_valid(&baseline, plain));
    assert!(is_valid(&relaxed, all));
    assert!(!is_valid(&relaxed, plain));
}
