//! Where the component goes, and that it is there whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use samara_tests::onnx;
use samara_tests::samara::{self, Run, assert_says};
use tempfile::tempdir;

use super::{compile, files};

#[test]
fn the_output_is_named_after_the_model_and_in_the_caller_s_directory() {
    let (models, directory) = (tempdir().unwrap(), tempdir().unwrap());
    let path = onnx::twice().write(models.path(), "model.onnx");
    let mut command = samara::command();
    let run = Run::of(command.current_dir(directory.path()).args(["compile", "--json"]).arg(path)).succeeds();
    assert_eq!(files(directory.path()), ["model.wasm"]);
    assert_eq!(files(models.path()), ["model.onnx"]);
    let report = run.json();
    assert_eq!(report["name"], "model");
    assert_eq!(report["version"], "1");
    let written = fs::metadata(directory.path().join("model.wasm")).unwrap();
    assert_eq!(report["component_bytes"], written.len());
    assert_eq!(written.permissions().mode() & 0o777, 0o644);
}

#[test]
fn a_path_that_cannot_be_written_is_named_and_nothing_is_left() {
    let directory = tempdir().unwrap();
    let path = onnx::twice().write(directory.path(), "model.onnx");
    fs::create_dir(directory.path().join("taken.wasm")).unwrap();
    fs::create_dir(directory.path().join("taken.wasm/full")).unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let before = files(directory.path());
    for output in ["taken.wasm", "absent/model.wasm", "file/model.wasm", "/proc/model.wasm"] {
        let mut command = samara::command();
        command.current_dir(directory.path()).arg("compile").arg(&path).args(["-o", output]);
        assert_says(&Run::of(&mut command).fails(), &["cannot write", output]);
        assert_eq!(files(directory.path()), before, "{output}");
        assert_eq!(files(&directory.path().join("taken.wasm")), ["full"]);
    }
}

/// A compilation that fails leaves alone what was there.
#[test]
fn an_earlier_output_survives_a_failure() {
    let directory = tempdir().unwrap();
    let output = directory.path().join("model.wasm");
    fs::write(&output, "the model of yesterday").unwrap();
    let path = directory.path().join("model.onnx");
    fs::write(&path, "no model").unwrap();
    compile(directory.path(), &path, &[]).fails();
    assert_eq!(fs::read(&output).unwrap(), b"the model of yesterday");
    assert_eq!(files(directory.path()), ["model.onnx", "model.wasm"]);
}

#[test]
fn an_earlier_output_is_replaced() {
    let directory = tempdir().unwrap();
    let output = directory.path().join("model.wasm");
    fs::write(&output, "the model of yesterday").unwrap();
    let path = onnx::twice().write(directory.path(), "model.onnx");
    compile(directory.path(), &path, &[]).succeeds();
    assert!(fs::read(&output).unwrap().starts_with(b"\0asm\x0d\0\x01\0"));
    assert_eq!(files(directory.path()), ["model.onnx", "model.wasm"]);
}
