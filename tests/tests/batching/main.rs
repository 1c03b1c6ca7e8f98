//! Dynamic batching: requests of several clients in one inference, each with the answer that it would have had alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod answers;
mod failures;
mod setting_up;
mod waiting;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::{Client, Reply, Request};
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, json_request};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A pause in which a request that was sent has come.
const COME: Duration = Duration::from_millis(200);

/// Serves components with a file that says this, by one worker.
fn serve_with(directory: &Path, components: &[&Path], file: &str) -> Serve {
    let path = directory.join("samara.toml");
    fs::write(&path, format!("[node]\nworkers = 1\n{file}")).unwrap();
    Serve::new(components).option(&format!("--config {}", path.display()))
}

/// A server of the guest of this name, which is set up so.
fn serve(guest: &str, model: &str) -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    let component = guests::write(directory.path(), guest, "m");
    let server = serve_with(directory.path(), &[&component], &format!("[model.m]\n{model}\n")).start();
    (directory, server)
}

fn row(x: &[f32]) -> [Tensor; 1] {
    [Tensor::fp32("x", &[x.len() as u64], x)]
}

/// Sends a request on a connection of its own, and says how long the answer took.
fn send(address: SocketAddr, request: Request) -> JoinHandle<(Reply, Duration)> {
    thread::spawn(move || {
        let start = Instant::now();
        let reply = Client::http1(address).send(&request);
        (reply, start.elapsed())
    })
}

/// Sends requests at the same time, each on a connection of its own.
fn send_all(address: SocketAddr, requests: impl IntoIterator<Item = Request>) -> Vec<Reply> {
    let sent: Vec<_> = requests.into_iter().map(|request| send(address, request)).collect();
    sent.into_iter().map(|reply| reply.join().unwrap().0).collect()
}

/// Sends requests one after another, so that they wait in this order.
fn send_in_order(
    address: SocketAddr,
    requests: impl IntoIterator<Item = Request>,
) -> Vec<JoinHandle<(Reply, Duration)>> {
    let send = |request| {
        let sent = send(address, request);
        thread::sleep(COME);
        sent
    };
    requests.into_iter().map(send).collect()
}

/// How many items each batch had, the smallest first.
fn batch_sizes(statistics: &Value) -> Vec<u64> {
    let sizes = statistics["batch_stats"].as_array().unwrap().iter().flat_map(|batch| {
        let count = usize::try_from(batch["compute_infer"]["count"].as_u64().unwrap()).unwrap();
        std::iter::repeat_n(batch["batch_size"].as_u64().unwrap(), count)
    });
    sizes.collect()
}

fn x(x: f32) -> Request {
    json_request("m", &row(&[x]))
}
