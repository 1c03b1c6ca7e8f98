//! The models that a server serves: which there are, as files come and go, and which of them answers a request.
//!
//! `scan` looks at the files, `record` and `records` keep what is known of each, `unloaded` what is not wanted. `catalog` is
//! what requests see: it is made anew after each change, so that a request finds its model without a lock, and keeps it
//! whatever happens meanwhile. `change` loads and unloads, one thing at a time, and `watch` does so as files change. `split`
//! divides requests among versions, `traffic` remembers how that was before, and `division` sets it.

mod catalog;
mod change;
mod division;
mod error;
mod observer;
mod record;
mod records;
mod scan;
mod split;
mod traffic;
mod unloaded;
mod version;
mod watch;

pub use catalog::{Catalog, State};
pub use error::RepositoryError;
pub use observer::Observer;
pub use split::{InvalidSplit, Split};
pub use watch::watch;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::HeaderMap;
use samara_admission::{Batching, LaneId, LaneLimits};
use samara_nn::{Device, Graph};
use samara_protocol::repository::DynamicBatching;
use samara_protocol::{Error, ModelMetadata};
use samara_runtime::{CodeOrigin, Identity, Runtime};
use samara_telemetry::{ColdStep, Metrics, Series, Subject};

use self::records::Records;
use self::version::compare_versions;
use crate::batch::{self, BatchTimes};
use crate::keeper::Keeper;
use crate::residency::Residency;
use crate::statistics::ModelCounters;
use crate::{Config, ServeError, Terms};

/// The models that a server serves, by name and version.
#[derive(Default)]
pub struct Repository {
    /// Absent where there are no models and never will be.
    runtime: Option<Runtime>,
    paths: Vec<PathBuf>,
    at_start: AtStart,
    /// What requests see.
    catalog: ArcSwap<Catalog>,
    records: Mutex<Records>,
    /// Held by whoever loads or unloads: that is done one thing at a time.
    turn: Mutex<()>,
    /// Who unmaps what is not served any more; set when the server starts.
    keeper: OnceLock<Arc<Keeper>>,
}

/// What is done with models before the server starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtStart {
    /// They are mapped.
    #[default]
    Mapped,
    /// They are registered, and mapped when they are asked for. One whose machine code is not in the cache is loaded once, so that
    /// it is, and so that it is known to work.
    Registered,
}

/// A model, and what has happened to it.
pub struct Served {
    /// The model, mapped or not.
    pub model: Residency,
    /// The file that it came from.
    pub path: PathBuf,
    pub(crate) terms: ArcSwap<Terms>,
    /// Where its requests wait; set when the server starts.
    pub(crate) lane: OnceLock<LaneId>,
    /// What is measured of its requests; set when it is first mapped or asked.
    pub(crate) series: OnceLock<Series>,
    /// How its machine code came to be there when it was loaded, and how long that took; absent where it is registered only.
    pub(crate) loaded: Option<(ColdStep, Duration)>,
    /// Whether an instance has been made for a request, and whether one has been answered, since it was mapped.
    pub(crate) warm: [AtomicBool; 2],
    /// Whether the log has it that this model alone is more than may be mapped.
    pub(crate) over_budget: AtomicBool,
    /// Its version's, which outlive it.
    pub(crate) counters: Arc<ModelCounters>,
}

impl Served {
    /// What the model is, takes and gives.
    pub fn metadata(&self) -> &ModelMetadata {
        self.model.metadata()
    }

    /// What its requests are held to when they come. Where the host runs it, no more of them run at the same time than its
    /// graph computes, unless it is set: the rest would hold workers that wait, and could not make a batch any more.
    pub(crate) fn limits(&self, config: &Config) -> LaneLimits {
        let limits = self.terms.load().lane(config);
        let contexts = self.model.graph().and_then(|graph| NonZeroUsize::new(graph.info().contexts));
        LaneLimits { concurrency: limits.concurrency.or(contexts), ..limits }
    }

    /// How its requests run together, where they do.
    pub fn batching(&self) -> Option<Batching> {
        self.terms.load().batching.filter(|_| batch::obstacle(self.metadata()).is_none())
    }

    /// Whether its batches are filled up to their largest size.
    pub(crate) fn pads_batches(&self) -> bool {
        let on_gpu = |graph: &Arc<Graph>| matches!(graph.info().device, Device::Cuda(_) | Device::Tensorrt(_));
        self.terms.load().pad_batches.unwrap_or_else(|| self.model.graph().is_some_and(on_gpu))
    }

    /// Counts and measures a batch that ran, of one request or of several.
    pub(crate) fn ran_together(&self, items: u64, times: BatchTimes) {
        self.counters.batches.add(items, times);
        if let Some(series) = self.series.get() {
            series.measure_batch(items);
        }
    }

    /// How its requests run together, in the protocol's terms.
    pub(crate) fn dynamic_batching(&self) -> Option<DynamicBatching> {
        self.batching().map(|Batching { max_size, max_delay }| DynamicBatching {
            max_batch_size: max_size.get() as u64,
            max_queue_delay_microseconds: u64::try_from(max_delay.as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// What it is in metrics.
    pub(crate) fn subject(&self) -> Subject {
        let metadata = self.metadata();
        Subject::Model { name: metadata.name.clone(), version: metadata.version.clone() }
    }

    /// What is measured of its requests.
    pub(crate) fn series(&self, metrics: &Metrics) -> &Series {
        self.series.get_or_init(|| metrics.series(&self.subject()))
    }

    /// Notes that it has been mapped, and how long that took.
    pub(crate) fn note_mapped(&self, origin: CodeOrigin, time: Duration) {
        let metadata = self.metadata();
        match origin {
            CodeOrigin::Cache => tracing::debug!(model = metadata.name, version = metadata.version, ?time, "mapped"),
            // It takes long, and should not have been necessary.
            CodeOrigin::Compiled(_) => {
                tracing::info!(
                    model = metadata.name,
                    version = metadata.version,
                    ?time,
                    "mapped, and compiled for that"
                );
            }
        }
        if let Some(series) = self.series.get() {
            series.measure_cold(step(origin), time);
        }
    }

    /// Notes that it has been unmapped: what comes next is a cold start.
    pub(crate) fn note_unmapped(&self) {
        for step in &self.warm {
            step.store(false, Ordering::Relaxed);
        }
    }

    /// Says, once, that it is served although it alone is more than may be mapped.
    pub(crate) fn warn_of_budget(&self, budget: u64) {
        if !self.over_budget.swap(true, Ordering::Relaxed) {
            let model = &self.metadata().name;
            tracing::warn!(model, budget_mib = budget >> 20, "the model alone takes more than the memory budget");
        }
    }
}

/// The step of a cold start that machine code comes by.
fn step(origin: CodeOrigin) -> ColdStep {
    match origin {
        CodeOrigin::Cache => ColdStep::Map,
        CodeOrigin::Compiled(_) => ColdStep::Compile,
    }
}

impl Repository {
    /// Sets what holds for some models alone, by their names; for all others, what holds for the server does.
    ///
    /// # Errors
    ///
    /// There is no model of one of the names, or a split names a version that there is not, or one is to run in batches and
    /// cannot. Nothing has been changed.
    pub fn set_terms(&self, terms: &BTreeMap<String, Terms>) -> Result<(), ServeError> {
        let mut records = self.records();
        let names = records.names();
        if let Some(name) = terms.keys().find(|name| !names.contains(name.as_str())) {
            let known = list(names.into_iter());
            return Err(ServeError::UnknownModel { name: name.clone(), known });
        }
        for (name, terms) in terms {
            let versions = terms.split.iter().flat_map(Split::iter).map(|(version, _)| version);
            let known = |version: &str| records.keys(name).any(|key| key.1 == version);
            if let Some(version) = versions.into_iter().find(|version| !known(version)) {
                let (name, version) = (name.clone(), version.to_owned());
                let known = list(records.keys(&name).map(|key| key.1.as_str()));
                return Err(ServeError::UnknownVersion { name, version, known });
            }
        }
        for served in records.served() {
            let name = &served.metadata().name;
            if let Some(terms) = terms.get(name) {
                check_batching(terms, served.metadata())?;
            }
        }
        for (name, terms) in terms {
            if let Some(Batching { max_size, max_delay }) = terms.batching {
                let (max_batch_size, max_batch_delay_ms) = (max_size.get(), max_delay.as_millis());
                tracing::info!(
                    model = name,
                    max_batch_size,
                    max_batch_delay_ms,
                    "requests run in batches: an instance sees the data of several clients"
                );
            }
        }
        records.terms.clone_from(terms);
        let names = records.names().into_iter().chain(records.traffic.keys().map(String::as_str));
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        for name in names {
            let Terms { split, sticky, .. } = terms.get(&name).cloned().unwrap_or_default();
            records.traffic.entry(name).or_default().configure(split, sticky);
        }
        for served in records.served() {
            served.terms.store(Arc::new(terms.get(&served.metadata().name).cloned().unwrap_or_default()));
        }
        self.publish(&mut records);
        Ok(())
    }

    /// The models of which something could not be loaded so far, by name as far as that is known, to be counted once.
    pub(crate) fn take_failed(&self) -> Vec<String> {
        std::mem::take(&mut self.records().failed)
    }

    /// Whether there is anywhere that models could come from.
    pub(crate) fn has_paths(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Whether nothing is known of any model, not even of one that cannot be loaded.
    pub fn is_empty(&self) -> bool {
        self.catalog.load().index().is_empty()
    }

    /// What there is now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// All models in all versions, by name, oldest first.
    pub fn models(&self) -> Vec<Arc<Served>> {
        self.catalog.load().models().cloned().collect()
    }

    /// The model of this name: in this version, or in the one that most requests which name none go to.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Served>, Error> {
        let catalog = self.catalog.load();
        match version {
            Some(version) => catalog.version(name, version).cloned(),
            None => catalog.versions(name)?.main().cloned().ok_or_else(|| empty(name)),
        }
    }

    /// The model of this name that answers a request with these headers: in this version, or in the one whose turn it is.
    pub(crate) fn route(&self, name: &str, version: Option<&str>, headers: &HeaderMap) -> Result<Arc<Served>, Error> {
        let catalog = self.catalog.load();
        match version {
            Some(version) => catalog.version(name, version).cloned(),
            None => catalog.versions(name)?.next(name, headers).cloned().ok_or_else(|| empty(name)),
        }
    }

    /// The versions of the model of this name, oldest first.
    pub(crate) fn versions(&self, name: &str) -> Result<Vec<Arc<Served>>, Error> {
        Ok(self.catalog.load().versions(name)?.all().cloned().collect())
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has this keeper unmap what is not served any more.
    pub(crate) fn set_keeper(&self, keeper: &Arc<Keeper>) {
        let _ = self.keeper.set(Arc::clone(keeper));
    }

    /// Has requests see what is known now.
    fn publish(&self, records: &mut Records) {
        let now = Arc::new(records.catalog());
        let before = self.catalog.swap(Arc::clone(&now));
        let Some(keeper) = self.keeper.get() else { return };
        let there: BTreeSet<*const Served> = now.models().map(Arc::as_ptr).collect();
        for served in before.models().filter(|served| !there.contains(&Arc::as_ptr(served))) {
            keeper.retire(served);
        }
    }
}

/// Checks that a model can run in batches, if it is to.
fn check_batching(terms: &Terms, model: &ModelMetadata) -> Result<(), ServeError> {
    match terms.batching.and_then(|_| batch::obstacle(model)) {
        Some(reason) => Err(ServeError::NotBatchable { name: model.name.clone(), reason }),
        None => Ok(()),
    }
}

fn empty(name: &str) -> Error {
    Error::Internal(format!("model {name:?} without a version"))
}

/// The names, for a message; no more of them than one reads.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    match names.len() {
        0 => "none".to_owned(),
        n if n > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => names.join(", "),
    }
}

/// What lies beside a component that it may ask for: graphs. Another number where that is something else.
fn beside(component: &Path) -> u64 {
    let entries = component.parent().and_then(|directory| std::fs::read_dir(directory).ok());
    let graphs = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let graphs = graphs.filter(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    // In whatever order a directory lists them.
    graphs.fold(0, |sum: u64, path| {
        let mut hasher = DefaultHasher::new();
        (&path, Identity::of(&path).map(|identity| format!("{identity:?}")).ok()).hash(&mut hasher);
        sum.wrapping_add(hasher.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(list(std::iter::empty()), "none");
        assert_eq!(list(["a", "b"].into_iter()), r#""a", "b""#);
        assert!(list(["x"; 20].into_iter()).ends_with("and 12 more"));
    }
}
