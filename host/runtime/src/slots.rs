//! The memory of the slots that a model's instances have run in: in huge pages where it is much, and given back when the model
//! rests.
//!
//! The pool keeps what an inference wrote in its slot, up to [`Config::keep_resident_bytes`](crate::Config), so that the
//! next one need not fault it in. When Wasmtime drops a component, it unmaps its image from those slots, but keeps what lies
//! above the image. There is no call that gives it back. So before a model is dropped, each slot that it has used is taken
//! once more, by an instance whose memory the kernel is told to forget. Where that memory is, Wasmtime shows to what lifts a
//! value: here, the name of the model.
//!
//! What an instance grows its memory by while it runs is large tensors, of which there may be thousands of pages. They are protected
//! and looked through page by page whenever the slot is used, and each is looked up on its own in page tables that do not fit into
//! the processor's caches. So that part of a slot is marked for pages of 2 MiB, once an instance has grown by several of these.
//! Most models never grow: what they need is there from the start.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use samara_artifact::MODEL_INTERFACE;
use wasmtime::Store;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentType, Instance, InstancePre, Lift, WasmList, WasmStr};

use crate::abi::wit;
use crate::config::MEMORY_BYTES;
use crate::guest::{self, Guest};
use crate::{Cancellation, Shared, Watch};

/// How many slots are left to those who need one meanwhile.
const SPARE: u64 = 4;

/// From how much growth on huge pages are used, in bytes: two of them, of which one is surely whole.
pub(crate) const LARGE_BYTES: usize = 2 * HUGE_PAGE_BYTES;
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// How long an instance may take to tell where its memory is.
const ASKING: Duration = Duration::from_millis(50);

/// What `metadata` gives, of which nothing is wanted but where it lies.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Metadata {
    pub(crate) name: Place,
    #[expect(dead_code, reason = "a part of the record")]
    version: WasmStr,
    #[expect(dead_code, reason = "a part of the record")]
    inputs: WasmList<wit::TensorSpec>,
    #[expect(dead_code, reason = "a part of the record")]
    outputs: WasmList<wit::TensorSpec>,
}

/// Where the memory begins that a text lies in.
pub(crate) struct Place(pub(crate) usize);

/// A slot that is taken by an instance, with the place of its memory.
struct Slot {
    _store: Store<Guest>,
    memory: Place,
}

/// Gives back what the slots keep that instances of this component have used, as far as nobody uses them now.
pub(crate) fn give_back(shared: &Shared, component: &InstancePre<Guest>) {
    let Some(pool) = shared.engine.pooling_allocator_metrics() else { return };
    let mut taken = Vec::new();
    // Those that the component has used are taken first. Once one is not among those that were used before, none is left.
    while pool.component_instances() + SPARE < u64::from(shared.limits.instances) {
        let warm = pool.unused_warm_memories();
        let Some(slot) = Slot::take(shared, component) else { break };
        let cold = pool.unused_warm_memories() >= warm;
        taken.push(slot);
        if cold {
            break;
        }
    }
    for slot in &taken {
        slot.forget();
    }
}

/// The slots that huge pages are used in: from which byte on, by the address of their memory.
#[derive(Default)]
pub(crate) struct HugePages(Mutex<HashMap<usize, usize>>);

/// Has the kernel use huge pages in an instance's slot for what lies above `initial_bytes` of its memory, from the next instance on.
/// This one does not run any more.
pub(crate) fn use_huge_pages(shared: &Shared, store: &mut Store<Guest>, instance: &Instance, initial_bytes: usize) {
    let Some(memory) = memory_of(shared, store, instance, ASKING) else { return };
    let mut known = shared.huge_pages.0.lock().unwrap_or_else(PoisonError::into_inner);
    let from = known.entry(memory.0).or_insert(MEMORY_BYTES);
    if initial_bytes < *from {
        *from = initial_bytes;
        memory.use_huge_pages(initial_bytes);
    }
}

/// Where an instance's memory is, if it tells.
fn memory_of(shared: &Shared, store: &mut Store<Guest>, instance: &Instance, deadline: Duration) -> Option<Place> {
    store.set_epoch_deadline(1);
    store.data_mut().watch = Watch::new(deadline, &Cancellation::default());
    let _running = shared.ticker.running();
    let interface = instance.get_export_index(&mut *store, None, MODEL_INTERFACE)?;
    let metadata = instance.get_export_index(&mut *store, Some(&interface), "metadata")?;
    let metadata = instance.get_typed_func::<(), (Metadata,)>(&mut *store, &metadata).ok()?;
    let (Metadata { name: memory, .. },) = metadata.call(store, ()).ok()?;
    Some(memory)
}

/// Has the allocator give back what it keeps for the next time, which mapping components and dropping them leaves behind.
pub fn trim_heap() {
    // SAFETY: it has no conditions, and keeps what is in use where it is.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The size of the system's pages, in bytes.
#[cfg(target_os = "linux")]
pub(crate) fn page_bytes() -> usize {
    // SAFETY: it has no conditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4 << 10)
}

// === impl Place ===

impl Place {
    #[cfg(target_os = "linux")]
    fn use_huge_pages(&self, initial_bytes: usize) {
        use rustix::mm::{Advice, madvise};
        let from = (self.0 + initial_bytes).next_multiple_of(HUGE_PAGE_BYTES);
        let length = (self.0 + MEMORY_BYTES).saturating_sub(from);
        // What is there now is in small pages, and would stay so.
        for advice in [Advice::LinuxHugepage, Advice::LinuxDontNeed] {
            // SAFETY: that part belongs to a slot that has `MEMORY_BYTES`, and this one is an instance's that does not run any more.
            // Nothing is mapped there but memory that is zero when it is first used, as it is again now.
            if let Err(error) = unsafe { madvise(from as *mut _, length, advice) } {
                tracing::debug!(%error, "huge pages are not used for the memory of a slot");
                return;
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn use_huge_pages(&self, _initial_bytes: usize) {}
}

// SAFETY: it is a text in every respect that these two traits have, and is never lowered.
unsafe impl ComponentType for Place {
    type Lower = <str as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <str as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <str as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: as above; what is lifted is no part of the text.
unsafe impl Lift for Place {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        _ty: InterfaceType,
        _src: &Self::Lower,
    ) -> wasmtime::Result<Place> {
        Ok(Place(cx.memory().as_ptr().addr()))
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _ty: InterfaceType, _bytes: &[u8]) -> wasmtime::Result<Place> {
        Ok(Place(cx.memory().as_ptr().addr()))
    }
}

// === impl Slot ===

impl Slot {
    /// Makes an instance, and finds its memory. `None` where either cannot be done.
    fn take(shared: &Shared, component: &InstancePre<Guest>) -> Option<Slot> {
        let mut store = guest::store(&shared.engine, &shared.limits, &shared.graphs);
        store.set_epoch_deadline(1);
        store.data_mut().watch = Watch::new(shared.limits.deadline, &Cancellation::default());
        let _running = shared.ticker.running();
        let instance = component.instantiate(&mut store).ok()?;
        let memory = memory_of(shared, &mut store, &instance, shared.limits.deadline)?;
        Some(Slot { _store: store, memory })
    }

    /// Has the kernel forget what the memory holds, and what lies above it since it was larger.
    #[cfg(target_os = "linux")]
    fn forget(&self) {
        use rustix::mm::{Advice, madvise};
        // SAFETY: a slot has that many bytes, and this one is an instance's that this owns and that does not run any more. What
        // was written there is replaced by what the slot maps: the image, or zeros.
        let told = unsafe { madvise(self.memory.0 as *mut _, MEMORY_BYTES, Advice::LinuxDontNeed) };
        if let Err(error) = told {
            tracing::debug!(%error, "the memory of a slot is not given back");
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn forget(&self) {}
}
