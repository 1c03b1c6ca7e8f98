//! Runs programs for WASI that ask for graphs: commands, which start, run and end.
//!
//! A program is a core module for WASI's preview 1, as crate `wasi-nn` and others are built into for `wasm32-wasip1`, which
//! finds its graphs in module `wasi_ephemeral_nn`; or a component that exports `wasi:cli/run@0.2`, and finds them in
//! `wasi:nn`. It has the standard streams, a clock, random numbers, its arguments, and the directories and environment
//! variables that it is given; no network.

#![forbid(unsafe_code)]

mod component;
mod limit;
mod module;

use std::path::PathBuf;
use std::sync::Arc;

use samara_nn::Registry;
use samara_runtime::Config;
use wasmparser::Parser;
use wasmtime::Engine;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

/// What a program is given.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its arguments, its name first.
    pub arguments: Vec<String>,
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
    /// Its directories: where they are, and what it calls them.
    pub directories: Vec<(PathBuf, String)>,
    /// Bytes that its memories and tables may have together, and what its tensors may take of the host's.
    pub memory_bytes: usize,
    /// The graphs that it may ask for.
    pub graphs: Arc<Registry>,
}

/// Why a program did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// A directory cannot be given to it.
    #[error("cannot open the directory {}: {reason:#}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: wasmtime::Error,
    },
    /// It is no program, or asks for what there is not.
    #[error("it cannot be started: {0:#}")]
    Start(wasmtime::Error),
    /// It trapped.
    #[error("it failed: {0:#}")]
    Trap(wasmtime::Error),
}

/// Runs a program to its end, and gives its exit status.
///
/// # Errors
///
/// It cannot be started, or traps. A status other than 0 is no error.
pub fn run(program: &[u8], options: &Options) -> Result<i32, ProgramError> {
    // Whoever runs a program ends it, so nothing interrupts it.
    let mut config = Config::code_generation();
    config.epoch_interruption(false);
    let engine = Engine::new(&config).map_err(ProgramError::Start)?;
    let result = if Parser::is_component(program) {
        component::run(&engine, program, options)
    } else {
        module::run(&engine, program, options)
    };
    match result {
        Err(ProgramError::Trap(error)) => match error.downcast_ref::<I32Exit>() {
            Some(&I32Exit(status)) => Ok(status),
            None => Err(ProgramError::Trap(error)),
        },
        other => other,
    }
}

fn wasi(options: &Options) -> Result<WasiCtxBuilder, ProgramError> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().args(&options.arguments).envs(&options.environment);
    for (path, name) in &options.directories {
        wasi.preopened_dir(path, name, FsPerms::ReadWrite)
            .map_err(|reason| ProgramError::Directory { path: path.clone(), reason })?;
    }
    Ok(wasi)
}
