//! Runs compiled models.
//!
//! A [`Runtime`] holds what all models share: the engine, its pool of instance slots, the code cache and the clock that
//! ends overdue inferences. [`Runtime::load`] gives a [`Model`]; [`Model::instantiate`] a fresh, isolated [`Instance`];
//! [`Instance::infer`] runs it. Dropping an instance resets its slot, which takes about as long as the inference dirtied
//! memory, so drop it after the reply has been handed over.

mod abi;
mod cache;
mod config;
mod deadline;
mod dirty;
mod error;
mod graph;
mod guest;
mod identity;
mod incremental;
mod instance;
mod memory_limit;
mod model;
mod shared_models;
mod slots;

pub use cache::{About, CacheError, CodeCache, CodeKey, hex};
pub use config::{Config, Limits};
pub use deadline::{Cancellation, Running, Ticker, Watch};
pub use dirty::DirtyPages;
pub use error::{InferError, LoadError, RuntimeError};
pub use graph::graph_of;
pub use identity::Identity;
pub use incremental::FunctionCache;
pub use instance::Instance;
pub use memory_limit::MemoryLimit;
pub use model::{CodeOrigin, Model};
pub use slots::trim_heap;

use std::path::Path;
use std::sync::Arc;

use samara_nn::Registry;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::guest::Guest;
use crate::shared_models::SharedModels;
use crate::slots::HugePages;

/// What all models of a process share. Cloning it is cheap.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    linker: Linker<Guest>,
    limits: Limits,
    graphs: Arc<Registry>,
    /// Absent where code is not cached.
    cache: Option<CodeCache>,
    functions: Option<FunctionCache>,
    models: SharedModels,
    huge_pages: HugePages,
    ticker: Ticker,
}

// === impl Runtime ===

impl Runtime {
    /// Sets up a runtime.
    ///
    /// A cache directory that cannot be used is no reason to fail: the runtime then compiles what it loads, and says so
    /// in the log.
    pub fn new(config: &Config) -> Result<Runtime, RuntimeError> {
        let cache = config.open_cache();
        let mut wasmtime = config.wasmtime();
        let functions = match &cache {
            Some(cache) => Some(FunctionCache::enable(cache, &mut wasmtime).map_err(RuntimeError::Engine)?),
            None => None,
        };
        let engine = Engine::new(&wasmtime).map_err(RuntimeError::Engine)?;
        let ticker = Ticker::start(engine.clone()).map_err(RuntimeError::Thread)?;
        let linker = guest::linker(&engine).map_err(RuntimeError::Engine)?;
        let (models, huge_pages) = Default::default();
        let (limits, graphs) = (config.limits.clone(), Arc::clone(&config.graphs));
        let shared = Shared { engine, linker, limits, graphs, cache, functions, models, huge_pages, ticker };
        Ok(Runtime { shared: Arc::new(shared) })
    }

    /// Loads the component in the file at `path`, from the code cache where that has it; and, where its host is to run the
    /// model, the graph beside the file, unless one of that name is registered.
    pub fn load(&self, path: &Path) -> Result<Model, LoadError> {
        Model::from_file(self, path)
    }

    /// What is known of the component in the file at `path` without its being read or its machine code mapped; `None` where the
    /// code cache does not have it.
    pub fn about(&self, path: &Path) -> Option<About> {
        Model::about(self, path)
    }

    /// Loads a component from its bytes, from the code cache where that has it. A graph that it asks for has to be
    /// registered.
    pub fn load_bytes(&self, component: &[u8]) -> Result<Model, LoadError> {
        Model::from_bytes(self, component)
    }

    /// The limits that every inference is held to.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The graphs that models may ask for.
    pub fn graphs(&self) -> &Arc<Registry> {
        &self.shared.graphs
    }

    /// The cache of machine code, where there is one.
    pub fn cache(&self) -> Option<&CodeCache> {
        self.shared.cache.as_ref()
    }
}
