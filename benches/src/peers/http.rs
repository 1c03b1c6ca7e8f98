//! Servers, asked by one client on one connection.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::child::{Process, python};
use super::peer::{Lab, Peer, Subject};
use crate::http::{Connection, Request};
use crate::samara::Server;
use crate::tensor::{Form, Tensor, infer_request, outputs_of};

/// A server with a model. It ends when this is dropped.
struct Served<S> {
    address: SocketAddr,
    request: Request,
    version: Option<String>,
    _server: S,
}

/// `samara serve`.
pub fn samara(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    let server: Server = lab.samara.serve(&[lab.samara.component(&subject.build)?])?;
    let address = server.address();
    Ok(Box::new(Served::open(server, address, subject, None)?))
}

/// FastAPI.
pub fn fastapi(_: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    #[derive(Deserialize)]
    struct Ready {
        version: String,
        listen: Option<SocketAddr>,
        error: Option<String>,
    }
    let mut command = python("fastapi_server.py");
    command.arg(&subject.build.onnx);
    let mut server = Process::start(command)?;
    let ready: Ready = server.read()?;
    if let Some(error) = ready.error {
        bail!(error);
    }
    let address = ready.listen.context("it does not say where it listens")?;
    Ok(Box::new(Served::open(server, address, subject, Some(ready.version))?))
}

impl<S> Served<S> {
    fn open(server: S, address: SocketAddr, subject: &Subject, version: Option<String>) -> Result<Served<S>> {
        let request = infer_request(&subject.build.name, &subject.inputs, Form::Binary)?;
        Ok(Served { address, request, version, _server: server })
    }
}

impl<S> Peer for Served<S> {
    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        outputs_of(&Connection::open(self.address)?.send(&self.request)?)
    }

    fn time(&mut self, count: usize) -> Result<Vec<Duration>> {
        // One a turn, as servers close those that are idle for long.
        let mut connection = Connection::open(self.address)?;
        let run = |_| {
            let (reply, time) = connection.time(&self.request)?;
            ensure!(reply.status == 200, "status {}", reply.status);
            Ok(time)
        };
        (0..count).map(run).collect()
    }

    fn version(&self) -> Option<String> {
        self.version.clone()
    }
}
