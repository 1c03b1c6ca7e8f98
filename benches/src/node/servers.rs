//! Other servers, with the same models, asked in the same way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use super::Target;
use super::open_loop::OpenLoop;
use crate::http::{Connection, Request};
use crate::peers::child::{Process, python, python_of};
use crate::report::Row;
use crate::samara::{Samara, repository};
use crate::statistics::show;
use crate::tensor::{Form, infer_request, largest_error, outputs_of};
use crate::zoo::Card;

const MODELS: [&str; 2] = ["anomaly-autoencoder", "fashion-cnn"];
const WORKERS: usize = 2;
const CONNECTIONS: usize = 16;
/// How long each is asked for as much as it can do, in each of these rounds in turns; and then at a rate that all can do.
const TIME: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
/// The part of the slowest server's peak at which all are asked for their latency.
const PART: f64 = 0.7;
/// How long a server may take to start its workers.
const START: Duration = Duration::from_secs(60);

/// A server with a model. It ends when this is dropped.
struct Running {
    name: String,
    address: SocketAddr,
    _process: Box<dyn Send>,
}

#[derive(Deserialize)]
struct Ready {
    version: String,
    listen: Option<SocketAddr>,
    error: Option<String>,
}

/// All servers are up while one of them is asked.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for model in MODELS {
        let card = Card::read(model)?;
        let vector = card.first()?;
        let request = infer_request(model, &vector.inputs, Form::Binary)?;
        let path = format!("/v2/models/{model}/infer");
        let target = Target::serve(samara, model, &[format!("--workers={WORKERS}")])?;
        let address = target.address();
        let ours = Running { name: "Samara".to_owned(), address, _process: Box::new(target) };
        let onnx = card.build.onnx.as_os_str();
        let mut fastapi = python("fastapi_server.py");
        fastapi.arg(onnx).arg(WORKERS.to_string());
        let mut kserve = python_of(&repository().join(".venv-kserve"), "kserve_server.py");
        kserve.args([onnx, model.as_ref(), WORKERS.to_string().as_ref()]);
        let servers: Vec<Result<Running>> = vec![Ok(ours), Running::start(fastapi), Running::start(kserve)];
        let mut right = Vec::new();
        for server in servers {
            match server.and_then(|server| server.check(&request, vector).map(|()| server)) {
                Ok(server) => right.push(server),
                Err(error) => rows.push(Row::failed(format!("{model}: another server"), &error)),
            }
        }
        let mut peaks = vec![Vec::new(); right.len()];
        for _ in 0..ROUNDS {
            for (server, peaks) in right.iter().zip(&mut peaks) {
                peaks.push(server.peak(&path, &request)?);
            }
        }
        let middle = |peaks: &mut Vec<f64>| {
            peaks.sort_by(f64::total_cmp);
            peaks[ROUNDS / 2]
        };
        let found: Vec<(f64, Running)> = peaks.iter_mut().map(middle).zip(right).collect();
        let slowest = found.iter().map(|(peak, _)| *peak).fold(f64::INFINITY, f64::min);
        let mut latencies = Vec::new();
        for (_, server) in &found {
            let replies = OpenLoop::new(server.address, &path, &request, PART * slowest, TIME).run()?;
            ensure!(replies.other_than(&[200]) == 0, "{}: {} errors", server.name, replies.other_than(&[200]));
            latencies.push(replies.p99());
        }
        let [(our_peak, _), ..] = &found[..] else { bail!("Samara was not measured") };
        for ((peak, server), latency) in found.iter().zip(&latencies).skip(1) {
            let (more, less) = (our_peak / peak, latency.as_secs_f64() / latencies[0].as_secs_f64());
            rows.push(
                Row::new(
                    format!(
                        "{model}, {WORKERS} workers: requests a second, and p99 at {:.0}/s, binary",
                        PART * slowest
                    ),
                    format!("{our_peak:.0} ({more:.1}x), {} ({less:.1}x less)", show(latencies[0])),
                )
                .compared_with(format!("{peak:.0}, {} of {}", show(*latency), server.name))
                .bar("ahead on both", more > 1.0 && less > 1.0)
                .details(json!({"peak": our_peak, "their_peak": peak, "p99_us": latencies[0].as_micros(),
                    "their_p99_us": latency.as_micros(), "server": server.name, "rate": PART * slowest})),
            );
        }
    }
    Ok(rows)
}

impl Running {
    /// Starts a server that says where it listens.
    fn start(command: std::process::Command) -> Result<Running> {
        let mut process = Process::start(command)?;
        let ready: Ready = process.read()?;
        if let Some(error) = ready.error {
            bail!("{}: {error}", ready.version);
        }
        let address = ready.listen.context("it does not say where it listens")?;
        Ok(Running { name: ready.version, address, _process: Box::new(process) })
    }

    /// Waits for it, and looks at its answer.
    fn check(&self, request: &Request, vector: &crate::zoo::Vector) -> Result<()> {
        let begun = Instant::now();
        let reply = loop {
            match Connection::open(self.address).and_then(|mut connection| connection.send(request)) {
                Ok(reply) if reply.status == 200 => break reply,
                // Its workers start after it listens.
                _ if begun.elapsed() < START => std::thread::sleep(Duration::from_millis(100)),
                Ok(reply) => bail!("{}: status {}", self.name, reply.status),
                Err(error) => return Err(error.context(self.name.clone())),
            }
        };
        let error = largest_error(&vector.expected, &outputs_of(&reply)?)?;
        ensure!(error <= 1e-4, "{}: the answer is off by {error}", self.name);
        Ok(())
    }

    /// How many a second it answers at the most.
    fn peak(&self, path: &str, request: &Request) -> Result<f64> {
        let ask = |count| OpenLoop::closed(self.address, path, request, CONNECTIONS, count).run();
        let guess = ask(500)?.rate();
        let replies = ask((guess * TIME.as_secs_f64()).ceil() as usize)?;
        ensure!(replies.other_than(&[200]) == 0, "{}: {} errors", self.name, replies.other_than(&[200]));
        Ok(replies.rate())
    }
}
