//! `samara infer`: once, in this process, from files into files.

use std::fs;
use std::path::Path;

use samara_tests::onnx::{Graph, Named, Type};
use samara_tests::samara::{self, Run, assert_says};
use samara_tests::tensor::{Tensor, assert_close};
use samara_tests::{guests, models, npy};
use serde_json::json;
use tempfile::tempdir;

fn infer(component: &Path, arguments: &[&str]) -> Run {
    let mut command = samara::command();
    Run::of(command.arg("infer").arg(component).args(arguments))
}

#[test]
fn outputs_go_into_files() {
    let directory = tempdir().unwrap();
    let out = directory.path().join("new/outputs");
    let card = models::card("breast-random-forest");
    let vector = &card.vectors[1];
    let mut command = samara::command();
    command.arg("infer").arg(card.compiled_for(vector));
    for (name, file) in vector.input_files() {
        command.arg("--input").arg(format!("{name}={}", file.display()));
    }
    let run = Run::of(command.arg("--output").arg(&out)).succeeds();
    for expected in vector.expected() {
        let file = out.join(format!("{}.npy", expected.name));
        assert_close(&npy::read(&file, &expected.name), &expected, vector.tolerance);
        assert_says(&run.stdout, &[&expected.name]);
    }
}

#[test]
fn outputs_are_shown_where_no_directory_is_given() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[3], &[1.5, 2.0, -4.0]));
    let input = format!("x={}", file.display());
    let run = infer(&models::twice(), &["--input", &input]).succeeds();
    assert_says(&run.stdout, &["y", "FP32", "3", "-8"]);

    let json = infer(&models::twice(), &["--input", &input, "--json"]).succeeds().json();
    assert_eq!(json["model"], "twice");
    assert!(json["latency_ms"].as_f64() > Some(0.0), "{json}");
    assert_eq!(json["outputs"], json!([{"name": "y", "datatype": "FP32", "shape": [3], "data": [3.0, 4.0, -8.0]}]));
}

#[test]
fn json_tells_the_files() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[1], &[1.0]));
    let input = format!("x={}", file.display());
    let out = directory.path().to_str().unwrap();
    let json = infer(&models::twice(), &["--input", &input, "--json", "--output", out]).succeeds().json();
    let written = Path::new(json["outputs"][0]["file"].as_str().unwrap()).to_owned();
    assert_close(&npy::read(&written, "y"), &Tensor::fp32("y", &[1], &[2.0]), 0.0);
}

/// A name is what a model says it is, and no path.
#[test]
fn a_name_unfit_for_a_file_is_made_fit() {
    let directory = tempdir().unwrap();
    let shape = &[Named("N")];
    let graph = Graph::new().input("x", Type::Float, shape).output("../up/and:away", Type::Float, shape).node(
        "Relu",
        &["x"],
        &["../up/and:away"],
    );
    let component = models::compiled_graph("names", &graph, &[]);
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[1], &[1.0]));
    let out = directory.path().join("out");
    let input = format!("x={}", file.display());
    infer(&component, &["--input", &input, "--output", out.to_str().unwrap()]).succeeds();
    let written: Vec<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(written, [".._up_and_away.npy"]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "something is beside the directory");
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let directory = tempdir().unwrap();
    let write = |name: &str, tensor: &Tensor| {
        let path = directory.path().join(name);
        npy::write(&path, tensor);
        path.display().to_string()
    };
    let good = write("good.npy", &Tensor::fp32("", &[2], &[1.0, 2.0]));
    let flat = write("flat.npy", &Tensor::fp32("", &[1, 2], &[1.0, 2.0]));
    let whole = write("whole.npy", &Tensor::int64("", &[2], &[1, 2]));
    let text = directory.path().join("text.npy");
    fs::write(&text, "no numbers").unwrap();
    let text = text.display().to_string();
    let cut = directory.path().join("cut.npy");
    fs::write(&cut, &fs::read(&good).unwrap()[..130]).unwrap();
    let cut = cut.display().to_string();
    let cases: [(Vec<String>, &[&str]); 8] = [
        (vec![], &["\"x\"", "missing", "--input x="]),
        (vec![format!("z={good}")], &["z", "no such input", "x"]),
        (vec![format!("x={good}"), format!("x={good}")], &["x", "twice"]),
        (vec![format!("x={flat}")], &["x", "flat.npy", "[1, 2]", "[-1]"]),
        (vec![format!("x={whole}")], &["x", "whole.npy", "INT64", "FP32"]),
        (vec![format!("x={text}")], &["x", "text.npy"]),
        (vec![format!("x={cut}")], &["x", "cut.npy"]),
        (vec!["x=absent.npy".to_owned()], &["x", "absent.npy", "No such file"]),
    ];
    for (inputs, texts) in cases {
        let arguments: Vec<&str> = inputs.iter().flat_map(|input| ["--input", input.as_str()]).collect();
        assert_says(&infer(&models::twice(), &arguments).fails(), texts);
    }
    let run = infer(&models::twice(), &["--input", "x"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}

#[test]
fn a_model_that_fails_says_why() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[1], &[0.0]));
    let input = format!("x={}", file.display());
    let cases = [("traps", "trap"), ("loops", "300 ms"), ("grows", "8 MiB"), ("refuses", "x is not to my taste")];
    for (fixture, text) in cases {
        let component = guests::write(directory.path(), fixture, fixture);
        let options = ["--input", &input, "--deadline-ms", "300", "--memory-mib", "8"];
        assert_says(&infer(&component, &options).fails(), &[text]);
    }
}

#[test]
fn an_output_directory_that_cannot_be_made_is_named() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[1], &[0.0]));
    let input = format!("x={}", file.display());
    let message = infer(&models::twice(), &["--input", &input, "--output", file.to_str().unwrap()]).fails();
    assert_says(&message, &["x.npy"]);
}

/// What is no answer is none here either.
#[test]
fn a_model_that_answers_nonsense_is_told_so() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[2], &[1.0, 2.0]));
    let input = format!("x={}", file.display());
    for fixture in ["names-wrongly", "types-wrongly", "measures-wrongly", "shapes-wrongly", "overflows", "says-nothing"]
    {
        let component = guests::write(directory.path(), fixture, fixture);
        let out = directory.path().join(fixture);
        let run = infer(&component, &["--input", &input, "--output", out.to_str().unwrap()]);
        assert_eq!(run.code, Some(1), "{fixture}: {}", run.stdout);
        assert_says(&run.fails(), &["y"]);
    }
}
