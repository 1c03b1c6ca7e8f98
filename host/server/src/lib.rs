//! Serves models over HTTP: the Open Inference Protocol v2.
//!
//! A request's way: `connection` accepts it and keeps its limits, `linger` closes it so that a refusal arrives; `http` reads its body and
//! finds its route; `deadline` says how long the client waits, `pending` waits for the answer and notices when the client goes
//! away; `workers` has the threads that run inferences, never those that do the network's work, in the order that
//! `samara-admission` gives; `inference` is what such a thread does with one: decode, run in a
//! fresh instance, encode, hand the reply over, and only then reset the instance. `function_call` is the same for a
//! function, which gets the request as it came. `repository` knows the models, `functions` the functions and their
//! routes, `graphs` what the host runs for them, and `statistics` counts what happens to them, and `control`
//! changes what holds for them while the server runs.

#![forbid(unsafe_code)]

mod body;
mod config;
mod connection;
mod control;
mod deadline;
mod error;
mod function_call;
mod functions;
mod graphs;
mod http;
mod inference;
mod linger;
mod pending;
mod places;
mod repository;
mod statistics;
mod workers;

pub use config::{Config, Terms};
pub use control::Control;
pub use error::ServeError;
pub use functions::{Function, FunctionRoute, Functions, InvalidRoute};
pub use repository::{Repository, Served};

use std::net::SocketAddr;
use std::sync::Arc;

use samara_nn::Registry;
use tokio::net::TcpListener;

use crate::http::Service;
use crate::workers::Workers;

/// A server that is bound to its address and answers when [`Server::run`] is called.
pub struct Server {
    listener: TcpListener,
    service: Arc<Service>,
}

impl Server {
    /// Binds the address and starts the workers. `graphs` are those that models and functions have the host run.
    pub async fn bind(
        config: Config,
        repository: Repository,
        functions: Functions,
        graphs: Arc<Registry>,
    ) -> Result<Server, ServeError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|reason| ServeError::Bind { address, reason })?;
        let workers = Workers::start(&config).map_err(ServeError::Thread)?;
        Ok(Server { listener, service: Arc::new(Service::new(config, repository, functions, graphs, workers)) })
    }

    /// Where the server listens.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Address)
    }

    /// A handle by which the server is set up anew while it runs.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.service))
    }

    /// Serves until `stop` is ready, then finishes what has begun, for no longer than a request may take.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        connection::serve(self.listener, self.service, stop).await;
    }
}
