//! What a node must show under load: `make bench-node`.
//!
//! Load comes from `oha`, in an open loop where latency is told; see [`open_loop`].

mod activation;
mod cores;
mod growth;
mod idle;
mod many;
mod neighbours;
mod open_loop;
mod overload;
mod rollout;
mod servers;
mod soak;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::Result;

use crate::http::Request;
use crate::measurements::Measurement;
use crate::samara::{Samara, Server};
use crate::tensor::{Form, infer_request};
use crate::zoo::{Build, Card};

/// All of them, in the order of the table.
pub const ALL: &[Measurement] = &[
    Measurement { name: "overload", title: "twice the load that a node sustains", run: overload::run },
    Measurement { name: "neighbours", title: "a hot model beside a quiet one", run: neighbours::run },
    Measurement { name: "idle", title: "a model that nobody asks", run: idle::run },
    Measurement { name: "activation", title: "a process that starts with the first client", run: activation::run },
    Measurement { name: "many", title: "a thousand models", run: many::run },
    Measurement { name: "rollout", title: "a new version, and two beside each other", run: rollout::run },
    Measurement { name: "growth", title: "time by the byte and by the item", run: growth::run },
    Measurement { name: "cores", title: "throughput by the core", run: cores::run },
    Measurement { name: "servers", title: "other servers on the same models", run: servers::run },
    Measurement { name: "soak", title: "ten minutes with a fault every few seconds", run: soak::run },
];

/// The cores of this machine.
pub static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));

/// A server with a model of the cards, and a request to it.
pub struct Target {
    server: Server,
    pub path: String,
    pub request: Request,
    _configuration: Option<tempfile::NamedTempFile>,
}

impl Target {
    /// Serves a model with these options.
    pub fn serve(samara: &Samara, model: &str, options: &[String]) -> Result<Target> {
        let card = Card::read(model)?;
        Target::new(samara, &card, &[samara.component(&card.build)?], options, None)
    }

    /// Serves a model under several names, with a `samara.toml` of this content.
    pub fn serve_copies(samara: &Samara, model: &str, names: &[&str], configuration: &str) -> Result<Target> {
        let card = Card::read(model)?;
        let copy = |name: &&str| samara.component(&Build { name: (*name).to_owned(), ..card.build.clone() });
        let components = names.iter().map(copy).collect::<Result<Vec<_>>>()?;
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile()?;
        file.write_all(configuration.as_bytes())?;
        let options = [format!("--config={}", file.path().display())];
        Target::new(samara, &card, &components, &options, Some(file))
    }

    fn new(
        samara: &Samara,
        card: &Card,
        components: &[PathBuf],
        options: &[String],
        configuration: Option<tempfile::NamedTempFile>,
    ) -> Result<Target> {
        let server = samara.serve_with(components, options)?;
        let request = infer_request(&card.build.name, &card.first()?.inputs, Form::Binary)?;
        let path = format!("/v2/models/{}/infer", card.build.name);
        Ok(Target { server, path, request, _configuration: configuration })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}
