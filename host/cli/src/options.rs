//! What the command line may say.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use samara_artifact::{Simd, Tune};
use samara_compiler::InputShape;
use samara_configuration::ServeSettings;
use samara_nn::GraphSpec;
use samara_runtime::Config;

use crate::template::ProjectName;

/// Serverless inference on WebAssembly: an ONNX model becomes a component that answers HTTP.
#[derive(Debug, Parser)]
#[command(name = "samara", version, propagate_version = true)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compile an ONNX model into a WASI component that carries the optimised model, or has its host run it.
    Compile(CompileOptions),
    /// Serve components over HTTP: the Open Inference Protocol v2, each request in a fresh instance.
    Serve(Box<ServeOptions>),
    /// Look at what configures `samara serve`.
    Config(ConfigOptions),
    /// Run a component once, on tensors from files.
    Infer(InferOptions),
    /// Measure a component: fresh and reused instances, and with --profile each of its operators. Without inputs, on zeros in
    /// the shapes that it was compiled with.
    Bench(BenchOptions),
    /// Run a program for WASI that asks for graphs: a core module of preview 1, or a component with wasi:cli/run.
    Run(RunOptions),
    /// Write a project for a function around a model, with all that it needs to be built.
    New(NewOptions),
    /// Make a component of a function, and one of the function and its model: it then runs on any host by itself.
    Link(LinkOptions),
    /// Write an application for Spin: models, and functions that ask them.
    Spin(SpinOptions),
    /// Show what a component is: its model, what it imports and exports, its size by part.
    Inspect(InspectOptions),
}

#[derive(Debug, Args)]
pub struct CompileOptions {
    /// The ONNX file.
    pub model: PathBuf,
    /// Where the component goes [default: the model's name with the ending .wasm, in the current directory].
    #[arg(short, long, value_name = "OUT.wasm")]
    pub output: Option<PathBuf>,
    /// The name to serve the model under [default: the name of its file].
    #[arg(long, value_parser = name)]
    pub name: Option<String>,
    /// The model's version.
    #[arg(long, default_value = "1", value_parser = name)]
    pub version: String,
    /// The shape of an input: a size for each dimension, or a name for one that stays dynamic. Repeatable.
    #[arg(long, value_name = "NAME=D0,D1,…")]
    pub input: Vec<InputShape>,
    /// What runs the model.
    #[arg(long, value_enum, default_value_t = Target::Wasm)]
    pub target: Target,
    /// The vector instructions to use: relaxed is faster, baseline runs on hosts without relaxed SIMD. Only with --target
    /// wasm [default: relaxed].
    #[arg(long, value_name = "relaxed|baseline")]
    pub simd: Option<Simd>,
    /// The processors to choose kernels for: x86-64 is AMD's, and Intel's since Alder Lake and Sapphire Rapids; skylake is
    /// Intel's before those. The component runs on others too, but slower. Only with --target wasm [default: this machine's].
    #[arg(long, value_name = "x86-64|skylake|aarch64")]
    pub tune: Option<Tune>,
    /// A text file with the name of one class a line, kept in the component.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    #[command(flatten)]
    pub cache: CacheOptions,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// The component itself, on any host.
    Wasm,
    /// The host, through wasi:nn: the ONNX file goes beside the component, named by its SHA-256.
    Nn,
}

#[derive(Debug, Args)]
pub struct ServeOptions {
    #[command(flatten)]
    pub settings: ServeSettings,
    /// Print where the server listens, and what it serves, as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ConfigOptions {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a file: name everything that is wrong with it, by line and column. Whether the files that it names are there is
    /// not looked at.
    Check(ConfigCheckOptions),
}

#[derive(Debug, Args)]
pub struct ConfigCheckOptions {
    /// The file.
    #[arg(value_name = "samara.toml")]
    pub file: PathBuf,
    /// Print what is wrong as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct NewOptions {
    /// The project's name, and its crate's: small letters and digits, in words joined by hyphens.
    pub name: ProjectName,
    /// The model that the function asks; its signature is what is written for. Without one, an example is.
    #[arg(long, value_name = "MODEL.wasm")]
    pub model: Option<PathBuf>,
    /// The directory that the project goes to [default: its name, in the current directory].
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Print what was written as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LinkOptions {
    /// The function: a core module that describes its interfaces, or a component.
    pub function: PathBuf,
    /// The model that it asks. Without one, the function stays to be linked elsewhere.
    #[arg(long, value_name = "MODEL.wasm")]
    pub model: Option<PathBuf>,
    /// Where the component goes.
    #[arg(short, long, value_name = "OUT.wasm")]
    pub output: PathBuf,
    /// Print what came of it as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SpinOptions {
    /// Compiled models.
    #[arg(required = true, value_name = "MODEL.wasm")]
    pub models: Vec<PathBuf>,
    /// A function, served under its file's name; of the models, the one is linked whose signature fits. Repeatable.
    #[arg(long, value_name = "FUNCTION.wasm")]
    pub function: Vec<PathBuf>,
    /// The directory that the application goes to.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Print what it serves as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InferOptions {
    #[command(flatten)]
    pub model: ModelOptions,
    /// A directory for the outputs, one .npy file each.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Print the outputs as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchOptions {
    #[command(flatten)]
    pub model: ModelOptions,
    /// Take the time of each operator too, for as long again; of a batch that is computed one by one, for the first item. The
    /// engine gets a clock for it, which it has nowhere else.
    #[arg(long)]
    pub profile: bool,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub seconds: u16,
    /// Print the measurements as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A model that runs in this process, and on what.
#[derive(Debug, Args)]
pub struct ModelOptions {
    /// The component.
    #[arg(id = "model", value_name = "MODEL")]
    pub path: PathBuf,
    /// An input's tensor, in NumPy's format. Repeatable.
    #[arg(long, value_name = "NAME=FILE.npy", value_parser = tensor_file)]
    pub input: Vec<(String, PathBuf)>,
    #[command(flatten)]
    pub nn: NnOptions,
    #[command(flatten)]
    pub limits: LimitOptions,
    #[command(flatten)]
    pub cache: CacheOptions,
}

#[derive(Debug, Args)]
pub struct RunOptions {
    /// The program.
    pub program: PathBuf,
    /// A directory that the program may use, under this name if one is given. Repeatable.
    #[arg(long, value_name = "DIR[::NAME]", value_parser = directory)]
    pub dir: Vec<(PathBuf, String)>,
    /// An environment variable of the program. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    #[command(flatten)]
    pub nn: NnOptions,
    /// The most memory that the program may have, in MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub memory_mib: u16,
    /// The program's arguments.
    #[arg(last = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub struct InspectOptions {
    /// The component.
    pub model: PathBuf,
    #[command(flatten)]
    pub nn: NnOptions,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The graphs that the host runs, through wasi:nn.
#[derive(Debug, Args)]
pub struct NnOptions {
    /// A graph that the host runs, or how one is to run whose file lies beside the component that asks for it. Settings:
    /// backend=tract|onnxruntime|openvino, device=auto|cpu|cuda:N|tensorrt:N, contexts=N, threads=N,
    /// optimization=none|basic|extended|all. Repeatable.
    #[arg(long, value_name = "NAME[=MODEL.onnx][,KEY=VALUE…]")]
    pub nn: Vec<GraphSpec>,
    /// ONNX Runtime's library, for backend=onnxruntime [default: $ORT_DYLIB_PATH, or that of the Python package onnxruntime
    /// in $VIRTUAL_ENV or ./.venv].
    #[arg(long, value_name = "libonnxruntime.so")]
    pub ort_dylib: Option<PathBuf>,
    /// Let guests bring graphs of their own, by `load` of wasi:nn. They run on tract.
    #[arg(long)]
    pub nn_load: bool,
}

/// What an inference may use.
#[derive(Debug, Args)]
pub struct LimitOptions {
    /// The most memory that an instance may have, in MiB.
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub memory_mib: u16,
    /// How long an inference may take, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub deadline_ms: u64,
    /// The most instances at the same time.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub instances: u16,
}

/// Where machine code is kept.
#[derive(Debug, Args)]
pub struct CacheOptions {
    /// The directory for machine code [default: $SAMARA_CACHE_DIR, or samara in the user's cache directory].
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub cache_dir: Option<PathBuf>,
    /// The most machine code that is kept, in MiB: when some is made and there is more, that goes which was loaded least
    /// recently.
    #[arg(
        long,
        env = "SAMARA_CACHE_BUDGET_MIB",
        hide_env_values = true,
        default_value_t = Config::CACHE_BUDGET_MIB,
        value_name = "MIB",
        value_parser = clap::value_parser!(u64).range(1..=16_777_216)
    )]
    pub cache_budget_mib: u64,
    /// Keep no machine code: compile it every time.
    #[arg(long)]
    pub no_cache: bool,
}

impl LimitOptions {
    /// Applies them to a runtime's configuration.
    pub fn apply(&self, config: &mut Config) {
        config.limits.memory_bytes = usize::from(self.memory_mib) << 20;
        config.limits.deadline = self.deadline();
        config.limits.instances = u32::from(self.instances);
    }

    /// How long an inference may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

impl CacheOptions {
    /// Applies them to a runtime's configuration.
    pub fn apply(&self, config: &mut Config) {
        config.cache_budget_bytes = self.cache_budget_mib << 20;
        if self.no_cache {
            config.cache_directory = None;
        } else if let Some(directory) = &self.cache_dir {
            config.cache_directory = Some(directory.clone());
        }
    }
}

/// A name or version: it becomes part of a path in URLs.
fn name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 128
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'))
        && text.chars().any(|c| c != '.');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("it must be 1 to 128 letters, digits or -_.+, not only dots, since it becomes part of a URL".to_owned())
    }
}

fn directory(text: &str) -> Result<(PathBuf, String), String> {
    let (path, name) = text.split_once("::").unwrap_or((text, text));
    if path.is_empty() || name.is_empty() {
        return Err(format!("{text:?} is not DIR or DIR::NAME"));
    }
    Ok((PathBuf::from(path), name.to_owned()))
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
}

fn tensor_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), PathBuf::from(file))),
        _ => Err(format!("{text:?} is not NAME=FILE.npy")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_options_are_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_name_is_fit_for_a_url() {
        assert!(name("efficientnet-lite0").is_ok());
        for text in ["", ".", "..", "a/b", "a b", "ä", "a?b", &"x".repeat(129)] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
