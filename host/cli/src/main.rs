//! The command `samara`.

#![forbid(unsafe_code)]

mod commands;
mod format;
mod functions;
mod graphs;
mod log;
mod model;
mod npy;
mod options;
mod sockets;
mod template;

use std::process::ExitCode;

use crate::options::{Command, Options};
use clap::Parser;

fn main() -> ExitCode {
    let options = Options::parse();
    // Who reads only the first lines of an output gets those, and the command ends without a word. A server must outlive
    // clients that go away.
    if !matches!(options.command, Command::Serve(_)) {
        sigpipe::reset();
    }
    // A server logs as its configuration says, once that is known.
    if !matches!(options.command, Command::Serve(_)) {
        log::start();
    }
    let done = |()| ExitCode::SUCCESS;
    let result = match options.command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Compile(arguments) => commands::compile::run(&arguments).map(done),
        Command::Config(arguments) => commands::config::run(&arguments),
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
