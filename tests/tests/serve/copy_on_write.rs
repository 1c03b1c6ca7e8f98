//! An instance's memory is the machine code's file, mapped: what is only read is not even copied.

use std::path::Path;

use samara_tests::models;
use samara_tests::process::{Mapping, kernel_finds_written_pages, mappings, page_faults};
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
        assert!(largest.written_bytes < image / 2, "{name}: {largest:?}, the image has {image} bytes");
    }
}

/// What inferences write is kept together in few runs of pages, which a slot keeps: where there are more than Wasmtime
/// keeps track of, all further pages are given back and fault again.
#[test]
fn a_slot_that_served_before_has_its_pages() {
    const ROUNDS: u64 = 20;
    if !kernel_finds_written_pages() {
        eprintln!("not checked: a kernel before Linux 6.7 cannot tell which pages were written");
        return;
    }
    let card = models::card("efficientnet-lite0");
    let server = Serve::new([&card.compiled()]).start();
    let vector = &card.vectors[0];
    // Every worker has had its turn after these.
    for _ in 0..ROUNDS {
        outputs(&server.infer("efficientnet-lite0", &vector.inputs()));
    }
    let before = page_faults(server.process());
    for _ in 0..ROUNDS {
        outputs(&server.infer("efficientnet-lite0", &vector.inputs()));
    }
    // What is left are the buffers of requests: an input of 147 pages, as bytes and as JSON.
    let faults = (page_faults(server.process()) - before) / ROUNDS;
    assert!(faults < 1000, "{faults} page faults for a request");
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
