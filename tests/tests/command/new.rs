//! `samara new`: a project that is tested, built, and answers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use samara_artifact::{Cost, Manifest, Signature, Simd, Source};
use samara_tests::http::Request;
use samara_tests::samara::{self, Run, assert_says, checkout};
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, assert_close};
use samara_tests::{guests, models};
use serde_json::{Value, json};
use tempfile::tempdir;

/// What the projects' dependencies are built in. It stays, so that they are built once.
fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("new")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the project's own tests, on this machine, with the versions in its lock file.
#[track_caller]
fn assert_tests_pass(project: &Path) {
    // All projects have a `vendor/samara-function`, which cargo takes for one package: while the documentation's tests of one run,
    // for which cargo holds no lock, the build of another would replace it.
    fs::create_dir_all(scratch()).unwrap();
    let alone = File::create(scratch().join("lock")).unwrap();
    alone.lock().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(project).args(["test", "--locked"]).env("CARGO_TARGET_DIR", scratch().join("native"));
    let run = Run::of(&mut cargo).succeeds();
    assert_says(&run.stdout, &["3 passed"]);
}

/// Builds the project for wasm, as its README says, with the toolchain of this checkout.
#[track_caller]
fn build(project: &Path, function: &str) -> PathBuf {
    // No vector instructions: a plain toolchain has none either.
    let script = r#"
        . scripts/wasm-toolchain.sh
        load_wasm_toolchain
        WASM_TARGET_DIRECTORY=$1
        in_wasm_toolchain -simd128 cargo build --release --locked --manifest-path "$2"
    "#;
    let target = scratch().join("wasm");
    let manifest = project.join("Cargo.toml");
    let mut bash = Command::new("bash");
    bash.current_dir(checkout()).args(["-euo", "pipefail", "-c", script, "bash"]).arg(&target).arg(manifest);
    // The toolchain adds --locked by itself there, and cargo takes it once.
    Run::of(bash.env_remove("CI")).succeeds();
    let built = target.join(Path::new(function).strip_prefix("target").unwrap());
    // The next project of the same name puts its own there.
    let kept = project.join("function.wasm");
    fs::copy(built, &kept).unwrap();
    kept
}

/// A component that is nothing but the manifest of a model with this signature.
fn write_model(path: &Path, signature: &str, sample: &[&[u64]]) {
    let Signature { inputs, outputs } = signature.parse().unwrap();
    let manifest = Manifest {
        format: Manifest::FORMAT,
        name: "model".to_owned(),
        version: "1".to_owned(),
        generator: "samara-tests".to_owned(),
        simd: Simd::Baseline,
        tune: None,
        source: Source { file: "model.onnx".to_owned(), sha256: String::new() },
        inputs,
        outputs,
        sample: sample.iter().map(|shape| shape.to_vec()).collect(),
        cost: Some(Cost::default()),
        labels: None,
        nn: None,
    };
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    manifest.append_to(&mut component).unwrap();
    fs::write(path, component).unwrap();
}

#[test]
fn a_project_is_tested_and_built_and_answers() {
    let directory = tempdir().unwrap();
    let project = directory.path().join("project");
    let card = models::card("fashion-cnn");
    let model = card.compiled();
    let words = ["new", "what-is-worn", "--model", text(&model), "-o", text(&project), "--json"];
    let report = samara::run(words).succeeds().json();
    assert_eq!(report["output"], text(&project));
    assert_eq!(report["signature"], "image FP32[1,1,28,28] -> logits FP32[1,10]");
    for file in report["files"].as_array().unwrap() {
        assert!(project.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something was left behind");

    assert_tests_pass(&project);
    let function = build(&project, report["function"].as_str().unwrap());

    let options = ["--function", text(&function), "--model", text(&model), "--route", "/what-is-worn"];
    let server = Serve::functions(&options).start();
    let vector = &card.vectors[0];
    let ask = |image: Value| server.send(&Request::post_json("/what-is-worn", &json!({"image": image})));
    let answer = ask(vector.inputs()[0].as_fp32().into()).expect(200).json();
    let logits: Vec<f32> = serde_json::from_value(answer["logits"]["data"].clone()).unwrap();
    let shape: Vec<u64> = serde_json::from_value(answer["logits"]["shape"].clone()).unwrap();
    assert_close(&Tensor::fp32("logits", &shape, &logits), &vector.expected()[0], vector.tolerance);
    let problem = ask(json!([1, 2])).expect(400).json();
    assert_eq!(problem["detail"], "image has 2 numbers, which do not fit the shape [1, 1, 28, 28]");
}

#[test]
fn names_and_shapes_of_all_kinds_make_code_that_works() {
    let directory = tempdir().unwrap();
    let model = directory.path().join("model.wasm");
    let signature = concat!(
        r#"input.1 INT64[-1,-1], type UINT8[2], X FP32[], x FP32[-1,3], a "b" INT32[1]"#,
        " -> 2 INT32[1,3], score FP32[-1], x UINT8[]"
    );
    write_model(&model, signature, &[&[1, 7], &[2], &[], &[2, 3], &[1]]);
    let project = directory.path().join("project");
    let words = ["new", "any", "--model", text(&model), "-o", text(&project)];
    assert_says(&samara::run(words).succeeds().stdout, &[text(&project), signature, "README.md"]);
    assert_tests_pass(&project);
}

#[test]
fn what_cannot_be_written_is_told_why() {
    let directory = tempdir().unwrap();
    let project = directory.path().join("project");
    let model = directory.path().join("model.wasm");
    let new = |model: &Path| samara::run(["new", "app", "--model", text(model), "-o", text(&project)]).fails();
    write_model(&model, "text BYTES[1] -> y FP32[1]", &[]);
    assert_says(&new(&model), &["model.wasm", "`text` is BYTES", "FP32, INT64, INT32 and UINT8"]);
    assert_says(&new(&directory.path().join("absent.wasm")), &["absent.wasm", "No such file"]);
    assert_says(&new(&guests::write(directory.path(), "echoes", "echo")), &["echo.wasm", "samara:manifest"]);
    assert!(!project.exists());

    assert_says(&samara::run(["new", "serde", "-o", text(&project)]).fails(), &["serde", "package"]);
    fs::create_dir(&project).unwrap();
    fs::write(project.join("mine"), "").unwrap();
    assert_says(&samara::run(["new", "app", "-o", text(&project)]).fails(), &[text(&project), "not empty"]);
    for name in ["My_App", "../app", "fn", ""] {
        let run = samara::run(["new", name, "-o", text(&project)]);
        assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
    }
    assert_eq!(fs::read_dir(&project).unwrap().count(), 1);
}
