//! The command `samara`.

#![forbid(unsafe_code)]

mod commands;
mod configuration;
mod format;
mod functions;
mod graphs;
mod model;
mod npy;
mod options;
mod template;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    // Who reads only the first lines of an output gets those, and the command ends without a word. A server must outlive
    // clients that go away.
    if !matches!(options.command, Command::Serve(_)) {
        sigpipe::reset();
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::builder()
                .with_env_var("SAMARA_LOG")
                .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
                .from_env_lossy()
                // The libraries underneath tell their users, not ours.
                .add_directive("tract_onnx=error".parse().unwrap_or_default())
                .add_directive("tract_nnef=error".parse().unwrap_or_default()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = |()| ExitCode::SUCCESS;
    let result = match options.command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Compile(arguments) => commands::compile::run(&arguments).map(done),
        Command::Serve(arguments) => commands::serve::run(&arguments).map(done),
        Command::Bench(arguments) => commands::bench::run(&arguments).map(done),
        Command::Infer(arguments) => commands::infer::run(&arguments).map(done),
        Command::New(arguments) => commands::new::run(&arguments).map(done),
        Command::Spin(arguments) => commands::spin::run(&arguments).map(done),
        Command::Link(arguments) => commands::link::run(&arguments).map(done),
        Command::Inspect(arguments) => commands::inspect::run(&arguments).map(done),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
