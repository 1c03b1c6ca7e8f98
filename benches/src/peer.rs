//! ONNX Runtime in Python, which runs a model whenever it is asked to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::samara::repository;
use crate::zoo::{Card, Vector};

/// `benches/onnxruntime_peer.py` with a model and its inputs. It ends when this is dropped.
pub struct OnnxRuntime {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    version: String,
}

impl OnnxRuntime {
    /// Starts it, and waits until the model is loaded.
    pub fn start(card: &Card, vector: &Vector) -> Result<OnnxRuntime> {
        let python = repository().join(".venv/bin/python");
        let mut command = Command::new(&python);
        command.arg(repository().join("benches/onnxruntime_peer.py")).arg(&card.build.onnx);
        for (name, path) in &vector.input_files {
            command.arg(format!("{name}={}", path.display()));
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child =
            child.with_context(|| format!("cannot run {}: scripts/setup.sh bench-tools", python.display()))?;
        let questions = child.stdin.take().context("it has no input")?;
        let answers = BufReader::new(child.stdout.take().context("it has no output")?);
        let mut peer = OnnxRuntime { child, questions, answers, version: String::new() };
        peer.version = peer.line()?;
        Ok(peer)
    }

    /// The version of ONNX Runtime.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs the model so often, and tells how long each run took.
    pub fn run(&mut self, count: usize) -> Result<Vec<Duration>> {
        writeln!(self.questions, "{count}")?;
        let times: Vec<u64> = serde_json::from_str(&self.line()?)?;
        Ok(times.into_iter().map(Duration::from_nanos).collect())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "ONNX Runtime's peer ended: scripts/setup.sh bench-tools");
        Ok(line.trim().to_owned())
    }
}

impl Drop for OnnxRuntime {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
