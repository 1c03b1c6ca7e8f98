//! The engine before a model is in it: its size, and how long it takes to make machine code of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use samara_artifact::{Inspection, Simd};
use samara_runtime::Config;
use serde_json::json;
use wasmtime::Engine;

use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::{median, milliseconds, show};

const MAX_BYTES: u64 = 6_000_000;
const MAX_COMPILATION: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

/// Looks at the engine, and compiles it.
pub fn run(_: &Samara) -> Result<Vec<Row>> {
    let component = samara_compiler::engine_component(Simd::Relaxed)?;
    let inspection = Inspection::of(&component)?;
    let parts: Vec<String> =
        inspection.parts.iter().map(|part| format!("{} {} kB", part.name, part.bytes / 1000)).collect();
    let times = (0..ROUNDS).map(|_| compile(&component)).collect::<Result<Vec<Duration>>>()?;
    let time = median(&times);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(vec![
        Row::new(
            "engine component, relaxed SIMD, without a model",
            format!("{:.2} MB: {}", component.len() as f64 / 1e6, parts.join(", ")),
        )
        .compared_with("18.7 MB of the prototype")
        .bar("≤ 6 MB", inspection.bytes <= MAX_BYTES)
        .details(json!({"bytes": inspection.bytes, "parts": inspection.parts, "functions": inspection.functions})),
        Row::new(format!("its ahead-of-time compilation, {cores} threads, median of {ROUNDS}"), show(time))
            .compared_with("9 to 19 s of the prototype")
            .bar("≤ 4 s", time <= MAX_COMPILATION)
            .details(json!({"ms": times.iter().map(|&time| milliseconds(time)).collect::<Vec<_>>()})),
    ])
}

/// Compiles with an engine that has compiled nothing before.
fn compile(component: &[u8]) -> Result<Duration> {
    let failed = |error: wasmtime::Error| anyhow!("{error:#}");
    let engine = Engine::new(&Config::code_generation()).map_err(failed)?;
    let start = Instant::now();
    let code = engine.precompile_component(component).map_err(failed)?;
    let time = start.elapsed();
    (!code.is_empty()).then_some(time).context("no code")
}
