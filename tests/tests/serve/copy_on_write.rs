//! An instance's memory is the machine code's file, mapped: what is only read is not even copied.

use std::path::Path;

use samara_tests::models;
use samara_tests::process::{Mapping, mappings};
use samara_tests::samara;
use samara_tests::server::Serve;
use samara_tests::tensor::outputs;

/// The mappings that an instance can write without the file being written.
fn private_images(process: u32) -> Vec<Mapping> {
    let is_image = |path: &Path| {
        path.extension().is_some_and(|extension| extension == "cwasm") || path.starts_with("/memfd:wasm-memory-image")
    };
    mappings(process).into_iter().filter(|mapping| mapping.permissions == "rw-p" && is_image(&mapping.path)).collect()
}

/// The model with the largest image that is small enough to be in this repository, and one above the 16 MiB from which on
/// Wasmtime by itself copies an image with holes in it.
#[test]
fn memory_is_mapped_copy_on_write() {
    for name in ["fashion-cnn", "efficientnet-lite0"] {
        let card = models::card(name);
        let component = card.compiled();
        let inspected = samara::run(["inspect", "--json", component.to_str().unwrap()]).succeeds().json();
        let image = find_number(&inspected, "image_bytes").expect("inspect tells the image's size");

        let server = Serve::new([&component]).start();
        let vector = &card.vectors[0];
        outputs(&server.infer(name, &vector.inputs()));
        let images = private_images(server.process());
        let largest = images.iter().max_by_key(|mapping| mapping.bytes);
        let largest = largest.unwrap_or_else(|| panic!("{name}: no image is mapped privately"));
        // All of it, but for the pages at both ends.
        assert!(largest.bytes + (256 << 10) >= image, "{name}: {largest:?}, the image has {image} bytes");
        // Weights are read and never written, so most pages are the file's still.
        assert!(largest.dirty_bytes < image / 2, "{name}: {largest:?}, the image has {image} bytes");
    }
}

/// The number under a key, wherever it is.
fn find_number(json: &serde_json::Value, key: &str) -> Option<u64> {
    match json {
        serde_json::Value::Object(members) => members
            .get(key)
            .and_then(serde_json::Value::as_u64)
            .or_else(|| members.values().find_map(|member| find_number(member, key))),
        serde_json::Value::Array(items) => items.iter().find_map(|item| find_number(item, key)),
        _ => None,
    }
}
