//! What an instance has on the host's side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use samara_nn::wit::{NnCtx, NnView};
use samara_nn::{ComputeError, Registry};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, Store};

use crate::{Limits, MemoryLimit, Watch};

/// What an instance has on the host's side: the limit of its memory, and the graphs that it may ask for.
pub struct Guest {
    pub memory: MemoryLimit,
    /// What stops it.
    pub watch: Watch,
    nn: NnCtx,
    table: ResourceTable,
}

/// What instances may call: `wasi:nn`. All else that a model's component imports serves its handler, which is not called.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    samara_nn::wit::add_to_linker(&mut linker, Guest::nn)?;
    Ok(linker)
}

/// A store for an instance, whose limits are set.
pub fn store(engine: &Engine, limits: &Limits, graphs: &Arc<Registry>) -> Store<Guest> {
    let mut nn = NnCtx::new(Arc::clone(graphs));
    nn.set_memory_limit(limits.memory_bytes);
    let watch = Watch::default();
    let guest = Guest { memory: MemoryLimit::new(limits.memory_bytes), watch, nn, table: ResourceTable::new() };
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.epoch_deadline_callback(|context| Ok(context.data().watch.at_epoch()));
    // A call to the host can carry as much as the instance can hold.
    store.set_hostcall_fuel(limits.memory_bytes);
    store
}

impl Guest {
    /// Sets how long a computation may wait for its turn from now on.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.nn.set_deadline(Instant::now().checked_add(deadline));
    }

    /// Why the last computation of a graph gave nothing, if that is so.
    pub fn take_failure(&mut self) -> Option<ComputeError> {
        self.nn.take_failure()
    }

    fn nn(&mut self) -> NnView<'_> {
        NnView { table: &mut self.table, ctx: &mut self.nn }
    }
}
