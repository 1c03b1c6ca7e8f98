//! What metrics, ids and traces cost a request.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::HeaderMap;
use samara_telemetry::{Metrics, Outcome, RequestId, Stage, Stages, Subject, TraceConfig, Tracer};
use serde_json::json;

use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::median;

/// Requests in a round.
const REQUESTS: u32 = 20_000;

/// Rounds, of which the median counts.
const ROUNDS: usize = 11;

/// What a request may cost while traces are off.
const BAR: Duration = Duration::from_micros(3);

/// Does for each request what the server does to tell of it, and nothing else.
pub fn run(_: &Samara) -> Result<Vec<Row>> {
    let metrics = Metrics::new();
    let off = cost(&metrics, None);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // Nobody listens there: what is measured is what the request's own threads do.
    let config = TraceConfig { endpoint: "http://127.0.0.1:9".to_owned(), ratio: 1.0 };
    let tracer = Tracer::new(&config, runtime.handle().clone()).context("no tracer")?;
    let on = cost(&metrics, Some(&tracer));
    let row = Row::new("telemetry of a request: id, outcome, six stages", show(off))
        .compared_with(format!("{} with a trace of seven spans", show(on)))
        .bar("under 3 µs without traces", off < BAR)
        .details(json!({"off_ns": off.as_nanos(), "on_ns": on.as_nanos(), "requests": REQUESTS, "rounds": ROUNDS}));
    Ok(vec![row])
}

/// The median over rounds of what a request costs.
fn cost(metrics: &Metrics, tracer: Option<&Tracer>) -> Duration {
    let series = metrics.series(&Subject::Model { name: "m".to_owned(), version: "1".to_owned() });
    let rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..REQUESTS {
                let began = Instant::now();
                let mut request = HeaderMap::new();
                let id = RequestId::of(black_box(&request));
                request.insert(RequestId::HEADER, id.value());
                let counting = series.count(began);
                let trace = tracer.map(|tracer| tracer.begin("POST /v2/models/m/infer".to_owned(), &request, &id));
                let mut stages = Stages::default();
                for stage in Stage::ALL {
                    let began = Instant::now();
                    stages.note(stage, began, Instant::now());
                }
                series.measure(&stages);
                counting.end(Outcome::Success);
                if let Some(trace) = &trace {
                    trace.add(&stages);
                    trace.answered(200, "success");
                }
                let mut reply = HeaderMap::new();
                reply.insert(RequestId::HEADER, id.value());
                black_box((request, reply));
            }
            start.elapsed() / REQUESTS
        })
        .collect();
    median(&rounds)
}

fn show(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}
