//! `samara serve`, running beside a test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::grpc;
use crate::http::{Client, Reply, Request};
use crate::samara::{self, Run};
use crate::tensor::{self, Tensor};

/// How long a server may take to be ready: it may have to make machine code of several models.
const START: Duration = Duration::from_secs(180);

/// How long a server may take to stop once nothing runs any more.
const STOP: Duration = Duration::from_secs(30);

/// A server that is about to be started.
pub struct Serve {
    command: Command,
}

/// A server that is ready. It is killed when this is dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    ready: String,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

// === impl Serve ===

impl Serve {
    /// Serves components, or directories of them, on a port that is free.
    pub fn new<P: AsRef<OsStr>>(paths: impl IntoIterator<Item = P>) -> Serve {
        Serve::on("127.0.0.1:0", paths)
    }

    /// Serves functions, each with its options.
    pub fn functions(options: &[&str]) -> Serve {
        let mut serve = Serve::new::<&str>([]);
        serve.command.args(options);
        serve
    }

    /// Serves on a certain address.
    pub fn on<P: AsRef<OsStr>>(address: &str, paths: impl IntoIterator<Item = P>) -> Serve {
        Serve::by(samara::command(), address, paths)
    }

    /// Serves by something that runs the command in its own way: a shell that sets limits first, say.
    pub fn by<P: AsRef<OsStr>>(mut command: Command, address: &str, paths: impl IntoIterator<Item = P>) -> Serve {
        command.args(["serve", "--listen", address]).args(paths);
        Serve { command }
    }

    /// With this option, and its value if it has one.
    #[must_use]
    pub fn option(mut self, words: &str) -> Serve {
        self.command.args(words.split(' '));
        self
    }

    /// With gRPC, on a port that is free.
    #[must_use]
    pub fn grpc(self) -> Serve {
        self.option("--json").option("--grpc-listen 127.0.0.1:0")
    }

    /// With this environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Serve {
        self.command.env(name, value);
        self
    }

    /// Starts it, and waits until it is ready.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Server {
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (ready, is_ready) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let output = thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = ready.send(line);
            }
        });
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let messages = thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    let mut log = log.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        let mut server = Server {
            child,
            address: SocketAddr::from(([0; 4], 0)),
            ready: String::new(),
            log,
            readers: vec![output, messages],
        };
        let Ok(line) = is_ready.recv_timeout(START) else {
            let _ = server.child.kill();
            let _ = server.child.wait();
            server.join_readers();
            panic!("the server does not start: {}", server.log());
        };
        server.address = address(&line);
        server.ready = line;
        server
    }

    /// Starts it and expects that it gives up, saying why in one paragraph.
    #[track_caller]
    pub fn fails(mut self) -> String {
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > START {
                let _ = child.kill();
                panic!("the server does not give up: {:?}", child.wait_with_output());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Run::from(child.wait_with_output().unwrap()).fails()
    }
}

/// The address in the line that says that a server is ready.
fn address(line: &str) -> SocketAddr {
    let text = match line.strip_prefix("listening on http://") {
        Some(text) => text.to_owned(),
        None => {
            let json: Value = serde_json::from_str(line).unwrap();
            json["listen"].as_str().unwrap().to_owned()
        }
    };
    text.parse().unwrap_or_else(|error| panic!("no address ({error}): {line}"))
}

// === impl Server ===

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The line that said that it is ready.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.ready
    }

    /// All that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has logged each of these texts: what it logs before it answers may be read after the answer.
    #[track_caller]
    pub fn logs(&self, texts: &[&str]) {
        let start = Instant::now();
        while let Some(text) = texts.iter().find(|text| !self.log().contains(**text)) {
            assert!(start.elapsed() < STOP, "{text:?} is not logged: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A new connection for HTTP/1.1.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::http1(self.address)
    }

    /// A new connection for gRPC, which it must serve.
    #[must_use]
    #[track_caller]
    pub fn grpc(&self) -> grpc::Client {
        let ready: Value = serde_json::from_str(&self.ready).unwrap();
        grpc::Client::connect(ready["grpc_listen"].as_str().unwrap().parse().unwrap())
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Reply {
        self.client().send(request)
    }

    /// Gets what a path has.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send(&Request::get(path))
    }

    /// Runs a model, with its inputs in JSON.
    #[track_caller]
    pub fn infer(&self, model: &str, inputs: &[Tensor]) -> Reply {
        self.send(&tensor::json_request(model, inputs))
    }

    /// How often each limit was met by requests for a model.
    #[must_use]
    #[track_caller]
    pub fn limits(&self, model: &str) -> Value {
        self.statistics(model)["limits"].clone()
    }

    /// The statistics of a model.
    #[must_use]
    #[track_caller]
    pub fn statistics(&self, model: &str) -> Value {
        let stats = self.get(&format!("/v2/models/{model}/stats")).expect(200).json();
        stats["model_stats"][0].clone()
    }

    /// What a series of the metrics says, if there is one.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = String::from_utf8(self.get("/metrics").expect(200).body.to_vec()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// How often each limit was met by requests that never got as far as a model.
    #[must_use]
    #[track_caller]
    pub fn server_limits(&self) -> Value {
        self.get("/v2/models/stats").expect(200).json()["server_limits"].clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Has it read its file again, and waits until its log tells this outcome.
    #[track_caller]
    pub fn reload(&self, outcome: &str) {
        let before = self.log().matches(outcome).count();
        self.signal(Signal::HUP);
        let start = Instant::now();
        while self.log().matches(outcome).count() == before {
            assert!(start.elapsed() < STOP, "{outcome:?} is not logged: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.join_readers();
                return status;
            }
            assert!(start.elapsed() < STOP, "the server does not stop: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, and asserts that it does so in peace.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0), "{}", self.log());
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the server's log ---\n{}---", self.log());
        }
    }
}
