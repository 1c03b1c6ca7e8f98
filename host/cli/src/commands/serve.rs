//! `samara serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use samara_nn::Registry;
use samara_protocol::Limits;
use samara_runtime::{Config as RuntimeConfig, Runtime};
use samara_server::{Config, Functions, Repository, Server};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::configuration::Configuration;
use crate::options::ServeOptions;
use crate::{functions, graphs};

#[derive(Serialize)]
struct Ready<'a> {
    listen: SocketAddr,
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
    let config = config(arguments);
    let mut runtime_config = RuntimeConfig::default();
    arguments.limits.apply(&mut runtime_config);
    runtime_config.limits.instances = config.instance_slots();
    arguments.cache.apply(&mut runtime_config);
    let configuration = Configuration::of(arguments)?;
    runtime_config.graphs = graphs::load(configuration.graphs, &arguments.nn)?;
    let repository = match &arguments.paths[..] {
        [] if !configuration.functions.is_empty() => Repository::default(),
        [] => Repository::load(&Runtime::new(&runtime_config)?, &[".".into()])?,
        paths => Repository::load(&Runtime::new(&runtime_config)?, paths)?,
    };
    // After the models, whose graphs functions may ask for.
    let functions = functions::load(&configuration.functions, &runtime_config)?;
    graphs::check(&runtime_config.graphs)?;
    // Network threads do nothing that takes long: half as many as the workers do.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers.get().div_ceil(2))
        .thread_name("samara-network")
        .enable_all()
        .build()
        .context("no threads for the network")?
        .block_on(serve(arguments.json, config, repository, functions, runtime_config.graphs))
}

fn config(arguments: &ServeOptions) -> Config {
    let mut config = Config::default();
    config.listen = arguments.listen;
    if let Some(workers) = arguments.workers {
        config.workers = workers;
    }
    config.instances = u32::from(arguments.limits.instances);
    config.queue = arguments.queue;
    config.deadline = arguments.limits.deadline();
    config.request = Limits::default()
        .with_max_body_bytes(arguments.max_body_mib.saturating_mul(1 << 20))
        .with_max_elements(arguments.max_elements);
    config.max_header_bytes = (arguments.max_header_kib as usize) << 10;
    config.header_timeout = Duration::from_millis(arguments.header_timeout_ms);
    config.body_timeout = Duration::from_millis(arguments.body_timeout_ms);
    config
}

async fn serve(
    json: bool,
    config: Config,
    repository: Repository,
    functions: Functions,
    graphs: Arc<Registry>,
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
    let server = Server::bind(config, repository, functions, graphs).await?;
    announce(json, server.address()?, &models, routes)?;
    server
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}

/// Says where the server listens, once it does.
fn announce(
    json: bool,
    listen: SocketAddr,
    models: &[(String, String, std::path::PathBuf)],
    functions: Vec<ReadyFunction>,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        let models = models.iter().map(|(name, version, path)| ReadyModel { name, version, path }).collect();
        writeln!(out, "{}", serde_json::to_string(&Ready { listen, models, functions })?)?;
    } else {
        writeln!(out, "listening on http://{listen}")?;
    }
    out.flush()?;
    Ok(())
}
