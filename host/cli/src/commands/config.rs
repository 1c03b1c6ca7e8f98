//! `samara config`.

use std::process::ExitCode;

use anyhow::Result;
use samara_configuration::{Configuration, ConfigurationError, Problem};
use serde::Serialize;

use crate::options::{ConfigCheckOptions, ConfigCommand, ConfigOptions};

#[derive(Serialize)]
struct Report<'a> {
    file: &'a std::path::Path,
    valid: bool,
    problems: &'a [Problem],
}

pub fn run(arguments: &ConfigOptions) -> Result<ExitCode> {
    match &arguments.command {
        ConfigCommand::Check(options) => check(options),
    }
}

fn check(options: &ConfigCheckOptions) -> Result<ExitCode> {
    let file = &*options.file;
    let problems = match Configuration::check(file) {
        Ok(()) => Vec::new(),
        Err(ConfigurationError::Invalid { problems, .. }) if options.json => problems,
        Err(error) => return Err(error.into()),
    };
    let valid = problems.is_empty();
    if options.json {
        println!("{}", serde_json::to_string(&Report { file, valid, problems: &problems })?);
    } else {
        println!("{} is valid", file.display());
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
