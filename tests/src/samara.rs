//! The command, run to its end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::models;

/// The root of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The command under test: `$SAMARA_BIN`, or what `make build` leaves behind.
///
/// # Panics
///
/// Where it has not been built: a suite that tests nothing must not pass.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("SAMARA_BIN").map_or_else(|| checkout().join("target/release/samara"), PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `make build`", path.display());
    path
}

/// The command with the machine code that the tests share, no colours, and nothing on its input.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(binary());
    command
        .env("SAMARA_CACHE_DIR", models::code_cache())
        .env("NO_COLOR", "1")
        .env_remove("SAMARA_LOG")
        .stdin(Stdio::null());
    command
}

/// The same command, run by a shell that does this first.
#[must_use]
pub fn command_after(script: &str) -> Command {
    let plain = command();
    let mut command = Command::new("sh");
    command.args(["-c", &format!(r#"{script}; exec "$0" "$@""#)]).arg(plain.get_program()).stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Runs the command with these arguments.
pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    Run::of(command().args(arguments))
}

/// What came of running the command.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code, if no signal ended it.
    pub code: Option<i32>,
    /// All of its output.
    pub stdout: String,
    /// All of its messages.
    pub stderr: String,
}

impl Run {
    /// Runs a command.
    pub fn of(command: &mut Command) -> Run {
        command.output().unwrap().into()
    }

    /// Asserts that it succeeded.
    #[track_caller]
    pub fn succeeds(self) -> Run {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that it failed as every command should: code 1, nothing on the output, and at the end of the messages one
    /// paragraph that starts with `error: `. Returns that.
    #[track_caller]
    pub fn fails(self) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.contains("panicked at"), "{}", self.stderr);
        let start = self.stderr.match_indices("error: ").map(|(at, _)| at);
        let at_line_start = |&at: &usize| at == 0 || self.stderr.as_bytes()[at - 1] == b'\n';
        let start = start.filter(at_line_start).last();
        let start = start.unwrap_or_else(|| panic!("no line starts with `error: `: {}", self.stderr));
        let message = self.stderr[start..].trim_end();
        assert!(!message.contains("\n\n"), "more than a paragraph: {message}");
        message.to_owned()
    }

    /// The output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.stdout))
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Asserts that a message holds each of these texts.
#[track_caller]
pub fn assert_says(message: &str, texts: &[&str]) {
    for text in texts {
        assert!(message.contains(text), "{text:?} is not said in: {message}");
    }
}
