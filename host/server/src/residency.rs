//! Whether a model is mapped, and who uses it.
//!
//! A model that is served is known by its metadata all the time, and by its machine code and memory image only while it is
//! wanted: it is registered, then mapped, and when nobody has asked it for a while ([`Keeper`]), unmapped again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use samara_nn::Graph;
use samara_protocol::ModelMetadata;
use samara_runtime::{CodeOrigin, LoadError, Model, Runtime};
use tokio::sync::watch;

use crate::keeper::Keeper;
use crate::repository::Served;

/// A model, mapped or not.
pub struct Residency {
    runtime: Runtime,
    path: PathBuf,
    metadata: Arc<ModelMetadata>,
    /// The graph that the host runs for it.
    graph: Option<Arc<Graph>>,
    state: Mutex<State>,
    /// Set once it is not served any more: who unmaps it when its last request has ended.
    heir: OnceLock<Arc<Keeper>>,
}

struct State {
    mapping: Mapping,
    /// Requests that use it, those that wait for it to be mapped included.
    users: usize,
    /// When a request came for it last.
    last_asked: Instant,
    /// When one ended last, or when it was mapped.
    last_used: Instant,
}

enum Mapping {
    Unmapped,
    Loading(watch::Receiver<Progress>),
    Mapped(Model),
}

/// How far a model is that is being mapped.
#[derive(Clone, Debug)]
pub enum Progress {
    Loading,
    Mapped,
    Failed(Arc<str>),
}

/// What there is of a model when somebody wants it.
pub enum Found {
    Mapped(Model),
    /// Somebody else has it mapped.
    Loading(watch::Receiver<Progress>),
    /// Whoever gets this has to map it, and say so.
    Unmapped(watch::Sender<Progress>),
}

/// A model that is mapped, and stays so until this is dropped.
pub struct Lease {
    model: Model,
    _interest: Interest,
}

/// A request's interest in a model, which keeps it from being unmapped.
pub struct Interest {
    served: Arc<Served>,
    keeper: Arc<Keeper>,
}

/// How a model is used.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    pub users: usize,
    pub last_asked: Instant,
    pub last_used: Instant,
}

// === impl Residency ===

impl Residency {
    /// A model that is mapped.
    pub fn mapped(runtime: &Runtime, path: PathBuf, model: Model) -> Residency {
        let metadata = Arc::new(model.metadata().clone());
        let graph = model.graph().cloned();
        Residency::new(runtime, path, metadata, graph, Mapping::Mapped(model))
    }

    /// A model that is mapped when it is asked for.
    pub fn registered(runtime: &Runtime, path: PathBuf, metadata: ModelMetadata) -> Residency {
        Residency::new(runtime, path, Arc::new(metadata), None, Mapping::Unmapped)
    }

    fn new(
        runtime: &Runtime,
        path: PathBuf,
        metadata: Arc<ModelMetadata>,
        graph: Option<Arc<Graph>>,
        mapping: Mapping,
    ) -> Residency {
        let now = Instant::now();
        let state = Mutex::new(State { mapping, users: 0, last_asked: now, last_used: now });
        Residency { runtime: runtime.clone(), path, metadata, graph, state, heir: OnceLock::new() }
    }

    /// What the model is, takes and gives.
    pub fn metadata(&self) -> &ModelMetadata {
        &self.metadata
    }

    /// The graph that the host runs for it, where it runs one.
    pub fn graph(&self) -> Option<&Arc<Graph>> {
        self.graph.as_ref()
    }

    /// The model, if it is mapped.
    pub fn if_mapped(&self) -> Option<Model> {
        match &self.lock().mapping {
            Mapping::Mapped(model) => Some(model.clone()),
            _ => None,
        }
    }

    /// How it is used, if it is mapped.
    pub fn usage(&self) -> Option<Use> {
        let state = self.lock();
        let State { users, last_asked, last_used, .. } = *state;
        matches!(state.mapping, Mapping::Mapped(_)).then_some(Use { users, last_asked, last_used })
    }

    /// How many requests wait for it to be mapped.
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        if matches!(state.mapping, Mapping::Mapped(_)) { 0 } else { state.users }
    }

    /// What there is of it. If that is nothing, it is being mapped from now on.
    pub fn find(&self) -> Found {
        let mut state = self.lock();
        match &state.mapping {
            Mapping::Mapped(model) => Found::Mapped(model.clone()),
            Mapping::Loading(progress) => Found::Loading(progress.clone()),
            Mapping::Unmapped => {
                let (sender, progress) = watch::channel(Progress::Loading);
                state.mapping = Mapping::Loading(progress);
                Found::Unmapped(sender)
            }
        }
    }

    /// Maps it.
    ///
    /// # Errors
    ///
    /// It cannot be loaded, or its file has another model now.
    pub fn load(&self) -> Result<CodeOrigin, String> {
        let loaded = self.runtime.load(&self.path).map_err(|error: LoadError| error.to_string()).and_then(|model| {
            let (now, before) = (model.metadata(), &*self.metadata);
            if (&now.inputs, &now.outputs) == (&before.inputs, &before.outputs) {
                Ok(model)
            } else {
                Err(format!("{} has been replaced by a model with other inputs or outputs", self.path.display()))
            }
        });
        let mut state = self.lock();
        let (mapping, result) = match loaded {
            Ok(model) => {
                let origin = model.origin();
                (Mapping::Mapped(model), Ok(origin))
            }
            Err(error) => (Mapping::Unmapped, Err(error)),
        };
        state.mapping = mapping;
        state.last_used = Instant::now();
        result
    }

    /// Notes that mapping it was given up.
    pub fn give_up(&self) {
        let mut state = self.lock();
        if matches!(state.mapping, Mapping::Loading(_)) {
            state.mapping = Mapping::Unmapped;
        }
    }

    /// Takes the model out, so that it can be unmapped, if nobody uses it and `idle` says of when it was last used that it may.
    pub fn take(&self, idle: impl FnOnce(Instant) -> bool) -> Option<Model> {
        let mut state = self.lock();
        if state.users > 0 || !matches!(state.mapping, Mapping::Mapped(_)) || !idle(state.last_used) {
            return None;
        }
        match std::mem::replace(&mut state.mapping, Mapping::Unmapped) {
            Mapping::Mapped(model) => Some(model),
            _ => None,
        }
    }

    /// Notes that it is not served any more. Requests that have found it run as they would have; when the last of them has
    /// ended, this keeper unmaps it.
    pub fn retire(&self, heir: &Arc<Keeper>) {
        let _ = self.heir.set(Arc::clone(heir));
    }

    /// Whether it is not served any more.
    pub fn is_retired(&self) -> bool {
        self.heir.get().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Residency {
    fn drop(&mut self) {
        let Some(heir) = self.heir.take() else { return };
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Mapping::Mapped(model) = std::mem::replace(&mut state.mapping, Mapping::Unmapped) {
            heir.inherit(model);
        }
    }
}

// === impl Interest ===

impl Interest {
    pub fn new(served: &Arc<Served>, keeper: &Arc<Keeper>) -> Interest {
        let mut state = served.model.lock();
        state.users += 1;
        state.last_asked = Instant::now();
        drop(state);
        Interest { served: Arc::clone(served), keeper: Arc::clone(keeper) }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut state = self.served.model.lock();
        state.users -= 1;
        state.last_used = Instant::now();
        let unused = state.users == 0;
        drop(state);
        if unused {
            self.keeper.left();
        }
    }
}

// === impl Lease ===

impl Lease {
    pub fn new(model: Model, interest: Interest) -> Lease {
        Lease { model, _interest: interest }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }
}
