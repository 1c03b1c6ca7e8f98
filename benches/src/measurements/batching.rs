//! When it pays to run requests in batches, and when it does not.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use samara_nn::library;
use serde_json::{Value, json};

use crate::http::{Connection, Request};
use crate::load::Load;
use crate::report::Row;
use crate::samara::{Samara, repository};
use crate::tensor::{Form, infer_request};
use crate::zoo::{Build, Card};

/// One that takes next to no time beside what a request costs, and one that takes as long.
const MODELS: [&str; 2] = ["anomaly-autoencoder", "fashion-cnn"];
/// The most items of a batch; 1 for none.
const SIZES: [usize; 4] = [1, 4, 8, 16];
const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(4);

/// Each model in wasm and by ONNX Runtime, as clients ask it that send single items.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let ort = library::onnxruntime_in(&repository().join(".venv"));
    let ort = ort.context("there is no onnxruntime in .venv: scripts/setup.sh bench-tools")?;
    let mut rows = Vec::new();
    for name in MODELS {
        let card = Card::read(name)?;
        let build = Build { name: format!("{name}-any-batch"), inputs: Vec::new(), ..card.build.clone() };
        let request = infer_request(&build.name, &card.first()?.inputs, Form::Binary)?;
        let component = samara.component(&build)?;
        rows.push(row(name, "in wasm", &by_sizes(samara, &build, &component, &request, &[])?));
        let component = samara.component_for_host(&build)?;
        let graph = format!("{},backend=onnxruntime,device=cpu", build.name);
        let options = ["--ort-dylib".to_owned(), ort.display().to_string(), "--nn".to_owned(), graph];
        let measured = by_sizes(samara, &build, &component, &request, &options)?;
        rows.push(row(name, "by the host on onnxruntime", &measured));
    }
    Ok(rows)
}

/// What was measured with batches of some size.
struct Measured {
    max_size: usize,
    load: Load,
    /// Items that ran together, on the average.
    items: f64,
}

fn by_sizes(
    samara: &Samara,
    build: &Build,
    component: &Path,
    request: &Request,
    options: &[String],
) -> Result<Vec<Measured>> {
    let of = |&max_size: &usize| -> Result<Measured> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), format!("[model.{}]\nmax_batch_size = {max_size}\n", build.name))?;
        let mut options = options.to_vec();
        options.extend(["--config".to_owned(), file.path().display().to_string()]);
        let server = samara.serve_with(&[component.to_owned()], &options)?;
        let path = format!("/v2/models/{}/infer", build.name);
        Load::post(server.address(), &path, request, CONNECTIONS, WARM_UP)?;
        let load = Load::post(server.address(), &path, request, CONNECTIONS, TIME)?;
        ensure!(load.errors() == 0, "{} errors with batches of {max_size}", load.errors());
        let stats = Request::get(&format!("/v2/models/{}/stats", build.name));
        let stats: Value = serde_json::from_slice(&Connection::open(server.address())?.send(&stats)?.body)?;
        let count = |key: &str| stats["model_stats"][0][key].as_f64().context("no statistics");
        Ok(Measured { max_size, load, items: count("inference_count")? / count("execution_count")? })
    };
    SIZES.iter().map(of).collect()
}

fn row(model: &str, how: &str, measured: &[Measured]) -> Row {
    let shown = measured.iter().filter(|batches| batches.max_size > 1).map(|batches| {
        let Measured { max_size, load, items } = batches;
        format!("{max_size}: {} ({items:.1} items a run)", show(load))
    });
    let alone = measured.first().map_or(String::new(), |alone| format!("{} without batches", show(&alone.load)));
    let details: Vec<Value> = measured
        .iter()
        .map(|batches| json!({"max_batch_size": batches.max_size, "items": batches.items, "wrk": batches.load}))
        .collect();
    Row::new(
        format!("{model} {how}, single items over {CONNECTIONS} connections, by max_batch_size"),
        shown.collect::<Vec<_>>().join("; "),
    )
    .compared_with(alone)
    .details(json!(details))
}

fn show(load: &Load) -> String {
    let milliseconds = |microseconds: u64| microseconds as f64 / 1e3;
    let (p50, p99) = (milliseconds(load.p50_us), milliseconds(load.p99_us));
    format!("{:.0} requests/s, p50 {p50:.1} ms, p99 {p99:.1} ms", load.rate())
}
