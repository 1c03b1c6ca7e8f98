//! `samara compile`: what it makes of a model, and what it says where it cannot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod dynamic;
mod file;
mod for_host;
mod imports;
mod labels;
mod operators;
mod output;
mod report;
mod reproducible;
mod served;
mod shapes;
mod weights;

use std::path::Path;

use samara_tests::samara::{self, Run};

/// Compiles a file within a directory, and writes the component beside it.
fn compile(directory: &Path, onnx: &Path, options: &[&str]) -> Run {
    let mut command = samara::command();
    command.current_dir(directory).arg("compile").arg(onnx).args(["-o", "model.wasm"]).args(options);
    Run::of(&mut command)
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
