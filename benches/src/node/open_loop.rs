//! Load that comes when it comes, whether or not earlier requests have been answered, made by `oha`.
//!
//! A generator that waits for one answer before it sends the next slows down with what it measures, and leaves out the waits
//! of those that it did not send: coordinated omission (Tene, "How NOT to measure latency", 2013). Here each request has a
//! time at which it is due, and its latency counts from then.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use samara_scheduling::{SHORT, Scope, set_slice};
use serde::{Deserialize, Serialize};

use crate::http::Request;
use crate::samara::repository;

/// Connections, of which each carries one request at a time: more than ever wait at once.
const CONNECTIONS: usize = 256;

/// Requests that are due at times of their own.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    urls: Vec<String>,
    headers: Vec<String>,
    body: Vec<u8>,
    connections: usize,
    /// Requests a second; absent for each connection to send when it has its answer.
    rate: Option<f64>,
    count: usize,
}

/// What became of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Replies {
    /// How many have each status.
    statuses: BTreeMap<u16, usize>,
    /// Those that were not answered at all.
    lost: usize,
    /// From the first to the last, in seconds.
    seconds: f64,
    /// Latencies of what was answered with 2xx, by the share that is no slower; in seconds, from when it was due.
    answered: Latencies,
    /// The same of all else that was answered.
    refused: Latencies,
}

/// Latencies, in seconds, by `p50`, `p99` and others.
type Latencies = BTreeMap<String, Option<f64>>;

/// The part of what `oha` prints that is looked at.
#[derive(Deserialize)]
struct Printed {
    summary: Summary,
    #[serde(rename = "statusCodeDistribution")]
    statuses: BTreeMap<u16, usize>,
    #[serde(rename = "latencyPercentilesSuccessful")]
    answered: Latencies,
    #[serde(rename = "latencyPercentilesNotSuccessful")]
    refused: Latencies,
}

#[derive(Deserialize)]
struct Summary {
    total: f64,
}

// === impl OpenLoop ===

impl OpenLoop {
    /// So many requests, so many a second.
    pub fn new(address: SocketAddr, path: &str, request: &Request, rate: f64, time: Duration) -> OpenLoop {
        let count = (rate * time.as_secs_f64()).ceil().max(1.0) as usize;
        OpenLoop { rate: Some(rate), count, ..OpenLoop::closed(address, path, request, CONNECTIONS, count) }
    }

    /// So many requests over so many connections, each of which sends when it has its answer: no open loop, but what finds
    /// out how much is answered at the most.
    pub fn closed(address: SocketAddr, path: &str, request: &Request, connections: usize, count: usize) -> OpenLoop {
        let length = request.header_length().map(|length| format!("Inference-Header-Content-Length: {length}"));
        OpenLoop {
            urls: vec![format!("http://{address}{path}")],
            headers: length.into_iter().collect(),
            body: request.body().to_vec(),
            connections,
            rate: None,
            count,
        }
    }

    /// The same to one of these paths each time, chosen at random; a path that is there twice is chosen twice as often.
    pub fn over_paths(mut self, address: SocketAddr, paths: &[String]) -> OpenLoop {
        self.urls = paths.iter().map(|path| format!("http://{address}{path}")).collect();
        self
    }

    /// Sends them, and waits for the last answer.
    pub fn run(&self) -> Result<Replies> {
        let folder = tempfile::tempdir()?;
        let (body, urls) = (folder.path().join("body"), folder.path().join("urls"));
        std::fs::File::create(&body)?.write_all(&self.body)?;
        let mut command = Command::new(oha()?);
        command.args(["--no-tui", "--stats-success-breakdown", "--output-format", "json", "-m", "POST", "-t", "60s"]);
        command.args(["-n", &self.count.to_string(), "-c", &self.connections.to_string()]);
        if let Some(rate) = self.rate {
            command.args(["-q", &rate.to_string(), "--latency-correction"]);
        }
        command.args(self.headers.iter().flat_map(|header| ["-H", header]));
        command.arg("-D").arg(&body);
        match &self.urls[..] {
            [url] => {
                command.arg(url);
            }
            several => {
                std::fs::write(&urls, several.join("\n"))?;
                command.arg("--urls-from-file").arg(&urls);
            }
        }
        let ended = output(command.stdin(Stdio::null())).context("cannot run oha")?;
        if !ended.status.success() {
            bail!("oha: {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim());
        }
        let printed: Printed = serde_json::from_slice(&ended.stdout).context("oha printed no summary")?;
        let answered: usize = printed.statuses.values().sum();
        Ok(Replies {
            lost: self.count.saturating_sub(answered),
            statuses: printed.statuses,
            seconds: printed.summary.total,
            answered: printed.answered,
            refused: printed.refused,
        })
    }

    /// The same beside what else is to be done.
    pub fn start(&self) -> JoinHandle<Result<Replies>> {
        let load = self.clone();
        thread::spawn(move || load.run())
    }
}

/// What a load that was started found.
pub fn finish(load: JoinHandle<Result<Replies>>) -> Result<Replies> {
    load.join().map_err(|_| anyhow!("the load generator's thread panicked"))?
}

/// Runs the generator. It stands for another machine: whoever sends it a reply should not wait until what is measured has had its
/// slice of the processor that the two share.
fn output(generator: &mut Command) -> io::Result<Output> {
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            // Where the system has no such slices, latencies hold the generator's own waits.
            let _ = set_slice(SHORT, Scope::Descendants);
            generator.output()
        });
        run.join().unwrap_or_else(|_| Err(io::Error::other("the thread that was to run it panicked")))
    })
}

/// The generator: where `scripts/setup.sh node-tools` leaves it, or wherever it is found.
fn oha() -> Result<PathBuf> {
    let ours = repository().join("target").join("tools").join("bin").join("oha");
    let found = if ours.is_file() { ours } else { PathBuf::from("oha") };
    let known = Command::new(&found).arg("--version").output().is_ok_and(|output| output.status.success());
    ensure!(known, "oha is not installed; install it with: scripts/setup.sh node-tools");
    Ok(found)
}

// === impl Replies ===

impl Replies {
    /// How many were sent.
    pub fn total(&self) -> usize {
        self.lost + self.statuses.values().sum::<usize>()
    }

    /// How many have this status.
    pub fn count(&self, status: u16) -> usize {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// How many were answered with 200, each second.
    pub fn rate(&self) -> f64 {
        self.count(200) as f64 / self.seconds.max(1e-9)
    }

    /// How many have neither of these statuses, or no answer at all.
    pub fn other_than(&self, statuses: &[u16]) -> usize {
        let others = self.statuses.iter().filter(|(status, _)| !statuses.contains(status));
        self.lost + others.map(|(_, count)| count).sum::<usize>()
    }

    /// The latency that one in a hundred of what was answered exceeds.
    pub fn p99(&self) -> Duration {
        latency(&self.answered, "p99")
    }

    /// The latency that one in a hundred refusals exceeds.
    pub fn refused_p99(&self) -> Duration {
        latency(&self.refused, "p99")
    }
}

/// A latency by its name; zero where there is none.
fn latency(latencies: &Latencies, name: &str) -> Duration {
    let seconds = latencies.get(name).copied().flatten().unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
