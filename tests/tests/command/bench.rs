//! `samara bench`: how long instances take, and with `--profile` each operator.

use std::path::Path;

use samara_tests::onnx::{Graph, Named, Size, Type};
use samara_tests::samara::{self, Run, assert_says};
use samara_tests::tensor::Tensor;
use samara_tests::{guests, models, npy};
use serde_json::Value;
use tempfile::tempdir;

fn bench(component: &Path, arguments: &[&str]) -> Run {
    let mut command = samara::command();
    Run::of(command.arg("bench").arg(component).args(["--seconds", "1"]).args(arguments))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

#[test]
fn instances_are_measured_fresh_and_reused() {
    let json = bench(&models::twice(), &["--json"]).succeeds().json();
    assert_eq!(json["model"], "twice");
    assert!(number(&json["samples"]) > 100, "{json}");
    for what in ["instantiate", "fresh", "reused"] {
        let [min, p50, p99] = ["min_ns", "p50_ns", "p99_ns"].map(|name| number(&json[what][name]));
        assert!(0 < min && min <= p50 && p50 <= p99, "{what}: {json}");
    }
    assert!(json["page_faults"].is_u64(), "{json}");
    assert_eq!(json["dirty_pages"].is_u64(), cfg!(target_os = "linux"), "{json}");
    assert!(json.get("profile").is_none(), "nobody has asked for it: {json}");
    let text = bench(&models::twice(), &[]).succeeds();
    assert_says(&text.stdout, &["samples", "p50", "fresh instance", "reused instance", "page faults"]);
}

#[test]
fn a_profile_has_every_operator_with_its_time_and_its_work() {
    let card = models::card("fashion-cnn");
    let component = card.compiled_for(&card.vectors[0]);
    let json = bench(&component, &["--profile", "--json"]).succeeds().json();
    let profile = &json["profile"];
    assert!(profile["peak_gflops"].as_f64() > Some(0.1), "{profile}");
    assert_eq!(profile["planned"], true, "these are the shapes that it was compiled for");
    assert!(number(&profile["peak_bytes"]) <= number(&profile["arena_bytes"]), "{profile}");
    let operators = profile["operators"].as_array().unwrap();
    let sum = |what: &str| operators.iter().map(|operator| number(&operator[what])).sum::<u64>();
    assert!(0 < sum("nanoseconds") && sum("nanoseconds") <= 2 * number(&profile["nanoseconds"]), "{profile}");
    let kinds = ["Convolution", "Winograd", "Product", "Product"];
    let products = operators.iter().filter(|operator| kinds.iter().any(|kind| operator["kind"] == *kind));
    let products: Vec<&Value> = products.collect();
    assert!(products.iter().map(|operator| &operator["kind"]).eq(kinds), "{profile}");
    // 2 · 16 · 9 · 28², half of 2 · 32 · 16 · 9 · 14², as six products give four results of three, 2 · 1568 · 64 and 2 · 64 · 10.
    let flops: u64 = products.iter().map(|operator| number(&operator["flops"])).sum();
    assert_eq!(flops, 225_792 + 1_806_336 / 2 + 200_704 + 1_280);
    assert_eq!(products.last().unwrap()["outputs"], serde_json::json!([[10]]));
    // This time, the machine code of the engine comes from the cache.
    let text = bench(&component, &["--profile"]).succeeds();
    assert_says(&text.stdout, &["operators", "GFLOP/s", "share", "2 x Product", "activations"]);
}

#[test]
fn inputs_can_be_given() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[7], &[1.0; 7]));
    let input = format!("x={}", file.display());
    let json = bench(&models::twice(), &["--input", &input, "--profile", "--json"]).succeeds().json();
    assert_eq!(json["profile"]["operators"][0]["outputs"], serde_json::json!([[7]]));
    let error = bench(&models::twice(), &["--input", &format!("z={}", file.display())]).fails();
    assert_says(&error, &["--input z", "x"]);
}

#[test]
fn a_batch_is_profiled() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("image.npy");
    npy::write(&file, &Tensor::fp32("image", &[3, 1, 28, 28], &[0.5; 3 * 28 * 28]));
    let input = format!("image={}", file.display());
    let component = models::compiled("fashion-cnn-of-any-batch", &models::card("fashion-cnn").onnx(), &[]);
    let json = bench(&component, &["--input", &input, "--profile", "--json"]).succeeds().json();
    assert_eq!(json["profile"]["planned"], false, "three items are not what it was compiled for");
    let operators = json["profile"]["operators"].as_array().unwrap();
    assert_eq!(operators.last().unwrap()["outputs"], serde_json::json!([[3, 10]]));
}

/// Where the items of a batch are independent, the engine takes them one by one.
#[test]
fn of_a_batch_that_is_taken_one_by_one_the_first_item_is_profiled() {
    let directory = tempdir().unwrap();
    let shape = |side| [Named("N"), Size(1), Size(side), Size(side)];
    let graph = Graph::new().input("x", Type::Float, &shape(4)).weights("w", &[1, 1, 2, 2], &[1.0; 4]);
    let graph = graph.output("y", Type::Float, &shape(3)).node("Conv", &["x", "w"], &["y"]);
    let component = models::compiled_graph("convolution", &graph, &[]);
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[3, 1, 4, 4], &[1.0; 48]));
    let input = format!("x={}", file.display());
    let json = bench(&component, &["--input", &input, "--profile", "--json"]).succeeds().json();
    let operators = json["profile"]["operators"].as_array().unwrap();
    let convolution = operators.iter().find(|operator| operator["kind"] == "Convolution").unwrap();
    // Of one item: three windows in either direction, of four steps each.
    assert_eq!(convolution["flops"], 3 * 3 * 4 * 2, "{operators:?}");
}

#[test]
fn a_model_that_the_host_runs_has_no_operators_to_show() {
    let directory = tempdir().unwrap();
    let component = directory.path().join("nn.wasm");
    let onnx = models::card("fashion-cnn").onnx();
    let arguments = ["compile", "--target", "nn", "--name", "nn", "-o"].map(Path::new);
    samara::run(arguments.into_iter().chain([component.as_path(), onnx.as_path()])).succeeds();
    let file = directory.path().join("image.npy");
    npy::write(&file, &Tensor::fp32("image", &[1, 1, 28, 28], &[0.5; 28 * 28]));
    let input = format!("image={}", file.display());
    bench(&component, &["--input", &input]).succeeds();
    assert_says(&bench(&component, &["--input", &input, "--profile"]).fails(), &["--profile", "host"]);
}

#[test]
fn what_cannot_be_measured_says_why() {
    let directory = tempdir().unwrap();
    let component = guests::write(directory.path(), "echoes", "echoes");
    assert_says(&bench(&component, &[]).fails(), &["--input"]);
    let file = directory.path().join("x.npy");
    npy::write(&file, &Tensor::fp32("x", &[1], &[1.0]));
    let input = format!("x={}", file.display());
    bench(&component, &["--input", &input]).succeeds();
    // Another maker's guest has no engine that could be asked.
    assert_says(&bench(&component, &["--input", &input, "--profile"]).fails(), &["engine", "samara compile"]);
    let text = Graph::new().input("x", Type::String, &[Size(1)]).output("y", Type::String, &[Size(1)]).node(
        "Identity",
        &["x"],
        &["y"],
    );
    let text = models::compiled_graph("text", &text, &[]);
    assert_says(&bench(&text, &["--profile"]).fails(), &["strings"]);
    let little = ["--profile", "--memory-mib", "1"];
    assert_says(&bench(&models::twice(), &little).fails(), &["memory"]);
    assert_says(&bench(Path::new("nowhere.wasm"), &[]).fails(), &["nowhere.wasm"]);
}
