//! What `samara serve` is told: by the command line, the environment and a file, `samara.toml`, as one typed structure.
//!
//! A flag beats the environment, that beats the file, and that the default. The key of a setting in the file's section
//! `[node]` is `queue_deadline_ms` where the flag is `--queue-deadline-ms` and the variable `SAMARA_QUEUE_DEADLINE_MS`.
//! Everything that is wrong with a file is told at once, each with its line and column.

#![forbid(unsafe_code)]

mod bounded;
mod file;
mod node;
mod problem;
mod section;

pub use bounded::{Bounded, NoRatio, OutOfBounds, Ratio};
pub use node::{Cache, LogFormat, Milliseconds, Node, NodeSettings};
pub use problem::{ConfigurationError, Problem};
pub use section::Function;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::Args;
use samara_nn::GraphSpec;
use samara_server::{FunctionRoute, Terms};

use crate::file::FileSettings;

/// What the command line and the environment say.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeSettings {
    /// The file with everything that is said here, and more: see `samara.toml` in the documentation.
    #[arg(long, env = "SAMARA_CONFIG", hide_env_values = true, value_name = "samara.toml")]
    pub config: Option<PathBuf>,
    /// What holds for the node.
    #[command(flatten)]
    pub node: NodeSettings,
    /// A function to serve: a component with a handler, or a core module to be made one. Repeatable.
    #[arg(long, value_name = "FUNCTION.wasm")]
    pub function: Vec<PathBuf>,
    /// The model that a function asks; the first is the first function's, and so on. None, if none asks any.
    #[arg(long, value_name = "MODEL.wasm", requires = "function")]
    pub model: Vec<PathBuf>,
    /// Where a function is served: /classify, or /classify/... for everything below it too; the first is the first
    /// function's, and so on [default: / and the function's name].
    #[arg(long, value_name = "PATH", requires = "function")]
    pub route: Vec<FunctionRoute>,
    /// How many requests an instance of a function answers, one after another: only for wasi:http/handler@0.3, and at the
    /// price that a request can find what others left behind. The first is the first function's, and so on [default: 1].
    #[arg(long, value_name = "N", requires = "function")]
    pub reuse: Vec<NonZeroU32>,
    /// A graph that the host runs, or how one is to run whose file lies beside the component that asks for it. Settings:
    /// backend=tract|onnxruntime|openvino, device=auto|cpu|cuda:N|tensorrt:N, contexts=N, threads=N,
    /// optimization=none|basic|extended|all. Repeatable.
    #[arg(long, value_name = "NAME[=MODEL.onnx][,KEY=VALUE…]")]
    pub nn: Vec<GraphSpec>,
}

/// Everything that `samara serve` is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Configuration {
    /// What holds for the node.
    pub node: Node,
    /// What holds for some models alone, by their names.
    pub models: BTreeMap<String, Terms>,
    /// The functions to serve: those of the command line, then those of the file.
    pub functions: Vec<Function>,
    /// The graphs that the host runs: those of the command line, then those of the file.
    pub graphs: Vec<GraphSpec>,
}

impl Configuration {
    /// What the command line and the environment say, and the file that they name.
    ///
    /// # Errors
    ///
    /// The file cannot be used, or the command line says something for some functions only.
    pub fn load(settings: &ServeSettings) -> Result<Configuration, ConfigurationError> {
        let file = settings.config.as_deref().map(FileSettings::read).transpose()?.unwrap_or_default();
        let mut functions = on_command_line(settings)?;
        functions.extend(file.functions);
        let mut node = settings.node.clone();
        if std::env::var_os("SAMARA_CACHE_DIR").is_some_and(|directory| !directory.is_empty()) {
            // The runtime looks there by itself.
            let below = NodeSettings { cache_dir: None, ..file.node };
            node = node.over(below);
        } else {
            node = node.over(file.node);
        }
        Ok(Configuration {
            node: node.resolve(),
            models: file.models.iter().map(|(name, model)| (name.clone(), model.terms())).collect(),
            functions,
            graphs: settings.nn.iter().cloned().chain(file.graphs).collect(),
        })
    }

    /// Checks a file by itself: everything but whether the files that it names are there.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    pub fn check(path: &Path) -> Result<(), ConfigurationError> {
        FileSettings::read(path).map(drop)
    }

    /// What differs and takes effect only when the process starts: keys of `[node]`, and whole sections.
    #[must_use]
    pub fn fixed_changes(&self, other: &Configuration) -> Vec<&'static str> {
        let mut changes = self.node.fixed_changes(&other.node);
        let served = |functions: &[Function]| {
            functions
                .iter()
                .map(|function| Function { terms: Terms::default(), ..function.clone() })
                .collect::<Vec<_>>()
        };
        if served(&self.functions) != served(&other.functions) {
            changes.push("function");
        }
        if self.graphs != other.graphs {
            changes.push("graph");
        }
        changes
    }
}

fn on_command_line(settings: &ServeSettings) -> Result<Vec<Function>, ConfigurationError> {
    let ServeSettings { function, model, route, reuse, .. } = settings;
    for (option, count) in [("--model", model.len()), ("--route", route.len()), ("--reuse", reuse.len())] {
        if count != 0 && count != function.len() {
            return Err(ConfigurationError::Uneven { option, count, functions: function.len() });
        }
    }
    let functions = function.iter().enumerate().map(|(index, path)| {
        let route = route.get(index).cloned().map_or_else(|| section::default_route(path), Ok)?;
        let reuse = reuse.get(index).copied().unwrap_or(NonZeroU32::MIN);
        let model = model.get(index).cloned();
        Ok(Function { component: path.clone(), model, route, reuse, terms: Terms::default() })
    });
    functions.collect()
}

#[cfg(test)]
mod tests;
