//! Which models are mapped: mapped when they are asked for, unmapped when nobody has asked for a while, or when others need
//! the memory.
//!
//! Mapping a model is file I/O, and making its machine code anew where the cache has lost it takes seconds: neither is done
//! on the network's threads, nor on those that run inferences. Whoever asks for a model that is being mapped waits for that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use samara_runtime::{Model, trim_heap};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout_at;

use crate::Config;
use crate::ready::Ready;
use crate::repository::Served;
use crate::residency::{Found, Interest, Lease, Progress, Use};

/// Maps models when they are asked for, and unmaps them.
pub struct Keeper {
    policy: ArcSwap<Policy>,
    /// Held while models are mapped: each takes a thread, and the cores are as many as the workers.
    loads: Semaphore,
    /// The models that are mapped. One that is not served any more is gone from here when its last request is.
    mapped: Mutex<Vec<Weak<Served>>>,
    /// Held while it is decided which models are unmapped.
    deciding: Mutex<()>,
    /// Whether more is mapped than may be, because all of it is in use.
    over_budget: AtomicBool,
    /// Something has changed by which the next model to be unmapped may be another.
    changed: Notify,
    evictions: [AtomicU64; Eviction::ALL.len()],
    ready: Ready,
    /// Models that are not served any more and that no request has, to be unmapped.
    inherited: Mutex<Vec<Model>>,
}

/// What decides when models are unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    idle_ttl: Option<Duration>,
    memory_budget: Option<u64>,
}

/// Why a model was unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// Nobody has asked for it for a while.
    Idle,
    /// Others needed the memory.
    Budget,
}

/// Why a model is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It cannot be mapped.
    Failed(Arc<str>),
    /// It was not mapped in time.
    Overdue,
}

// === impl Keeper ===

impl Keeper {
    pub fn new(config: &Config, ready: Ready) -> Keeper {
        Keeper {
            policy: ArcSwap::from_pointee(Policy::of(config)),
            loads: Semaphore::new(config.workers.get()),
            mapped: Mutex::default(),
            deciding: Mutex::default(),
            over_budget: AtomicBool::new(false),
            changed: Notify::new(),
            evictions: Default::default(),
            ready,
            inherited: Mutex::default(),
        }
    }

    /// Has this decide from now on. What holds for single models is looked up when it is needed.
    pub fn set_up(&self, config: &Config) {
        self.policy.store(Arc::new(Policy::of(config)));
        self.over_budget.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Notes a model that is mapped.
    pub fn add(&self, served: &Arc<Served>) {
        self.lock().push(Arc::downgrade(served));
        self.changed.notify_one();
    }

    /// The models that are mapped.
    pub fn mapped(&self) -> Vec<Arc<Served>> {
        let mut models = Vec::new();
        self.lock().retain(|served| served.upgrade().inspect(|served| models.push(Arc::clone(served))).is_some());
        models
    }

    /// How many models have been unmapped, by why.
    pub fn evictions(&self) -> [(&'static str, u64); Eviction::ALL.len()] {
        Eviction::ALL.map(|reason| (reason.name(), self.evictions[reason as usize].load(Ordering::Relaxed)))
    }

    /// The model, mapped if it is not. Whoever gives up while it is being mapped leaves it to the next one.
    ///
    /// # Errors
    ///
    /// It cannot be mapped, or not until then.
    pub async fn wake(self: &Arc<Self>, served: &Arc<Served>, until: Instant) -> Result<Lease, Absent> {
        let interest = Interest::new(served, self);
        loop {
            let mut progress = match served.model.find() {
                Found::Mapped(model) => return Ok(Lease::new(model, interest)),
                Found::Loading(progress) => progress,
                Found::Unmapped(sender) => {
                    let progress = sender.subscribe();
                    tokio::spawn(Arc::clone(self).map(Arc::clone(served), sender));
                    progress
                }
            };
            let ended = timeout_at(until.into(), progress.wait_for(|progress| !matches!(progress, Progress::Loading)));
            match ended.await {
                Err(_) => return Err(Absent::Overdue),
                Ok(Err(_)) => return Err(Absent::Failed("the thread that was to map it is gone".into())),
                Ok(Ok(ended)) => {
                    if let Progress::Failed(reason) = &*ended {
                        return Err(Absent::Failed(Arc::clone(reason)));
                    }
                }
            }
        }
    }

    /// Maps a model on a thread of its own, and says how that ended.
    async fn map(self: Arc<Self>, served: Arc<Served>, sender: watch::Sender<Progress>) {
        let _turn = self.loads.acquire().await;
        let keeper = Arc::clone(&self);
        let mapped = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let result = catch_unwind(AssertUnwindSafe(|| served.model.load()));
            let result = result.unwrap_or_else(|_| {
                served.model.give_up();
                Err("it panicked".to_owned())
            });
            let progress = match &result {
                Ok(origin) => {
                    served.note_mapped(*origin, began.elapsed());
                    keeper.add(&served);
                    Progress::Mapped
                }
                Err(error) => {
                    tracing::error!(model = served.model.metadata().name, error, "a model cannot be mapped");
                    Progress::Failed(error.as_str().into())
                }
            };
            // It fails where nobody waits any more.
            let _ = sender.send(progress);
            if result.is_ok() {
                keeper.hold_budget();
            }
        });
        // A panic has been caught where it could be.
        let _ = mapped.await;
    }

    /// A model has no users any more.
    pub fn left(&self) {
        if self.over_budget.load(Ordering::Relaxed) {
            self.changed.notify_one();
        }
    }

    /// Has a model that is not served any more be unmapped when its last request has ended: nothing that waits for a request keeps
    /// it until then.
    pub fn retire(self: &Arc<Self>, served: &Arc<Served>) {
        served.model.retire(self);
        self.ready.forget(served);
    }

    /// Takes over a model that was retired, from its last user, who has no time for what that takes.
    pub fn inherit(&self, model: Model) {
        self.inherited.lock().unwrap_or_else(PoisonError::into_inner).push(model);
        self.changed.notify_one();
    }

    /// Unmaps what was taken over.
    fn unmap_inherited(&self) {
        let models = std::mem::take(&mut *self.inherited.lock().unwrap_or_else(PoisonError::into_inner));
        if models.is_empty() {
            return;
        }
        models.into_iter().for_each(Model::unmap);
        trim_heap();
    }

    /// Unmaps models when their time has come; goes on until it is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            let changed = self.changed.notified();
            match self.next_expiry() {
                None => changed.await,
                // Whichever comes first.
                Some(next) => drop(timeout_at(next.into(), changed).await),
            }
            let keeper = Arc::clone(&self);
            let unmapped = tokio::task::spawn_blocking(move || {
                keeper.unmap_inherited();
                keeper.expire();
                if keeper.over_budget.load(Ordering::Relaxed) {
                    keeper.hold_budget();
                }
            });
            let _ = unmapped.await;
        }
    }

    /// When a model may be idle for too long next.
    fn next_expiry(&self) -> Option<Instant> {
        let now = Instant::now();
        let models = self.mapped();
        let expiries = models.iter().filter_map(|served| {
            let Use { users, last_used, .. } = served.model.usage()?;
            let since = if users == 0 { last_used } else { now };
            since.checked_add(self.idle_ttl(served)?)
        });
        expiries.min()
    }

    /// Unmaps what has been idle for too long.
    fn expire(&self) {
        let models = self.mapped();
        let mut any = false;
        for served in models {
            let Some(ttl) = self.idle_ttl(&served) else { continue };
            any |= self.unmap(&served, Eviction::Idle, |last_used| last_used.elapsed() >= ttl);
        }
        if any {
            trim_heap();
        }
    }

    fn idle_ttl(&self, served: &Served) -> Option<Duration> {
        served.terms.load().idle_ttl.or(self.policy.load().idle_ttl)
    }

    /// Unmaps what was used least recently, until what is mapped is within the budget. The model that was used last stays,
    /// however large it is.
    fn hold_budget(&self) {
        let Some(budget) = self.policy.load().memory_budget else {
            self.over_budget.store(false, Ordering::Relaxed);
            return;
        };
        let _one = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut models: Vec<(Use, Arc<Served>)> =
            self.mapped().into_iter().filter_map(|served| Some((served.model.usage()?, served))).collect();
        // In the order in which requests came: when they end depends on when their threads get to it.
        models.sort_by_key(|(usage, _)| (usage.users > 0, usage.last_asked));
        let newest = models.pop();
        let mut any = false;
        for (Use { last_used, .. }, served) in models {
            if self.mapped_bytes() <= budget {
                break;
            }
            any |= self.unmap(&served, Eviction::Budget, |now| now == last_used);
        }
        if any {
            trim_heap();
        }
        let over = self.mapped_bytes() > budget;
        self.over_budget.store(over && self.mapped().len() > 1, Ordering::Relaxed);
        if let (true, Some((_, served))) = (over, newest) {
            served.warn_of_budget(budget);
        }
    }

    /// Bytes of all models that are mapped; of what several share, once.
    pub fn mapped_bytes(&self) -> u64 {
        let models: Vec<Model> = self.mapped().iter().filter_map(|served| served.model.if_mapped()).collect();
        let mut images: Vec<(usize, u64)> = models.iter().map(|model| (model.image().start, model.bytes())).collect();
        images.sort_unstable();
        images.dedup_by_key(|(start, _)| *start);
        images.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Unmaps a model, if nobody uses it and `idle` says of when it was last used that it may.
    fn unmap(&self, served: &Arc<Served>, reason: Eviction, idle: impl FnOnce(Instant) -> bool) -> bool {
        let model = {
            // Whoever maps it again adds it again, after this.
            let mut mapped = self.lock();
            let Some(model) = served.model.take(idle) else { return false };
            mapped.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(served)));
            served.note_unmapped();
            model
        };
        // Whoever has used it has left its instance there before.
        self.ready.forget(served);
        let bytes = model.bytes();
        model.unmap();
        self.evictions[reason as usize].fetch_add(1, Ordering::Relaxed);
        tracing::debug!(model = served.model.metadata().name, reason = reason.name(), bytes, "unmapped");
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Served>>> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Policy ===

impl Policy {
    fn of(config: &Config) -> Policy {
        Policy { idle_ttl: config.idle_ttl, memory_budget: config.memory_budget }
    }
}

// === impl Eviction ===

impl Eviction {
    pub const ALL: [Eviction; 2] = [Eviction::Idle, Eviction::Budget];

    pub fn name(self) -> &'static str {
        match self {
            Eviction::Idle => "idle",
            Eviction::Budget => "budget",
        }
    }
}
