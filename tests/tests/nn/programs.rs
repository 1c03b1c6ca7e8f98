//! Programs that are built with crate `wasi-nn`.

use std::path::PathBuf;

use samara_tests::models;
use samara_tests::samara::{self, assert_says, checkout};
use tempfile::tempdir;

const MODEL: &str = "anomaly-autoencoder";

fn program() -> PathBuf {
    let path = checkout().join("functions/target/wasi-nn-program/samara-wasi-nn-program.wasm");
    assert!(path.is_file(), "{} is missing: run functions/build.sh wasi-nn-program", path.display());
    path
}

/// What the program says of its graph by name, from bytes, and of one that there is not.
fn lines(options: &[&str]) -> (Option<i32>, Vec<String>) {
    let program = program();
    let run = samara::run([&["run", program.to_str().unwrap()], options].concat());
    (run.code, run.stdout.lines().map(str::to_owned).collect())
}

#[test]
fn a_program_finds_its_graphs() {
    let graph = format!("{MODEL}={}", models::card(MODEL).onnx().display());
    let (code, told) = lines(&["--nn", &graph, "--nn-load"]);
    assert_eq!(code, Some(0), "{told:?}");
    let score = |line: &str| line.split(": ").nth(1).unwrap().parse::<f64>().unwrap();
    // ONNX Runtime in Python gives 298.90836 for this row.
    assert!((score(&told[0]) - 298.908_36).abs() < 1e-2, "{told:?}");
    assert_eq!(score(&told[0]), score(&told[1]), "{told:?}");
    // `not_found` in the interface's list of errors.
    assert_eq!(told[2], "unknown: error 8");
}

#[test]
fn a_program_brings_graphs_only_where_that_is_allowed() {
    let graph = format!("{MODEL}={}", models::card(MODEL).onnx().display());
    let (code, told) = lines(&["--nn", &graph]);
    assert_eq!(code, Some(0), "{told:?}");
    // `unsupported_operation`: there is no number for what is not allowed.
    assert_eq!(told[1], "from bytes: error 6");
}

#[test]
fn a_programs_status_is_the_commands() {
    // Without its graph it ends with 3.
    assert_eq!(lines(&[]).0, Some(3));
}

/// A component that exports `wasi:cli/run`, and says at once whether all went well.
fn component(result: u8) -> Vec<u8> {
    wat::parse_str(format!(
        "(component
            (core module $m (func (export \"run\") (result i32) (i32.const {result})))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i \"run\")))
            (component $c (import \"run\" (func $run (result (result)))) (export \"run\" (func $run)))
            (instance $e (instantiate $c (with \"run\" (func $run))))
            (export \"wasi:cli/run@0.2.0\" (instance $e)))"
    ))
    .unwrap()
}

#[test]
fn a_component_is_a_program_too() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("program.wasm");
    for result in [0, 1] {
        std::fs::write(&path, component(result)).unwrap();
        assert_eq!(samara::run(["run", path.to_str().unwrap()]).code, Some(i32::from(result)));
    }
}

#[test]
fn what_is_no_program_is_refused() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("other.wasm");
    let refused = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        samara::run(["run", path.to_str().unwrap()]).fails()
    };
    assert_says(&refused(b"no wasm"), &["other.wasm", "cannot be started"]);
    assert_says(&refused(&wat::parse_str("(module)").unwrap()), &["other.wasm", "_start"]);
    assert_says(&refused(&wat::parse_str("(component)").unwrap()), &["other.wasm", "wasi:cli/run"]);
    let traps = "(module (func (export \"_start\") unreachable))";
    assert_says(&refused(&wat::parse_str(traps).unwrap()), &["other.wasm", "it failed", "unreachable"]);
    let missing = samara::run(["run", "--dir", "/nowhere", program().to_str().unwrap()]).fails();
    assert_says(&missing, &["/nowhere"]);
}
