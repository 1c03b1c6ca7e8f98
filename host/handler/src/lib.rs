//! Runs components that answer HTTP requests: functions linked with their models, and any other that exports
//! `wasi:http/incoming-handler@0.2` or `wasi:http/handler@0.3`.
//!
//! Each request gets an instance of its own, unless a component's instances are to answer several. A component sees its
//! request, a clock, random numbers, the standard streams and the graphs that the host runs, and nothing else: no file, no
//! socket, no environment, and requests that it makes itself are denied.

#![forbid(unsafe_code)]

mod config;
mod error;
mod guest;
mod handler;
mod interface;
mod reuse;
mod run;

pub use error::{HandleError, LoadError};
pub use handler::Handler;
pub use interface::Interface;
pub use run::{Reply, ReplyBody, Request};

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use samara_nn::Registry;
use samara_runtime::{CodeCache, Config, FunctionCache, Limits, RuntimeError, Ticker};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::guest::Guest;
use crate::reuse::IdleInstances;

/// What all handlers of a process share. Cloning it is cheap.
#[derive(Clone)]
pub struct HandlerRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    linker: Linker<Guest>,
    limits: Limits,
    graphs: Arc<Registry>,
    cache: Option<CodeCache>,
    functions: Option<FunctionCache>,
    ticker: Ticker,
    idle: Arc<IdleInstances>,
    /// How many handlers have been loaded.
    handlers: AtomicUsize,
}

// === impl HandlerRuntime ===

impl HandlerRuntime {
    /// Sets up a runtime. As for models, a cache directory that cannot be used costs time and nothing else.
    pub fn new(config: &Config) -> Result<HandlerRuntime, RuntimeError> {
        let cache = config.open_cache();
        let mut wasmtime = config::wasmtime(config);
        let functions = match &cache {
            Some(cache) => Some(FunctionCache::enable(cache, &mut wasmtime).map_err(RuntimeError::Engine)?),
            None => None,
        };
        let engine = Engine::new(&wasmtime).map_err(RuntimeError::Engine)?;
        let ticker = Ticker::start(engine.clone()).map_err(RuntimeError::Thread)?;
        let linker = guest::linker(&engine).map_err(RuntimeError::Engine)?;
        let (idle, handlers) = Default::default();
        let (limits, graphs) = (config.limits.clone(), Arc::clone(&config.graphs));
        let shared = Shared { engine, linker, limits, graphs, cache, functions, ticker, idle, handlers };
        Ok(HandlerRuntime { shared: Arc::new(shared) })
    }

    /// Loads a component from its bytes, from the code cache where that has it.
    ///
    /// Each of its instances answers `reuse` requests at most, one after another, and is dropped when it fails in one or has
    /// none to answer for ten seconds. With 1, which is how requests are isolated from each other, each is fresh.
    ///
    /// # Errors
    ///
    /// The component is none, exports no handler or two, imports what is not granted, or is to be reused and cannot be.
    pub fn load(&self, component: &[u8], reuse: NonZeroU32) -> Result<Handler, LoadError> {
        Handler::new(self, component, reuse)
    }
}
