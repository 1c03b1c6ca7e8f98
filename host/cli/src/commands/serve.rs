//! `samara serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use samara_configuration::{Cache, Configuration, Node, ServeSettings};
use samara_nn::Registry;
use samara_protocol::Limits;
use samara_runtime::{Config as RuntimeConfig, Runtime};
use samara_server::{Config, Control, Functions, Repository, Server};
use samara_telemetry::TraceConfig;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::log::Log;
use crate::options::ServeOptions;
use crate::{functions, graphs};

#[derive(Serialize)]
struct Ready<'a> {
    listen: SocketAddr,
    /// Where metrics are told, if that is another address.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_listen: Option<SocketAddr>,
    models: Vec<ReadyModel<'a>>,
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
struct ReadyModel<'a> {
    name: &'a str,
    version: &'a str,
    path: &'a Path,
}

pub fn run(arguments: &ServeOptions) -> Result<()> {
    let configuration = Configuration::load(&arguments.settings)?;
    let node = &configuration.node;
    let log = Log::start(&node.log, node.log_format)?;
    let config = config(node);
    let mut runtime_config = RuntimeConfig::default();
    runtime_config.limits.memory_bytes = node.memory_bytes;
    runtime_config.limits.deadline = node.deadline;
    runtime_config.limits.instances = config.instance_slots();
    match &node.cache {
        Cache::Default => {}
        Cache::In(directory) => runtime_config.cache_directory = Some(directory.clone()),
        Cache::None => runtime_config.cache_directory = None,
    }
    let options = samara_nn::Options { ort_dylib: node.ort_dylib.clone(), allow_load: node.nn_load };
    runtime_config.graphs = graphs::load(configuration.graphs.clone(), &options)?;
    let repository = match &node.paths[..] {
        [] if !configuration.functions.is_empty() => Repository::default(),
        [] => Repository::load(&Runtime::new(&runtime_config)?, &[".".into()])?,
        paths => Repository::load(&Runtime::new(&runtime_config)?, paths)?,
    };
    repository.set_terms(&configuration.models)?;
    // After the models, whose graphs functions may ask for.
    let functions = functions::load(&configuration.functions, &runtime_config)?;
    graphs::check(&runtime_config.graphs)?;
    // Network threads do nothing that takes long: half as many as the workers do.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(node.workers.get().div_ceil(2))
        .thread_name("samara-network")
        .enable_all()
        .build()
        .context("no threads for the network")?
        .block_on(serve(arguments, configuration, repository, functions, runtime_config.graphs, log))
}

fn config(node: &Node) -> Config {
    let mut config = Config::default();
    config.listen = node.listen;
    config.workers = node.workers;
    config.instances = node.instances;
    config.queue = node.queue;
    config.queue_deadline = node.queue_deadline;
    config.deadline = node.deadline;
    config.request = Limits::default().with_max_body_bytes(node.max_body_bytes).with_max_elements(node.max_elements);
    config.max_header_bytes = node.max_header_bytes;
    config.header_timeout = node.header_timeout;
    config.body_timeout = node.body_timeout;
    config.metrics_listen = node.metrics_listen;
    config.traces = node.otlp_endpoint.clone().map(|endpoint| TraceConfig { endpoint, ratio: node.trace_ratio });
    config.log_requests = node.log_requests;
    config
}

/// Reads the configuration again. What can be changed at once is; what cannot is named in the log.
fn reload(settings: &ServeSettings, running: &Configuration, control: &Control, log: &Log) -> Result<()> {
    let fresh = Configuration::load(settings)?;
    let terms: Vec<_> =
        fresh.functions.iter().map(|function| (function.route.clone(), function.terms.clone())).collect();
    log.set(&fresh.node.log)?;
    let mut changed = config(&fresh.node);
    // It stays where it is until the next start, and so does what is not told there.
    changed.metrics_listen = running.node.metrics_listen;
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
    repository: Repository,
    functions: Functions,
    graphs: Arc<Registry>,
    log: Log,
) -> Result<()> {
    let models: Vec<(String, String, std::path::PathBuf)> = repository
        .models()
        .map(|served| {
            let metadata = served.model.metadata();
            (metadata.name.clone(), metadata.version.clone(), served.path.clone())
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
    let server = Server::bind(config(&configuration.node), repository, functions, graphs).await?;
    announce(arguments.json, server.address()?, server.metrics_address()?, &models, routes)?;
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

/// Says where the server listens, once it does.
fn announce(
    json: bool,
    listen: SocketAddr,
    metrics_listen: Option<SocketAddr>,
    models: &[(String, String, std::path::PathBuf)],
    functions: Vec<ReadyFunction>,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        let models = models.iter().map(|(name, version, path)| ReadyModel { name, version, path }).collect();
        writeln!(out, "{}", serde_json::to_string(&Ready { listen, metrics_listen, models, functions })?)?;
    } else {
        writeln!(out, "listening on http://{listen}")?;
        if let Some(metrics) = metrics_listen {
            writeln!(out, "metrics on http://{metrics}/metrics")?;
        }
    }
    out.flush()?;
    Ok(())
}
