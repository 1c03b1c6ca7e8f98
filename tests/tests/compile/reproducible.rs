//! The same model gives the same bytes.

use std::fs;
use std::path::Path;

use samara_tests::models;
use samara_tests::samara::{self, Run};
use tempfile::tempdir;

fn component(directory: &Path, onnx: &Path, options: &[&str]) -> Vec<u8> {
    let mut command = samara::command();
    command.current_dir(directory).arg("compile").arg(onnx).args(["-o", "out.wasm"]).args(options);
    Run::of(&mut command).succeeds();
    fs::read(directory.join("out.wasm")).unwrap()
}

/// Compiled in two places, at two times, with an empty cache, a full one and none.
#[test]
fn the_same_model_gives_the_same_bytes() {
    let (first, second, cache) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let source = models::card("anomaly-autoencoder").onnx();
    for directory in [&first, &second] {
        fs::copy(&source, directory.path().join("model.onnx")).unwrap();
    }
    let cached = ["--cache-dir", cache.path().to_str().unwrap()];
    let one = component(first.path(), Path::new("model.onnx"), &cached);
    let two = component(second.path(), &second.path().join("model.onnx"), &cached);
    let three = component(first.path(), Path::new("./model.onnx"), &["--no-cache"]);
    // Not assert_eq, which would print both.
    assert!(one == two, "a full cache and another directory give other bytes");
    assert!(one == three, "no cache gives other bytes");
}

/// A component tells nothing about the machine that it was made on, but the kind of processors.
#[test]
fn a_component_holds_no_path_of_this_machine() {
    let directory = tempdir().unwrap();
    let onnx = directory.path().join("model.onnx");
    fs::copy(models::card("anomaly-autoencoder").onnx(), &onnx).unwrap();
    let component = component(directory.path(), &onnx, &[]);
    let home = std::env::var("HOME").unwrap();
    for path in [directory.path(), &samara::checkout(), &Path::new(&home).join(".cargo")] {
        let text = path.to_str().unwrap();
        let found = component.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{text} is in the component");
    }
}

/// Trees become tables of thresholds through hash maps, if anything does.
#[test]
fn a_model_of_many_kinds_of_operators_gives_the_same_bytes() {
    let directory = tempdir().unwrap();
    for name in ["breast-random-forest", "fashion-cnn"] {
        let card = models::card(name);
        let one = component(directory.path(), &card.onnx(), &card.options());
        let two = component(directory.path(), &card.onnx(), &card.options());
        assert!(one == two, "{name}");
    }
}
