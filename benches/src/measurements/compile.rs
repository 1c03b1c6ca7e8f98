//! `samara compile` of EfficientNet-Lite0: how long it takes, and how large the result is.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use samara_artifact::{Inspection, Simd};
use serde_json::{Value, json};

use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::{median, milliseconds, show};
use crate::zoo::Card;

const MAX_TIME: Duration = Duration::from_secs(3);
const MAX_RATIO: f64 = 1.1;
const ROUNDS: usize = 5;

/// The step that the bar leaves out.
const MACHINE_CODE: &str = "make the machine code";

/// What a weight takes in the ONNX file.
const WEIGHT_BYTES: u64 = 4;

/// Compiles the model again and again.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let card = Card::read("efficientnet-lite0")?;
    // Fills the caches: the files', and that of machine code.
    samara.component(&card.build)?;
    let directory = tempfile::tempdir_in(samara.target())?;
    let output = directory.path().join("model.wasm");
    samara.compile(&card.build, &output)?;
    let mut walls = Vec::new();
    let mut report = Value::Null;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        report = samara.compile(&card.build, &output)?;
        walls.push((start.elapsed(), step(&report, MACHINE_CODE)?));
    }
    let times: Vec<Duration> = walls.iter().map(|(wall, code)| wall.saturating_sub(*code)).collect();
    let time = median(&times);
    let steps = report["steps"].as_array().context("the report has no steps")?;
    let longest = steps
        .iter()
        .filter(|step| step["step"] != MACHINE_CODE)
        .max_by(|a, b| a["ms"].as_f64().unwrap_or(0.0).total_cmp(&b["ms"].as_f64().unwrap_or(0.0)))
        .context("the report has no steps")?;
    let time_row = Row::new(
        format!("`samara compile` of EfficientNet-Lite0, warm caches, without AOT of the result, median of {ROUNDS}"),
        format!("{} (longest step: {} {:.0} ms)", show(time), longest["step"], longest["ms"].as_f64().unwrap_or(0.0)),
    )
    .bar("≤ 3 s", time <= MAX_TIME)
    .details(json!({"ms": times.iter().map(|&time| milliseconds(time)).collect::<Vec<_>>(), "steps": steps}));
    Ok([vec![time_row], size_rows(&fs::read(&output)?, &report)?].concat())
}

/// Compares the component's size with that of its parts: the engine and the model.
///
/// The model is taken in two ways: as what it adds to the initial memory of an instance, and as the bytes of its
/// weights. The second leaves no room for what loading may have left behind in that memory.
fn size_rows(component: &[u8], report: &Value) -> Result<Vec<Row>> {
    let engine = samara_compiler::engine_component(Simd::Relaxed)?;
    let (with, without) = (Inspection::of(component)?, Inspection::of(&engine)?);
    let packed = with.memory.initialised_bytes.saturating_sub(without.memory.initialised_bytes);
    let weights = report["parameters"].as_u64().context("the report has no parameters")? * WEIGHT_BYTES;
    let row = |what: &str, model: u64, is: &str| {
        let ratio = with.bytes as f64 / (without.bytes + model) as f64;
        Row::new(
            format!("EfficientNet-Lite0: component ÷ (engine + {what})"),
            format!("{ratio:.3}, of {:.2} MB", with.bytes as f64 / 1e6),
        )
        .compared_with(format!(
            "engine {:.2} MB (the empty component) + {:.2} MB ({is})",
            without.bytes as f64 / 1e6,
            model as f64 / 1e6
        ))
        .bar("≤ 1.1", ratio <= MAX_RATIO)
        .details(json!({
            "ratio": ratio,
            "component_bytes": with.bytes,
            "engine_bytes": without.bytes,
            "model_bytes": model,
            "image": with.memory,
            "engine_image": without.memory,
        }))
    };
    Ok(vec![
        row("packed model", packed, "initialised bytes of the component's memory less those of the empty engine's"),
        row("weights", weights, "its parameters at 4 bytes"),
    ])
}

fn step(report: &Value, name: &str) -> Result<Duration> {
    let steps = report["steps"].as_array().context("the report has no steps")?;
    let step = steps.iter().find(|step| step["step"] == name).with_context(|| format!("no step {name:?}"))?;
    let ms = step["ms"].as_f64().context("a step without a time")?;
    Ok(Duration::from_secs_f64(ms / 1e3))
}
