//! What it costs to have the host run a model through `wasi:nn`, against its runtime called directly.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use samara_nn::{BackendKind, library};
use samara_protocol::InputTensor;
use samara_runtime::Model;
use serde_json::{Value, json};

use crate::http::{Connection, Request};
use crate::load::Load;
use crate::peers::child::Program;
use crate::peers::nn::load;
use crate::peers::peer::Peer;
use crate::peers::tract::Tract;
use crate::process::resident_bytes;
use crate::report::Row;
use crate::samara::{Samara, repository};
use crate::statistics::{median, milliseconds, quantile, show};
use crate::tensor::{Form, infer_request};
use crate::zoo::{Card, Vector};

/// What the way through the component may add.
const SHARE: f64 = 0.03;
const FIXED: Duration = Duration::from_micros(60);

/// How long each of the two runs in one turn, and how many turns there are.
const TURN: Duration = Duration::from_millis(60);
const TURNS: usize = 32;

const BUSY_MODEL: &str = "efficientnet-lite0";
const HEAVY_MODEL: &str = "minilm-l6";
const CLIENTS: usize = 8;
const MIN_SPEED_UP: f64 = 1.8;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(6);
const REQUESTS: usize = 1_000;

/// Every model on both backends, and then a server under load.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let ort = library::onnxruntime_in(&repository().join(".venv"));
    let ort = ort.context("there is no onnxruntime in .venv: scripts/setup.sh bench-tools")?;
    let mut rows = Vec::new();
    for card in Card::all()? {
        let component = samara.component_for_host(&card.build)?;
        rows.push(onnxruntime(samara, &card, &component, &ort)?);
        rows.push(tract(samara, &card, &component)?);
    }
    rows.extend(under_load(samara, &ort)?);
    rows.push(memory(samara, &ort)?);
    Ok(rows)
}

fn onnxruntime(samara: &Samara, card: &Card, component: &Path, ort: &Path) -> Result<Row> {
    let (name, vector) = (&card.build.name, card.first()?);
    let model = load(samara, name, component, BackendKind::Onnxruntime, Some(ort))?;
    let mut peer = Program::onnxruntime_python(&card.build.onnx, &vector.inputs)?;
    let compared = peer.told_version().to_owned();
    let times = by_turns(&model, vector, |count| peer.time(count))?;
    Ok(times.row(card, "onnxruntime", &compared))
}

fn tract(samara: &Samara, card: &Card, component: &Path) -> Result<Row> {
    let (name, vector) = (&card.build.name, card.first()?);
    let model = load(samara, name, component, BackendKind::Tract, None)?;
    let mut native = Tract::load(&card.build.onnx, &vector.inputs)?;
    let times = by_turns(&model, vector, |count| native.time(count))?;
    Ok(times.row(card, "tract", "tract called natively"))
}

/// What was measured of one model on one backend.
struct Times {
    direct: Vec<Duration>,
    /// The call, in a fresh instance that was made before.
    through: Vec<Duration>,
    /// The same with the making of the instance.
    instantiated: Vec<Duration>,
}

/// Runs the model directly and through the component by turns.
fn by_turns(model: &Model, vector: &Vector, mut direct: impl FnMut(usize) -> Result<Vec<Duration>>) -> Result<Times> {
    let inputs: Vec<InputTensor<'_>> = vector.inputs.iter().map(|input| input.as_input()).collect();
    let mut times = Times { direct: Vec::new(), through: Vec::new(), instantiated: Vec::new() };
    // Until both are warm, and it is known how many runs fit into a turn.
    direct(5)?;
    let count = (TURN.as_secs_f64() / median(&direct(5)?).as_secs_f64()).clamp(2.0, 500.0) as usize;
    let through = |times: &mut Times| -> Result<()> {
        for _ in 0..count {
            let start = Instant::now();
            let mut instance = model.instantiate()?;
            let made = start.elapsed();
            let start = Instant::now();
            let outputs = instance.infer(&inputs, &[])?;
            let ran = start.elapsed();
            ensure!(!outputs.is_empty(), "the model gave no outputs");
            times.through.push(ran);
            times.instantiated.push(made + ran);
        }
        Ok(())
    };
    through(&mut Times { direct: Vec::new(), through: Vec::new(), instantiated: Vec::new() })?;
    for _ in 0..TURNS {
        times.direct.extend(direct(count)?);
        through(&mut times)?;
    }
    Ok(times)
}

impl Times {
    fn row(&self, card: &Card, backend: &str, compared: &str) -> Row {
        let (direct, through) = (median(&self.direct), median(&self.through));
        let allowed = direct.mul_f64(1.0 + SHARE) + FIXED;
        let summary = |samples: &[Duration]| {
            json!({
                "p50_ms": milliseconds(median(samples)),
                "p10_ms": milliseconds(quantile(samples, 0.1)),
                "p90_ms": milliseconds(quantile(samples, 0.9)),
            })
        };
        Row::new(
            format!("{} run by the host on {backend}, through a fresh instance made before it, p50", card.build.name),
            format!(
                "{}: {:.3}x, {:+.0} µs",
                show(through),
                through.as_secs_f64() / direct.as_secs_f64(),
                (through.as_secs_f64() - direct.as_secs_f64()) * 1e6
            ),
        )
        .compared_with(format!("{} of {compared}", show(direct)))
        .bar("≤ 1.03x + 60 µs", through <= allowed)
        .details(json!({
            "rounds": self.through.len(),
            "direct": summary(&self.direct),
            "through": summary(&self.through),
            "instantiated": summary(&self.instantiated),
        }))
    }
}

/// One client against eight, and how often the graph is loaded.
fn under_load(samara: &Samara, ort: &Path) -> Result<Vec<Row>> {
    let card = Card::read(BUSY_MODEL)?;
    let component = samara.component_for_host(&card.build)?;
    let server = samara.serve_with(&[component], &options(BUSY_MODEL, None, ort))?;
    let request = infer_request(BUSY_MODEL, &card.first()?.inputs, Form::Binary)?;
    let path = format!("/v2/models/{BUSY_MODEL}/infer");
    Load::post(server.address(), &path, &request, CLIENTS, WARM_UP)?;
    let one = Load::post(server.address(), &path, &request, 1, TIME)?;
    let eight = Load::post(server.address(), &path, &request, CLIENTS, TIME)?;
    ensure!(one.errors() + eight.errors() == 0, "{} errors", one.errors() + eight.errors());
    let speed_up = eight.rate() / one.rate();
    let mut connection = Connection::open(server.address())?;
    for _ in 0..REQUESTS {
        connection.send(&request)?;
    }
    let statistics: Value = serde_json::from_slice(&connection.send(&Request::get("/v2/models/stats"))?.body)?;
    let loads = statistics["graph_stats"][0]["loads"].as_u64().context("no graph_stats")?;
    let requests = statistics["graph_stats"][0]["requests"].as_u64().context("no graph_stats")?;
    Ok(vec![
        Row::new(
            format!("{BUSY_MODEL} run by the host on onnxruntime, {CLIENTS} clients: requests a second"),
            format!("{:.0}: {speed_up:.2}x", eight.rate()),
        )
        .compared_with(format!("{:.0} of one client", one.rate()))
        .bar(format!("≥ {MIN_SPEED_UP}x"), speed_up >= MIN_SPEED_UP)
        .details(json!({"one": one, "eight": eight})),
        Row::new(format!("loads of a graph during {requests} requests"), loads.to_string())
            .bar("1", loads == 1 && requests >= REQUESTS as u64),
    ])
}

/// Whether the weights are there once, whatever the number of requests in flight.
fn memory(samara: &Samara, ort: &Path) -> Result<Row> {
    let card = Card::read(HEAVY_MODEL)?;
    let component = samara.component_for_host(&card.build)?;
    let weights = std::fs::metadata(&card.build.onnx)?.len();
    let server = samara.serve_with(&[component], &options(HEAVY_MODEL, Some(CLIENTS), ort))?;
    let request = infer_request(HEAVY_MODEL, &card.first()?.inputs, Form::Binary)?;
    let path = format!("/v2/models/{HEAVY_MODEL}/infer");
    Load::post(server.address(), &path, &request, 1, WARM_UP)?;
    let one = resident_bytes(server.process())?;
    Load::post(server.address(), &path, &request, CLIENTS, TIME)?;
    let eight = resident_bytes(server.process())?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let growth = eight.saturating_sub(one);
    let row = Row::new(
        format!("{HEAVY_MODEL} run by the host on onnxruntime: memory that {CLIENTS} requests in flight add to one"),
        format!("{:.1} MiB", mib(growth)),
    );
    let compared = format!("{:.1} MiB of weights, {:.1} MiB resident with one", mib(weights), mib(one));
    Ok(row
        .compared_with(compared)
        .bar("less than the weights once", growth < weights)
        .details(json!({"one": one, "eight": eight, "weights": weights})))
}

/// The options of `samara serve` for a graph on ONNX Runtime; with so many workers and contexts, if that is said.
fn options(graph: &str, workers: Option<usize>, ort: &Path) -> Vec<String> {
    let mut spec = format!("{graph},backend=onnxruntime,device=cpu");
    let mut options = vec!["--ort-dylib".to_owned(), ort.display().to_string()];
    if let Some(workers) = workers {
        spec.push_str(&format!(",contexts={workers}"));
        options.extend(["--workers".to_owned(), workers.to_string()]);
    }
    options.extend(["--nn".to_owned(), spec]);
    options
}
