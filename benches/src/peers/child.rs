//! Peers that are programs. `benches/README.md` says how they are spoken to.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::peer::{Lab, Peer, Subject};
use crate::samara::repository;
use crate::tensor::{Form, Tensor, infer_request, outputs_in};

/// How long a peer may take to load a model, or for the runs of one line: so many times a second. Counted so, it does not
/// run out while both are stopped.
const PATIENCE: usize = 120;
const SECOND: Duration = Duration::from_secs(1);

/// How long one may take to end.
const ENDING: Duration = Duration::from_secs(3);

/// A program that runs a model whenever it is asked to. It ends when this is dropped.
pub struct Program {
    process: Process,
    version: String,
    outputs: Vec<Tensor>,
}

/// A process that writes lines of JSON.
pub struct Process {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<std::io::Result<String>>,
    name: String,
}

#[derive(Deserialize)]
struct Hello {
    version: String,
    #[serde(default)]
    outputs: Vec<Value>,
    error: Option<String>,
}

/// ONNX Runtime in Python.
pub fn onnxruntime_python(_: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Program::onnxruntime_python(&subject.build.onnx, &subject.inputs)?))
}

/// onnxruntime-web on Node.
pub fn onnxruntime_web(_: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    let mut command = Command::new("node");
    command.arg("--no-liftoff").arg(folder("onnxruntime_web.mjs"));
    Ok(Box::new(Program::start(command, &subject.build.onnx, &subject.inputs)?))
}

/// rten.
pub fn rten(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    let command = Command::new(lab.samara.target().join("peers/release/samara-rten-peer"));
    Ok(Box::new(Program::start(command, &subject.build.onnx, &subject.inputs)?))
}

/// A command for a program in Python.
pub fn python(program: &str) -> Command {
    python_of(&repository().join(".venv"), program)
}

/// A command for a program in Python, run in this virtual environment.
pub fn python_of(environment: &Path, program: &str) -> Command {
    let mut command = Command::new(environment.join("bin").join("python"));
    command.arg(folder(program));
    command
}

fn folder(program: &str) -> std::path::PathBuf {
    repository().join("benches").join("peers").join(program)
}

// === impl Program ===

impl Program {
    /// ONNX Runtime in Python, with a model and its inputs.
    pub fn onnxruntime_python(onnx: &Path, inputs: &[Tensor]) -> Result<Program> {
        Program::start(python("onnxruntime_python.py"), onnx, inputs)
    }

    /// Starts it, and waits until it has loaded the model and run it once.
    fn start(mut command: Command, onnx: &Path, inputs: &[Tensor]) -> Result<Program> {
        let mut request = NamedTempFile::new()?;
        request.write_all(infer_request("peer", inputs, Form::Json)?.body())?;
        command.arg(onnx).arg(request.path());
        let mut process = Process::start(command)?;
        let hello: Hello = process.read()?;
        if let Some(error) = hello.error {
            bail!(error);
        }
        Ok(Program { process, version: hello.version, outputs: outputs_in(&hello.outputs, &[])? })
    }

    /// What it says that it is.
    pub fn told_version(&self) -> &str {
        &self.version
    }
}

impl Peer for Program {
    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        Ok(self.outputs.clone())
    }

    fn time(&mut self, count: usize) -> Result<Vec<Duration>> {
        writeln!(self.process.questions, "{count}")?;
        let times: Vec<u64> = self.process.read()?;
        ensure!(times.len() == count, "{} times of {count} runs", times.len());
        Ok(times.into_iter().map(Duration::from_nanos).collect())
    }

    fn version(&self) -> Option<String> {
        Some(self.version.clone())
    }
}

// === impl Process ===

impl Process {
    /// Starts a program.
    pub fn start(mut command: Command) -> Result<Process> {
        let name = command.get_program().to_string_lossy().into_owned();
        // In a group of its own, so that what it starts ends with it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn();
        let mut child = child.with_context(|| format!("cannot run {name}: make bench-peers sets it up"))?;
        let questions = child.stdin.take().context("it has no input")?;
        let lines = BufReader::new(child.stdout.take().context("it has no output")?).lines();
        let (sender, answers) = mpsc::channel();
        // It ends with the child, or when nobody listens any more.
        thread::spawn(move || lines.map(|line| sender.send(line)).take_while(Result::is_ok).count());
        Ok(Process { child, questions, answers, name })
    }

    /// Reads a line.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<T> {
        let waited = (0..PATIENCE)
            .map(|_| self.answers.recv_timeout(SECOND))
            .find(|answer| !matches!(answer, Err(RecvTimeoutError::Timeout)));
        let line = match waited {
            Some(Ok(line)) => line?,
            Some(Err(_)) => match self.child.wait() {
                Ok(status) => bail!("{} ended: {status}", self.name),
                Err(error) => bail!("{} ended: {error}", self.name),
            },
            None => bail!("{} did not answer in {PATIENCE} s", self.name),
        };
        // Where it could not go on, it says why instead.
        if let Ok(Hello { error: Some(error), .. }) = serde_json::from_str(&line) {
            bail!(error);
        }
        serde_json::from_str(&line).with_context(|| format!("{} wrote {line:.200}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already. One that has workers of its own is given the time to see to their end: what they took
        // would count as others' else.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(group, Signal::TERM);
            let asked = Instant::now();
            while asked.elapsed() < ENDING && !matches!(self.child.try_wait(), Ok(Some(_))) {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
