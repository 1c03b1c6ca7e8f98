//! Admission: what runs, what waits, and what is refused at once, while there is more to do than can be done.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod deadlines;
mod fairness;
mod queue;
mod vanished;

use std::fs;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::{Client, Reply};
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, json_request};
use tempfile::{TempDir, tempdir};

/// A server of `good`, which echoes, `slow` and `other`, which take a while for each million, and `bad`, which loops, with a
/// file that says this.
fn serve(file: &str) -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    guests::write(directory.path(), "takes-long", "slow");
    guests::write(directory.path(), "takes-long", "other");
    guests::write(directory.path(), "loops", "bad");
    let path = directory.path().join("samara.toml");
    fs::write(&path, format!("[node]\npaths = [\".\"]\n{file}")).unwrap();
    let server = Serve::new::<&str>([]).option(&format!("--config {}", path.display())).start();
    (directory, server)
}

fn input(x: f32) -> [Tensor; 1] {
    [Tensor::fp32("x", &[1], &[x])]
}

/// Asks a model on a connection of its own, and says how long the answer took.
fn ask(address: SocketAddr, model: &'static str, x: f32) -> JoinHandle<(Reply, Duration)> {
    thread::spawn(move || {
        let start = Instant::now();
        let reply = Client::http1(address).send(&json_request(model, &input(x)));
        (reply, start.elapsed())
    })
}

/// Waits until a counter of a model has this value.
#[track_caller]
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: it has not come to that");
        thread::sleep(Duration::from_millis(10));
    }
}
