//! The model repository: models and versions that come and go while requests run, and what decides which version answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod admin;
mod layouts;
mod memory;
mod split;
mod watched;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::{Client, Reply, Request};
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, infer_path, json_body, json_request};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// Often enough for tests, and seldom enough for what they write in one go to be whole.
const POLL: &str = "--repository-poll-ms 200";

fn input(x: f32) -> [Tensor; 1] {
    [Tensor::fp32("x", &[1], &[x])]
}

/// Puts a file into a directory whole, as one should.
fn put(directory: &Path, file: &str, content: &[u8]) {
    let path = directory.join(file);
    let parent = path.parent().unwrap();
    fs::create_dir_all(parent).unwrap();
    let mut whole = tempfile::NamedTempFile::new_in(parent).unwrap();
    std::io::Write::write_all(&mut whole, content).unwrap();
    whole.persist(path).unwrap();
}

/// A directory with versions of the model `m`, which echoes.
fn versions(versions: &[&str]) -> TempDir {
    let directory = tempdir().unwrap();
    for version in versions {
        put(directory.path(), &format!("m/{version}/model.wasm"), &guests::component("echoes", "m"));
    }
    directory
}

/// A server with an admin listener.
struct Node {
    directory: TempDir,
    server: Server,
    admin: SocketAddr,
}

impl Node {
    fn start(directory: TempDir, options: &[&str]) -> Node {
        let serve = Serve::new([directory.path()]).option("--json --admin-listen 127.0.0.1:0");
        let server = options.iter().fold(serve, |serve, option| serve.option(option)).start();
        let ready: Value = serde_json::from_str(server.ready_line()).unwrap();
        let admin = ready["admin_listen"].as_str().unwrap().parse().unwrap();
        Node { directory, server, admin }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes an admin call.
    fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = Request::post(&format!("/v2/repository/models/{path}"), body);
        if method != "POST" {
            request = request.method(method);
        }
        Client::http1(self.admin).send(&request)
    }

    /// The version that answers a request, which names one or none.
    #[track_caller]
    fn version(&self, model: &str) -> String {
        let reply = self.server.infer(model, &input(1.0)).expect(200).json();
        reply["model_version"].as_str().unwrap().to_owned()
    }

    fn index(&self) -> Vec<Value> {
        index(&self.server)
    }

    /// Waits until the index has a row with these in it.
    #[track_caller]
    fn wait_for(&self, name: &str, version: &str, state: &str, reason: &str) {
        let start = Instant::now();
        loop {
            let index = self.index();
            let is_there = index.iter().any(|row| {
                (&row["name"], &row["version"], &row["state"]) == (&json!(name), &json!(version), &json!(state))
                    && row["reason"].as_str().unwrap().contains(reason)
            });
            if is_there {
                return;
            }
            let waited = start.elapsed();
            assert!(waited < Duration::from_secs(60), "no {name:?} {version:?} {state} {reason:?} in {index:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A counter or gauge of the metrics.
    fn metric(&self, series: &str) -> Option<f64> {
        self.server.metric(series)
    }
}

fn index(server: &Server) -> Vec<Value> {
    let index = server.send(&Request::post("/v2/repository/index", "")).expect(200).json();
    index.as_array().unwrap().clone()
}

/// A request to a model with a header.
fn with_header(model: &str, name: &str, value: &str) -> Request {
    json_request(model, &input(1.0)).header(name, value)
}

/// A request to a version of a model.
fn to_version(model: &str, version: &str) -> Request {
    Request::post_json(&format!("/v2/models/{model}/versions/{version}/infer"), &json_body(&input(1.0)))
}

/// Sends requests to a model without a pause until it is told to stop, and says how many were answered: all of them.
fn keep_asking(address: SocketAddr, model: &str, stop: &std::sync::atomic::AtomicBool) -> usize {
    let mut client = Client::http1(address);
    let request = Request::post_json(&infer_path(model), &json_body(&input(1.0)));
    let mut answered = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        client.send(&request).expect(200);
        answered += 1;
    }
    answered
}
