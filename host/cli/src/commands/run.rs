//! `samara run`.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::graphs;
use crate::options::RunOptions;

pub fn run(arguments: &RunOptions) -> Result<ExitCode> {
    let path = &arguments.program;
    let program = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let graphs = graphs::load(arguments.nn.nn.clone(), &arguments.nn.options())?;
    graphs::check(&graphs)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let options = samara_program::Options {
        arguments: [name].into_iter().chain(arguments.arguments.iter().cloned()).collect(),
        environment: arguments.env.clone(),
        directories: arguments.dir.clone(),
        memory_bytes: usize::from(arguments.memory_mib) << 20,
        graphs,
    };
    let status = samara_program::run(&program, &options).with_context(|| path.display().to_string())?;
    // Systems keep eight bits of it.
    Ok(ExitCode::from(status as u8))
}
