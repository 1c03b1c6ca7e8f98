//! Instances that answer more than one request, one after another.
//!
//! Only where that was asked for: what a request leaves behind in an instance's memory, the next one can find.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;

use crate::guest::Guest;

/// How long an instance may wait for its next request before it is dropped.
pub const IDLE: Duration = Duration::from_secs(10);

/// A component's instance.
pub struct Instance {
    pub store: Store<Guest>,
    pub proxy: Proxy,
    /// How many requests it has begun to answer.
    pub requests: u32,
}

/// Instances that wait for another request, of all components of a runtime.
#[derive(Default)]
pub struct IdleInstances {
    /// The one that has waited longest first.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    instances: Vec<Idle>,
    /// Whether a task watches over how long they wait.
    watched: bool,
}

struct Idle {
    /// Which component it is of.
    component: usize,
    since: Instant,
    instance: Instance,
}

// === impl IdleInstances ===

impl IdleInstances {
    /// Takes the instance of a component that has waited for the shortest time.
    pub fn take(&self, component: usize) -> Option<Instance> {
        let waiting = &mut self.lock().instances;
        let index = waiting.iter().rposition(|idle| idle.component == component)?;
        Some(waiting.remove(index).instance)
    }

    /// Keeps an instance for its component's next request, where it may answer another, for [`IDLE`] at most.
    pub fn keep(self: &Arc<Self>, component: usize, instance: Instance, most_requests: NonZeroU32) {
        if instance.requests >= most_requests.get() {
            return;
        }
        let mut waiting = self.lock();
        waiting.instances.push(Idle { component, since: Instant::now(), instance });
        if !waiting.watched {
            waiting.watched = true;
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    /// Drops the instance that has waited longest, so that another can take its place. Says whether there was one.
    pub fn make_place(&self) -> bool {
        let oldest = {
            let waiting = &mut self.lock().instances;
            (!waiting.is_empty()).then(|| waiting.remove(0))
        };
        // Dropped when nothing is locked any more: that resets its memory, which takes a while.
        oldest.is_some()
    }

    /// Drops the instances of a component.
    pub fn forget(&self, component: usize) {
        let gone: Vec<Idle> = self.lock().instances.extract_if(.., |idle| idle.component == component).collect();
        drop(gone);
    }

    /// Drops those that have waited too long. Says when to look again, unless none waits any more.
    fn expire(&self) -> Option<Instant> {
        let mut waiting = self.lock();
        let gone: Vec<Idle> = waiting.instances.extract_if(.., |idle| idle.since.elapsed() >= IDLE).collect();
        let next = waiting.instances.first().map(|idle| idle.since + IDLE);
        waiting.watched = next.is_some();
        drop(waiting);
        drop(gone);
        next
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops instances that have waited too long, until none waits.
async fn watch(instances: Weak<IdleInstances>) {
    let mut next = Some(Instant::now() + IDLE);
    while let Some(time) = next {
        tokio::time::sleep_until(time.into()).await;
        let Some(instances) = instances.upgrade() else { return };
        // Not on a thread of the network's: an instance's end takes a while.
        next = tokio::task::spawn_blocking(move || instances.expire()).await.ok().flatten();
    }
}
