//! One module for each measurement.

mod accuracy;
mod batching;
mod compile;
mod endurance;
mod engine;
mod functions;
mod http;
mod imports;
mod isolation;
mod nn;
mod start;
mod telemetry;
mod tune;

use anyhow::Result;

use crate::report::Row;
use crate::samara::Samara;

/// A measurement.
pub struct Measurement {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Takes it.
    pub run: fn(&Samara) -> Result<Vec<Row>>,
}

/// All of them, in the order of the table.
pub const ALL: &[Measurement] = &[
    Measurement { name: "accuracy", title: "outputs of all models over HTTP", run: accuracy::run },
    Measurement { name: "imports", title: "imports of compiled models", run: imports::run },
    Measurement { name: "engine", title: "the engine without a model", run: engine::run },
    Measurement { name: "compile", title: "compilation of EfficientNet-Lite0", run: compile::run },
    Measurement { name: "start", title: "process start to the first answer", run: start::run },
    Measurement { name: "isolation", title: "fresh against reused instances", run: isolation::run },
    Measurement { name: "tune", title: "kernels for this processor", run: tune::run },
    Measurement { name: "functions", title: "functions around models", run: functions::run },
    Measurement { name: "nn", title: "models that the host runs", run: nn::run },
    Measurement { name: "batching", title: "requests in batches", run: batching::run },
    Measurement { name: "http", title: "throughput over HTTP", run: http::run },
    Measurement { name: "telemetry", title: "what metrics and traces cost a request", run: telemetry::run },
    Measurement { name: "endurance", title: "memory and descriptors over 10,000 requests", run: endurance::run },
];
