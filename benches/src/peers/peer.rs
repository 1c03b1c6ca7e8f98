//! What is measured: something that runs a model.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use samara_nn::library;
use samara_runtime::{Config, Runtime};

use super::naive::Program;
use crate::samara::{Samara, repository};
use crate::tensor::Tensor;
use crate::zoo::{Build, Vector};

/// Something that has loaded a model and its inputs.
pub trait Peer {
    /// What the model gives.
    fn outputs(&mut self) -> Result<Vec<Tensor>>;

    /// Runs the model so often, and tells how long each run took.
    fn time(&mut self, count: usize) -> Result<Vec<Duration>>;

    /// The versions of what runs it, where they are not known before.
    fn version(&self) -> Option<String> {
        None
    }
}

/// A model with inputs.
#[derive(Clone)]
pub struct Subject {
    /// The file, and how Samara compiles it.
    pub build: Build,
    /// What goes in.
    pub inputs: Vec<Tensor>,
    /// What has to come out.
    pub expected: Vec<Tensor>,
}

/// What peers need to be started.
pub struct Lab<'a> {
    /// The command.
    pub samara: &'a Samara,
    /// Runs components in this process.
    pub runtime: Runtime,
    /// ONNX Runtime's library.
    pub onnxruntime: PathBuf,
    /// Machine code that all models share.
    naive: OnceCell<Program>,
}

// === impl Subject ===

impl Subject {
    /// A model with the inputs of a test vector.
    pub fn of(vector: &Vector) -> Subject {
        Subject { build: vector.build.clone(), inputs: vector.inputs.clone(), expected: vector.expected.clone() }
    }
}

// === impl Lab ===

impl Lab<'_> {
    /// Finds what all peers need.
    pub fn open(samara: &Samara) -> Result<Lab<'_>> {
        let onnxruntime = library::onnxruntime_in(&repository().join(".venv"));
        let mut config = Config::default();
        config.cache_directory = Some(samara.code_cache());
        Ok(Lab {
            samara,
            runtime: Runtime::new(&config)?,
            onnxruntime: onnxruntime.context("there is no onnxruntime in .venv: scripts/setup.sh peer-tools")?,
            naive: OnceCell::new(),
        })
    }

    /// The naive program, compiled when it is first wanted.
    pub fn naive(&self) -> Result<&Program> {
        if let Some(program) = self.naive.get() {
            return Ok(program);
        }
        let program = Program::compile()?;
        Ok(self.naive.get_or_init(|| program))
    }
}
