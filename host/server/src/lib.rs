//! Serves models over HTTP and gRPC: the Open Inference Protocol v2.
//!
//! A request's way: `connection` accepts it and keeps its limits, `linger` closes it so that a refusal arrives; `http` reads its
//! body and finds its route, and `grpc` its method; `ask` takes a request to a model or function in, and tells of it; `deadline`
//! says how long the client waits, `pending` waits for the answer and notices when the client goes away; `workers` has the threads
//! that run inferences, never those that do the network's work, in the order that `samara-admission` gives; `inference` is what such
//! a thread does with one: decode, run in a fresh instance, encode, hand the reply over, and only then reset the instance. `batch` is
//! the same for several at once, `function_call` for a function, which gets the request as it came.
//!
//! What is served: `repository` knows the models and has them come and go, `admin` takes the calls that ask for that; `residency`
//! says whether one is mapped, `keeper` maps and unmaps them, and `ready` has the instances that wait for a request. `functions`
//! knows the functions and their routes, `graphs` what the host runs for them.
//!
//! What is told: `statistics` counts what happens, `scrape` tells that to Prometheus where it asks elsewhere, `activity` tells
//! whether anybody is served at all, and `control` changes what holds while the server runs.

#![forbid(unsafe_code)]

mod activity;
mod admin;
mod ask;
mod batch;
mod body;
mod config;
mod connection;
mod control;
mod deadline;
mod error;
mod function_call;
mod functions;
mod graphs;
mod grpc;
mod http;
mod inference;
mod keeper;
mod linger;
mod message;
mod pending;
mod places;
mod ready;
mod repository;
mod residency;
mod scrape;
mod sockets;
mod statistics;
mod workers;

pub use admin::{AdminListen, InvalidAdminListen, Token};
pub use config::{Config, Terms};
pub use control::Control;
pub use error::ServeError;
pub use functions::{Function, FunctionRoute, Functions, InvalidRoute};
pub use hyper::header::HeaderName;
pub use repository::{AtStart, InvalidSplit, Repository, Served, Split};
pub use residency::Residency;
pub use samara_admission::Batching;
pub use sockets::Sockets;

use std::net::SocketAddr;
use std::sync::Arc;

use samara_nn::Registry;
use samara_telemetry::Tracer;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::connection::Protocol;
use crate::grpc::Grpc;
use crate::http::{METRICS_PATH, Service};
use crate::workers::Workers;

/// A server that is bound to its address and answers when [`Server::run`] is called.
pub struct Server {
    listener: TcpListener,
    metrics: Option<TcpListener>,
    admin: Option<admin::Listener>,
    grpc: Option<TcpListener>,
    service: Arc<Service>,
}

impl Server {
    /// Binds the address, unless it has been bound, and starts the workers. `graphs` are those that models and functions have the
    /// host run.
    pub async fn bind(
        mut config: Config,
        sockets: Sockets,
        repository: Repository,
        functions: Functions,
        graphs: Arc<Registry>,
    ) -> Result<Server, ServeError> {
        let passed = sockets.metrics.as_ref().and_then(|socket| socket.local_addr().ok());
        config.metrics_listen = passed.or(config.metrics_listen);
        let metrics_at = config.metrics_listen;
        let taken = functions.iter().find(|function| function.route.path() == METRICS_PATH);
        if let (None, Some(function)) = (metrics_at, taken) {
            return Err(ServeError::MetricsRoute { name: function.name.clone() });
        }
        let tracer = config.traces.as_ref().map(|traces| Tracer::new(traces, Handle::current())).transpose()?;
        let listener = match sockets.http {
            Some(socket) => sockets::adopt(socket)?,
            None => bind(config.listen, "--listen").await?,
        };
        let metrics = match (sockets.metrics, metrics_at) {
            (Some(socket), _) => Some(sockets::adopt(socket)?),
            (None, Some(address)) => Some(bind(address, "--metrics-listen").await?),
            (None, None) => None,
        };
        let grpc = match (sockets.grpc, config.grpc_listen) {
            (Some(socket), _) => Some(sockets::adopt(socket)?),
            (None, Some(address)) => Some(bind(address, "--grpc-listen").await?),
            (None, None) => None,
        };
        admin::check_open(config.admin_listen.as_ref(), config.admin_token.as_ref())?;
        let admin = match &config.admin_listen {
            Some(listen) => Some(admin::Listener::bind(listen).await?),
            None => None,
        };
        let workers = Workers::start(&config).map_err(ServeError::Thread)?;
        let service = Service::new(config, repository, functions, graphs, workers, tracer);
        Ok(Server { listener, metrics, grpc, admin, service: Arc::new(service) })
    }

    /// Where the server listens.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Address)
    }

    /// Where metrics are told, if that is not where the server listens.
    pub fn metrics_address(&self) -> Result<Option<SocketAddr>, ServeError> {
        self.metrics.as_ref().map(|listener| listener.local_addr().map_err(ServeError::Address)).transpose()
    }

    /// Where admin calls are taken, if anywhere.
    pub fn admin_address(&self) -> Result<Option<AdminListen>, ServeError> {
        self.admin.as_ref().map(|listener| listener.address().map_err(ServeError::Address)).transpose()
    }

    /// Where gRPC is served, if it is.
    pub fn grpc_address(&self) -> Result<Option<SocketAddr>, ServeError> {
        self.grpc.as_ref().map(|listener| listener.local_addr().map_err(ServeError::Address)).transpose()
    }

    /// A handle by which the server is set up anew while it runs.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.service))
    }

    /// Serves until `stop` is ready, or nobody has been served for as long as the configuration says, then finishes what has
    /// begun, for no longer than a request may take.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let metrics = self.metrics.map(|listener| tokio::spawn(scrape::serve(listener, Arc::clone(&self.service))));
        let admin = self.admin.map(|listener| tokio::spawn(admin::serve(listener, Arc::clone(&self.service))));
        let watch = tokio::spawn(repository::watch(Arc::clone(&self.service)));
        let keeper = tokio::spawn(Arc::clone(&self.service.keeper).run());
        let service = Arc::clone(&self.service);
        let (stopping, stopped) = tokio::sync::watch::channel(false);
        let stop = async {
            tokio::select! {
                () = stop => {}
                quiet = service.quiet() => tracing::info!(?quiet, "nobody has asked anything: the server ends"),
            }
            tracing::info!("stopping: no new connections, what runs is finished");
            stopping.send_replace(true);
        };
        let http = connection::serve(
            self.listener,
            Arc::clone(&self.service),
            Protocol::Http,
            {
                let service = Arc::clone(&self.service);
                move |request| {
                    let service = Arc::clone(&service);
                    async move { service.answer(request).await }
                }
            },
            stop,
        );
        match self.grpc {
            None => http.await,
            Some(listener) => {
                let grpc = Grpc::new(Arc::clone(&self.service), stopped.clone());
                let answer = move |request| grpc.clone().answer(request);
                let stop = grpc::stopping(stopped);
                let grpc = connection::serve(listener, self.service, Protocol::Grpc, answer, stop);
                tokio::join!(http, grpc);
            }
        }
        for task in [metrics, admin, Some(watch), Some(keeper)].into_iter().flatten() {
            task.abort();
            // What it holds is let go by now: a socket's file, for one.
            let _ = task.await;
        }
        // It waits for the collector of traces, which answers on these threads.
        let _ = tokio::task::spawn_blocking(move || service.flush()).await;
    }
}

/// Listens where an option says.
async fn bind(address: SocketAddr, option: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|reason| ServeError::Bind { address, option, reason })
}
