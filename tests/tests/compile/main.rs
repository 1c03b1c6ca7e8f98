//! `samara compile`: what it makes of a model, and what it says where it cannot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod dynamic;
mod file;
mod for_host;
mod imports;
mod labels;
mod names;
mod operators;
mod output;
mod report;
mod reproducible;
mod served;
mod shapes;
mod weights;

use std::fs;
use std::path::Path;

use samara_tests::npy;
use samara_tests::samara::{self, Run};
use samara_tests::tensor::Tensor;

/// Compiles a file within a directory, and writes the component beside it.
fn compile(directory: &Path, onnx: &Path, options: &[&str]) -> Run {
    let mut command = samara::command();
    command.current_dir(directory).arg("compile").arg(onnx).args(["-o", "model.wasm"]).args(options);
    Run::of(&mut command)
}

/// What the component that has been written there, of one input and the output `y`, gives.
fn infer(directory: &Path, input: &Tensor) -> Tensor {
    let path = directory.join("input.npy");
    npy::write(&path, input);
    let outputs = directory.join("outputs");
    let mut command = samara::command();
    command.current_dir(directory).arg("infer").arg("model.wasm");
    command.arg("--input").arg(format!("{}={}", input.name, path.display())).arg("--output").arg(&outputs);
    Run::of(&mut command).succeeds();
    let output = npy::read(&outputs.join("y.npy"), "y");
    fs::remove_dir_all(outputs).unwrap();
    output
}

/// Compiles a file, expects that it fails and leaves nothing behind, and returns the message.
#[track_caller]
fn refusal(directory: &Path, onnx: &Path, options: &[&str]) -> String {
    let before = files(directory);
    let message = compile(directory, onnx, options).fails();
    assert_eq!(files(directory), before);
    message
}

/// The names of all files in a directory, hidden ones too.
fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
