//! Load, made by `wrk`.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::http::Request;
use crate::samara::repository;

/// What `wrk` saw.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Load {
    /// Replies, right ones and others.
    pub requests: u64,
    /// How long it ran.
    pub microseconds: u64,
    /// Bytes of all replies.
    pub bytes: u64,
    /// Connections that could not be opened.
    pub connect: u64,
    /// Replies that could not be read.
    pub read: u64,
    /// Requests that could not be written.
    pub write: u64,
    /// Replies with a status above 399.
    pub status: u64,
    /// Replies that took more than two seconds.
    pub timeout: u64,
    /// The median latency.
    pub p50_us: u64,
    /// The latency that one in a hundred exceeds.
    pub p99_us: u64,
    /// The longest latency.
    pub max_us: u64,
}

impl Load {
    /// Sends a `POST` again and again over so many connections, from one thread.
    pub fn post(
        address: SocketAddr,
        path: &str,
        request: &Request,
        connections: usize,
        time: Duration,
    ) -> Result<Load> {
        let mut body = tempfile::NamedTempFile::new()?;
        body.write_all(request.body())?;
        let mut arguments = vec![body.path().to_owned().into_os_string()];
        arguments.extend(request.header_length().map(|length| length.to_string().into()));
        Load::run(address, path, &arguments, connections, time)
    }

    /// The same with a `GET`.
    pub fn get(address: SocketAddr, path: &str, connections: usize, time: Duration) -> Result<Load> {
        Load::run(address, path, &[], connections, time)
    }

    fn run(
        address: SocketAddr,
        path: &str,
        script_arguments: &[OsString],
        connections: usize,
        time: Duration,
    ) -> Result<Load> {
        let mut command = Command::new("wrk");
        command
            .args(["-t1", &format!("-c{connections}"), &format!("-d{}s", time.as_secs()), "-s"])
            .arg(repository().join("benches").join("wrk.lua"))
            .arg(format!("http://{address}{path}"))
            .arg("--")
            .args(script_arguments)
            .stdin(Stdio::null());
        let output = command.output().context("cannot run wrk; install it with: scripts/setup.sh bench-tools")?;
        if !output.status.success() {
            bail!("wrk: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        let output = String::from_utf8(output.stdout)?;
        let line = output.lines().find(|line| line.starts_with('{')).context("wrk printed no summary")?;
        Ok(serde_json::from_str(line)?)
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / (self.microseconds as f64 / 1e6)
    }

    /// All that went wrong.
    pub fn errors(&self) -> u64 {
        self.connect + self.read + self.write + self.status + self.timeout
    }
}
