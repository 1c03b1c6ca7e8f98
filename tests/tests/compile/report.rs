//! What `samara compile` tells.

use std::fs;

use samara_tests::models;
use samara_tests::samara::assert_says;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::compile;

#[test]
fn the_report_in_json_has_all_that_is_to_be_known() {
    let directory = tempdir().unwrap();
    let card = models::card("fashion-cnn");
    let options =
        ["--json", "--name", "fashion", "--version", "7.1", "--input", "image=1,1,28,28", "--tune", "aarch64"];
    let report = compile(directory.path(), &card.onnx(), &options).succeeds().json();
    assert_eq!(report["name"], "fashion");
    assert_eq!(report["version"], "7.1");
    assert_eq!(report["simd"], "relaxed");
    assert_eq!(report["tune"], "aarch64");
    assert_eq!(report["inputs"], json!([{"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28]}]));
    assert_eq!(report["outputs"], json!([{"name": "logits", "datatype": "FP32", "shape": [1, 10]}]));

    let sha256 = report["source_sha256"].as_str().unwrap();
    let card = fs::read_to_string(samara_tests::samara::checkout().join("models/cards/fashion-cnn.toml")).unwrap();
    assert!(card.contains(sha256), "{sha256} is not what the card has");

    // The file is nearly all weights, of four bytes each.
    let parameters = report["parameters"].as_u64().unwrap();
    assert!((100_000..=106_000).contains(&parameters), "{parameters}");
    let multiply_accumulates = report["multiply_accumulates"].as_u64().unwrap();
    assert!(multiply_accumulates > parameters, "{multiply_accumulates}");

    let component = fs::metadata(directory.path().join("model.wasm")).unwrap().len();
    assert_eq!(report["component_bytes"], component);
    let image = report["image_bytes"].as_u64().unwrap();
    assert!(image > 400_000 && image <= report["memory_bytes"].as_u64().unwrap(), "{image}");
    let density = report["image_density"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&density) && density > 0.0, "{density}");

    let steps = report["steps"].as_array().unwrap();
    assert!(steps.len() >= 5, "{steps:?}");
    assert!(steps.iter().all(|step| step["step"].is_string() && step["ms"].as_f64() >= Some(0.0)), "{steps:?}");
    assert!(report["latency_ms"].as_f64() > Some(0.0));
    // The first layer gives 16 channels of 28 by 28 numbers.
    let peak = report["peak_bytes"].as_u64().unwrap();
    assert!((50_176..1_000_000).contains(&peak), "{peak}");
    let arena = report["arena_bytes"].as_u64().unwrap();
    assert!((peak..peak + peak / 5).contains(&arena), "{arena} for {peak}");
}

/// An inference writes to what it has in use at once, and little else: the stack, what counts references, the request.
#[test]
fn a_request_dirties_its_live_peak() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let directory = tempdir().unwrap();
    for name in ["fashion-cnn", "efficientnet-lite0"] {
        let card = models::card(name);
        let options: Vec<&str> = card.options().into_iter().chain(["--json"]).collect();
        let report = compile(directory.path(), &card.onnx(), &options).succeeds().json();
        let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{name}: no {key} in {report}"));
        let (dirty, peak) = (number("dirty_bytes"), number("peak_bytes"));
        assert_eq!(dirty % number("dirty_pages"), 0);
        assert!(number("dirty_runs") <= 32, "{name}: {} runs, of which a slot keeps 32", number("dirty_runs"));
        let elements: u64 = card.vectors[0].inputs().iter().map(|input| input.shape.iter().product::<u64>()).sum();
        // Inputs come as bytes, beside the tensors that are made of them.
        let allowed = peak + 4 * elements + (256 << 10);
        assert!(dirty <= allowed, "{name}: {dirty} bytes written to, {peak} in use at once");
    }
}

#[test]
fn the_report_for_people_has_it_too() {
    let directory = tempdir().unwrap();
    let card = models::card("fashion-cnn");
    let run = compile(directory.path(), &card.onnx(), &card.options()).succeeds();
    let told = format!("{}{}", run.stdout, run.stderr);
    assert_says(&told, &["fashion-cnn", "image", "logits", "FP32", "ms", "activations", "pages"]);
    assert!(!told.contains('\u{1b}'), "colours or a progress bar, where nobody looks: {told:?}");
}

/// Machines read the output, people the messages: nothing but the report is on the output.
#[test]
fn json_is_all_there_is_on_the_output() {
    let directory = tempdir().unwrap();
    let card = models::card("anomaly-autoencoder");
    let run = compile(directory.path(), &card.onnx(), &["--json"]).succeeds();
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(report.is_object());
}
