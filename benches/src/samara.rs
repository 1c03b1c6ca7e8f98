//! The command under test: found, run to its end, or run as a server.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use samara_artifact::Tune;
use serde_json::Value;

use crate::zoo::Build;

/// How long a server may take to say that it listens.
const START: Duration = Duration::from_secs(60);

/// The command under test.
pub struct Samara {
    binary: PathBuf,
    target: PathBuf,
}

/// A running `samara serve`, killed when it is dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    admin: Option<String>,
}

/// What a server prints when it listens.
#[derive(serde::Deserialize)]
struct Ready {
    listen: SocketAddr,
    admin_listen: Option<String>,
}

// === impl Samara ===

impl Samara {
    /// The binary that `SAMARA_BIN` names, or the one that `make build` leaves.
    pub fn find() -> Result<Samara> {
        let target = repository().join("target");
        let binary = std::env::var_os("SAMARA_BIN").map_or_else(|| target.join("release/samara"), PathBuf::from);
        if !binary.is_file() {
            bail!("there is no {}; build it with: make build", binary.display());
        }
        Ok(Samara { binary, target })
    }

    /// Where it is.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The folder that holds all that is built.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where machine code is cached for the measurements.
    pub fn code_cache(&self) -> PathBuf {
        self.target.join("bench").join("code")
    }

    /// Runs the command to its end and returns what it prints.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String> {
        let output = Command::new(&self.binary).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run {}", self.binary.display()))?;
        if !output.status.success() {
            bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Compiles a model into `output` and returns the report, `steps` and all.
    pub fn compile(&self, build: &Build, output: &Path) -> Result<Value> {
        self.compile_with(build, output, &[])
    }

    /// The same with further options.
    fn compile_with(&self, build: &Build, output: &Path, options: &[OsString]) -> Result<Value> {
        let mut arguments = vec!["compile".into(), build.onnx.clone().into_os_string()];
        arguments.extend(["--name".into(), build.name.clone().into()]);
        for shape in &build.inputs {
            arguments.extend(["--input".into(), shape.into()]);
        }
        arguments.extend(["--output".into(), output.into()]);
        arguments.extend(["--cache-dir".into(), self.code_cache().into_os_string(), "--json".into()]);
        arguments.extend_from_slice(options);
        let report = self.run(&arguments).with_context(|| format!("samara compile {}", build.onnx.display()))?;
        serde_json::from_str(&report).context("samara compile --json does not print JSON")
    }

    /// The compiled model: compiled now, unless this binary has compiled this file this way on such a machine before.
    pub fn component(&self, build: &Build) -> Result<PathBuf> {
        let directory = self.target.join("bench").join("components");
        fs::create_dir_all(&directory)?;
        let component = directory.join(format!("{}.wasm", build.name));
        let stamp = component.with_extension("stamp");
        let states = [state_of(&self.binary)?, state_of(&build.onnx)?, Tune::here().to_string()];
        let wanted = format!("{}\n{:?}\n", states.join("\n"), build.inputs);
        if component.is_file() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(component);
        }
        eprintln!("      compiling {}", build.name);
        self.compile(build, &component)?;
        fs::write(stamp, wanted)?;
        Ok(component)
    }

    /// The model compiled for a kind of processors.
    pub fn component_tuned(&self, build: &Build, tune: Tune) -> Result<PathBuf> {
        let directory = self.target.join("bench").join("components-tuned");
        fs::create_dir_all(&directory)?;
        let component = directory.join(format!("{}-{tune}.wasm", build.name));
        self.compile_with(build, &component, &["--tune".into(), tune.to_string().into()])?;
        Ok(component)
    }

    /// The model compiled to be run by the host, with its graph beside it.
    pub fn component_for_host(&self, build: &Build) -> Result<PathBuf> {
        let directory = self.target.join("bench").join("components-nn");
        fs::create_dir_all(&directory)?;
        let component = directory.join(format!("{}.wasm", build.name));
        let words = ["compile", "--target", "nn", "--name", &build.name, "--cache-dir"].map(OsString::from);
        let mut arguments = Vec::from(words);
        arguments.extend([self.code_cache().into_os_string(), "--output".into(), component.clone().into()]);
        arguments.push(build.onnx.clone().into());
        self.run(&arguments).with_context(|| format!("samara compile --target nn {}", build.onnx.display()))?;
        Ok(component)
    }

    /// Serves components on a port that the system chooses.
    pub fn serve(&self, components: &[PathBuf]) -> Result<Server> {
        self.serve_with(components, &[])
    }

    /// The same with further options.
    pub fn serve_with(&self, components: &[PathBuf], options: &[String]) -> Result<Server> {
        let cache = format!("--cache-dir={}", self.code_cache().display());
        self.serve_bare(components, &[&[cache], options].concat())
    }

    /// The same with these options alone, which say where machine code is cached.
    pub fn serve_bare(&self, components: &[PathBuf], options: &[String]) -> Result<Server> {
        let mut child = self.server(components, "127.0.0.1:0")?.args(options).spawn().context("cannot run samara")?;
        let ready = ready(&mut child);
        // From here on it is killed, whatever comes.
        let mut server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), admin: None };
        (server.address, server.admin) = ready.map(|ready| (ready.listen, ready.admin_listen))?;
        Ok(server)
    }

    /// Starts to serve components on this address, and does not wait for anything.
    pub fn serve_on(&self, components: &[PathBuf], address: SocketAddr) -> Result<Server> {
        let mut command = self.server(components, &address.to_string())?;
        let child = command.arg("--cache-dir").arg(self.code_cache()).spawn().context("cannot run samara")?;
        Ok(Server { child, address, admin: None })
    }

    /// A command that serves components.
    fn server(&self, components: &[PathBuf], listen: &str) -> Result<Command> {
        let mut command = Command::new(&self.binary);
        command.arg("serve").args(components).args(["--listen", listen, "--json"]);
        let log = fs::File::create(self.target.join("bench").join("serve.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        Ok(command)
    }
}

/// The checkout that this binary was built from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Something that changes when a file does.
fn state_of(path: &Path) -> Result<String> {
    let metadata = fs::metadata(path)
        .with_context(|| format!("there is no {}; fetch the models with: python models/fetch.py", path.display()))?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{} {} {}", path.display(), metadata.len(), modified.as_nanos()))
}

/// The first line that a server prints.
fn ready(child: &mut Child) -> Result<Ready> {
    let output = child.stdout.take().context("the server's output is not read")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line).map(|_| line);
        // Nobody waits any more where this fails.
        let _ = sender.send(read);
    });
    let line = receiver.recv_timeout(START).context("the server does not say that it listens")??;
    serde_json::from_str(&line).context("the server ended at once; see target/bench/serve.log")
}

// === impl Server ===

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes admin calls.
    pub fn admin(&self) -> Result<SocketAddr> {
        let admin = self.admin.as_deref().context("the server does not say where it takes admin calls")?;
        Ok(admin.trim_start_matches("http://").parse()?)
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
