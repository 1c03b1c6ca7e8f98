//! How many requests a second `samara serve` answers, each in a fresh instance; and a hello world on the bare Wasmtime.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::hello::Hello;
use crate::http::Connection;
use crate::load::Load;
use crate::report::Row;
use crate::samara::Samara;
use crate::tensor::{Form, infer_request, outputs_of};
use crate::zoo::Card;

const MODEL: &str = "anomaly-autoencoder";
const CONNECTIONS: usize = 8;
const WARM_UP: Duration = Duration::from_secs(2);
const TIME: Duration = Duration::from_secs(10);
const MIN_RATE: f64 = 16_000.0;

/// Lets `wrk` send one row as JSON, and then the same as binary data.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let card = Card::read(MODEL)?;
    let vector = card.first()?;
    let server = samara.serve(&[samara.component(&card.build)?])?;
    let mut rows = Vec::new();
    // Without it there is nothing to compare with, but something to tell.
    let hello = hello().inspect_err(|error| rows.push(Row::failed("a hello world to compare with", error))).ok();
    for (form, name) in [(Form::Json, "JSON"), (Form::Binary, "binary")] {
        let request = infer_request(MODEL, &vector.inputs, form)?;
        let outputs = outputs_of(&Connection::open(server.address())?.send(&request)?)?;
        let error = vector.expected[0].error_of(outputs.first().context("no output")?)?;
        ensure!(error <= 1e-4, "the answer is off by {error}");
        let path = format!("/v2/models/{MODEL}/infer");
        Load::post(server.address(), &path, &request, CONNECTIONS, WARM_UP)?;
        let load = Load::post(server.address(), &path, &request, CONNECTIONS, TIME)?;
        rows.push(row(name, &load, hello.as_ref()));
    }
    Ok(rows)
}

/// What a hello world gets on Wasmtime without Samara, on this machine.
fn hello() -> Result<Load> {
    let hello = Hello::start()?;
    Load::get(hello.address(), "/", CONNECTIONS, WARM_UP)?;
    let load = Load::get(hello.address(), "/", CONNECTIONS, TIME)?;
    ensure!(load.errors() == 0, "the hello world gave {} errors", load.errors());
    Ok(load)
}

fn row(form: &str, load: &Load, hello: Option<&Load>) -> Row {
    Row::new(
        format!("{MODEL}: requests a second over HTTP, {form}, fresh instance each, {CONNECTIONS} connections"),
        format!("{:.0}, p50 {} µs, p99 {} µs, {} errors", load.rate(), load.p50_us, load.p99_us, load.errors()),
    )
    .compared_with(hello.map_or(String::new(), |hello| {
        format!("{:.0} of a hello world on `wasmtime-wasi-http`, fresh instance each, in this run", hello.rate())
    }))
    .bar("≥ 16,000 without errors", load.rate() >= MIN_RATE && load.errors() == 0)
    .details(json!({"rate": load.rate(), "wrk": load, "hello": hello}))
}
