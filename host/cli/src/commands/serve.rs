//! `samara serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;

use anyhow::{Context, Result};
use samara_configuration::{Cache, Configuration, Node, ServeSettings};
use samara_nn::Registry;
use samara_protocol::Limits;
use samara_runtime::{Config as RuntimeConfig, Runtime};
use samara_scheduling::{SHORT, Scope, set_slice};
use samara_server::{AdminListen, AtStart, Config, Control, Functions, Repository, ServeError, Server, Sockets, Token};
use samara_telemetry::TraceConfig;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::log::Log;
use crate::options::ServeOptions;
use crate::{functions, graphs, sockets};

#[derive(Serialize)]
struct Ready<'a> {
    listen: SocketAddr,
    /// Where gRPC is served, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_listen: Option<SocketAddr>,
    /// Where metrics are told, if that is another address.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_listen: Option<SocketAddr>,
    /// Where admin calls are taken, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_listen: Option<String>,
    models: &'a [ReadyModel],
    functions: Vec<ReadyFunction>,
}

#[derive(Serialize)]
struct ReadyFunction {
    name: String,
    route: String,
    interface: String,
    /// How many requests an instance answers.
    reuse: NonZeroU32,
}

#[derive(Serialize)]
struct ReadyModel {
    name: String,
    version: String,
    path: PathBuf,
    /// The most items that run together, where those of several clients do.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_batch_size: Option<NonZeroUsize>,
}

pub fn run(arguments: &ServeOptions) -> Result<()> {
    let sockets = sockets::from_env()?;
    let configuration = Configuration::load(&arguments.settings)?;
    let node = &configuration.node;
    let log = Log::start(&node.log, node.log_format)?;
    let config = config(node)?;
    let mut runtime_config = RuntimeConfig::default();
    runtime_config.limits.memory_bytes = node.memory_bytes;
    runtime_config.limits.deadline = node.deadline;
    runtime_config.limits.instances = config.instance_slots();
    match &node.cache {
        Cache::Default => {}
        Cache::In(directory) => runtime_config.cache_directory = Some(directory.clone()),
        Cache::None => runtime_config.cache_directory = None,
    }
    if let Some(budget) = node.cache_budget {
        runtime_config.cache_budget_bytes = budget;
    }
    let options = samara_nn::Options { ort_dylib: node.ort_dylib.clone(), allow_load: node.nn_load };
    runtime_config.graphs = graphs::load(configuration.graphs.clone(), &options)?;
    let watched = node.repository_poll.is_some();
    // Who has models unmapped does not want all of them mapped.
    let at_start =
        if node.idle_ttl.is_some() || node.memory_budget.is_some() { AtStart::Registered } else { AtStart::Mapped };
    let load = |paths: &[PathBuf]| -> Result<Repository> {
        Ok(Repository::load(&Runtime::new(&runtime_config)?, paths, watched, at_start)?)
    };
    let repository = match &node.paths[..] {
        [] if !configuration.functions.is_empty() => Repository::default(),
        [] => {
            let path = PathBuf::from(".");
            let repository = load(slice::from_ref(&path))?;
            // Whoever names nothing means what is there.
            if repository.is_empty() {
                return Err(ServeError::EmptyDirectory { path }.into());
            }
            repository
        }
        paths => load(paths)?,
    };
    repository.set_terms(&configuration.models)?;
    // After the models, whose graphs functions may ask for.
    let functions = functions::load(&configuration.functions, &runtime_config)?;
    graphs::check(&runtime_config.graphs)?;
    // Network threads do nothing that takes long: half as many as the workers do. For the same reason they need not wait until a
    // worker's slice has ended. This thread, which accepts connections, is one of them.
    if let Err(error) = set_slice(SHORT, Scope::Thread) {
        tracing::debug!(%error, "the network's threads may have to wait for workers");
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(node.workers.get().div_ceil(2))
        .thread_name("samara-network")
        .on_thread_start(|| {
            // Why not, has been told.
            let _ = set_slice(SHORT, Scope::Thread);
        })
        .enable_all()
        .build()
        .context("no threads for the network")?
        .block_on(serve(
            arguments,
            configuration,
            config,
            sockets,
            Content { repository, functions, graphs: runtime_config.graphs },
            log,
        ))
}

/// What is served.
struct Content {
    repository: Repository,
    functions: Functions,
    graphs: Arc<Registry>,
}

fn config(node: &Node) -> Result<Config> {
    let mut config = Config::default();
    config.listen = node.listen;
    config.grpc_listen = node.grpc_listen;
    config.workers = node.workers;
    config.instances = node.instances;
    config.queue = node.queue;
    config.queue_deadline = node.queue_deadline;
    config.deadline = node.deadline;
    config.request = Limits::default().with_max_body_bytes(node.max_body_bytes).with_max_elements(node.max_elements);
    config.idle_ttl = node.idle_ttl;
    config.memory_budget = node.memory_budget;
    config.exit_when_idle = node.exit_when_idle;
    config.max_header_bytes = node.max_header_bytes;
    config.header_timeout = node.header_timeout;
    config.body_timeout = node.body_timeout;
    config.repository_poll = node.repository_poll;
    config.admin_listen = node.admin_listen.clone();
    config.admin_token = node.admin_token_file.as_deref().map(Token::read).transpose()?;
    config.metrics_listen = node.metrics_listen;
    config.traces = node.otlp_endpoint.clone().map(|endpoint| TraceConfig { endpoint, ratio: node.trace_ratio });
    config.log_requests = node.log_requests;
    Ok(config)
}

/// Reads the configuration again. What can be changed at once is; what cannot is named in the log.
fn reload(settings: &ServeSettings, running: &Configuration, control: &Control, log: &Log) -> Result<()> {
    let fresh = Configuration::load(settings)?;
    let terms: Vec<_> =
        fresh.functions.iter().map(|function| (function.route.clone(), function.terms.clone())).collect();
    let changed = config(&fresh.node)?;
    log.set(&fresh.node.log)?;
    control.set_up(changed, &fresh.models, &terms)?;
    let waiting = running.fixed_changes(&fresh);
    if !waiting.is_empty() {
        tracing::warn!(keys = waiting.join(", "), "some of what has changed takes effect only at the next start");
    }
    tracing::info!("the configuration has been read again");
    Ok(())
}

async fn serve(
    arguments: &ServeOptions,
    configuration: Configuration,
    config: Config,
    sockets: Sockets,
    Content { repository, functions, graphs }: Content,
    log: Log,
) -> Result<()> {
    let models: Vec<ReadyModel> = repository
        .models()
        .iter()
        .map(|served| {
            let metadata = served.metadata();
            ReadyModel {
                name: metadata.name.clone(),
                version: metadata.version.clone(),
                path: served.path.clone(),
                max_batch_size: served.batching().map(|batching| batching.max_size),
            }
        })
        .collect();
    let routes = functions
        .iter()
        .map(|function| ReadyFunction {
            name: function.name.clone(),
            route: function.route.to_string(),
            interface: function.handler.interface().to_string(),
            reuse: function.handler.reuse(),
        })
        .collect();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let server = Server::bind(config, sockets, repository, functions, graphs).await?;
    let listen = Listen {
        listen: server.address()?,
        grpc: server.grpc_address()?,
        metrics: server.metrics_address()?,
        admin: server.admin_address()?,
    };
    announce(arguments.json, &listen, &models, routes)?;
    let control = server.control();
    server
        .run(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hangup.recv() => {}
                }
                if let Err(error) = reload(&arguments.settings, &configuration, &control, &log) {
                    tracing::error!("the configuration stays as it was: {error:#}");
                }
            }
        })
        .await;
    Ok(())
}

/// Where a server listens.
struct Listen {
    listen: SocketAddr,
    grpc: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    admin: Option<AdminListen>,
}

/// Says where the server listens, once it does.
fn announce(
    json: bool,
    Listen { listen, grpc, metrics, admin }: &Listen,
    models: &[ReadyModel],
    functions: Vec<ReadyFunction>,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        let admin_listen = admin.as_ref().map(ToString::to_string);
        let ready =
            Ready { listen: *listen, grpc_listen: *grpc, metrics_listen: *metrics, admin_listen, models, functions };
        writeln!(out, "{}", serde_json::to_string(&ready)?)?;
    } else {
        writeln!(out, "listening on http://{listen}")?;
        if let Some(grpc) = grpc {
            writeln!(out, "gRPC on {grpc}")?;
        }
        if let Some(metrics) = metrics {
            writeln!(out, "metrics on http://{metrics}/metrics")?;
        }
        match admin {
            Some(AdminListen::Tcp(address)) => writeln!(out, "admin calls on http://{address}")?,
            Some(socket) => writeln!(out, "admin calls on {socket}")?,
            None => {}
        }
    }
    out.flush()?;
    Ok(())
}
