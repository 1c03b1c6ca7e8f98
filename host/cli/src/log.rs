//! The log, on stderr.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use samara_configuration::LogFormat;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// A handle by which what is logged can be changed.
pub struct Log {
    filter: Handle<EnvFilter, Registry>,
}

/// The libraries underneath tell their users, not ours.
const QUIET: [&str; 2] = ["tract_onnx=error", "tract_nnef=error"];

/// Starts the log of a command that runs to its end; `$SAMARA_LOG` says what is logged.
pub fn start() {
    let filter = std::env::var("SAMARA_LOG").ok().and_then(|text| filter(&text).ok());
    tracing_subscriber::registry().with(lines().with_filter(filter.unwrap_or_else(default))).init();
}

// === impl Log ===

impl Log {
    /// Starts the log of a server.
    pub fn start(text: &str, format: LogFormat) -> Result<Log> {
        let (layer, handle) = reload::Layer::new(filter(text)?);
        let lines = match format {
            LogFormat::Text => lines().boxed(),
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
        };
        tracing_subscriber::registry().with(lines.with_filter(layer)).init();
        Ok(Log { filter: handle })
    }

    /// Has what is logged be this from now on.
    pub fn set(&self, text: &str) -> Result<()> {
        self.filter.reload(filter(text)?).context("the log is gone")
    }
}

fn lines() -> fmt::Layer<Registry, fmt::format::DefaultFields, fmt::format::Format, fn() -> std::io::Stderr> {
    fmt::layer().with_writer(std::io::stderr as fn() -> std::io::Stderr).with_ansi(std::io::stderr().is_terminal())
}

fn filter(text: &str) -> Result<EnvFilter> {
    let directives = format!("{text},{}", QUIET.join(","));
    EnvFilter::try_new(directives).with_context(|| {
        format!("what to log is {text:?}, expected a level, or levels by module, as in samara_server=debug,info")
    })
}

fn default() -> EnvFilter {
    EnvFilter::new(format!("info,{}", QUIET.join(",")))
}
