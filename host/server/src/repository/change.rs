//! Loading and unloading, while requests run: one thing at a time, and never on a thread that answers requests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use samara_protocol::ModelMetadata;
use samara_runtime::{Identity, InferError, Model, Runtime};
use samara_telemetry::ColdStep;

use super::catalog::Entry;
use super::observer::Observer;
use super::record::{Key, Look};
use super::scan::{Place, Scan};
use super::{AtStart, Repository, RepositoryError, Served, check_batching, list, step};
use crate::ServeError;
use crate::residency::Residency;

/// How long a new component may wait for an instance's place, and in which steps.
const INSTANCE_PATIENCE: (u32, Duration) = (100, Duration::from_millis(20));

/// A component that was made a model of.
struct Made {
    model: Residency,
    /// How its machine code came to be there, and how long that took; absent where it was not looked at.
    loaded: Option<(ColdStep, Duration)>,
    identity: Identity,
}

/// Why a component was not made a model of.
struct Failure {
    error: ServeError,
    /// What was there, where that will not do however often it is tried.
    tried: Option<Identity>,
}

/// A failure that may be none the next time.
fn passing(error: ServeError) -> Box<Failure> {
    Box::new(Failure { error, tried: None })
}

// === impl Repository ===

impl Repository {
    /// Loads the components at `paths`: files, and directories, which may hold files that end in `.wasm`, and directories
    /// `NAME/VERSION/model.wasm`.
    ///
    /// # Errors
    ///
    /// A path cannot be read; a component that is named itself cannot be loaded, or one is there twice. Where the paths are not
    /// `watched`, nothing can be missing or broken in a directory either; where they are, that may still come right.
    pub fn load(
        runtime: &Runtime,
        paths: &[PathBuf],
        watched: bool,
        at_start: AtStart,
    ) -> Result<Repository, ServeError> {
        let start = Instant::now();
        let runtime = Some(runtime.clone());
        let repository = Repository { runtime, paths: paths.to_vec(), at_start, ..Repository::default() };
        let mut scan = Scan::of(paths);
        if let Some((path, reason)) = scan.unreadable.pop() {
            return Err(ServeError::Path { path, reason });
        }
        for path in paths {
            if !scan.sightings.iter().any(|sighting| sighting.root == *path) {
                let empty = ServeError::EmptyDirectory { path: path.clone() };
                if !watched {
                    return Err(empty);
                }
                tracing::warn!("{empty}: it is waited for");
            }
        }
        let mut paths = BTreeSet::new();
        for sighting in &scan.sightings {
            let path = sighting.path.clone();
            if sighting.identity.is_none() && !watched {
                return Err(ServeError::NoComponent { path });
            }
            if !paths.insert(path.clone()) {
                return Err(ServeError::DuplicatePath { path });
            }
        }
        let due = repository.records().see(scan, Look::Start).due;
        for path in due {
            let is_named = repository.records().get(&path).is_some_and(|record| record.place == Place::Named);
            if let Err(error) = repository.bring_in(&path, None, None)
                && (is_named || !watched || matches!(*error, ServeError::Duplicate { .. }))
            {
                return Err(*error);
            }
        }
        repository.publish(&mut repository.records());
        if at_start == AtStart::Registered {
            tracing::info!(models = repository.models().len(), ms = start.elapsed().as_millis(), "registered");
        }
        Ok(repository)
    }

    /// Looks at the paths: loads what is new and whole, and drops what is gone.
    pub fn look(&self, observer: &dyn Observer) {
        let _turn = self.turn();
        let scan = Scan::of(&self.paths);
        let due = {
            let mut records = self.records();
            let seen = records.see(scan, Look::Poll);
            if seen.changed {
                self.publish(&mut records);
            }
            seen.due
        };
        for path in due {
            // The index tells why, and the log did.
            let _ = self.bring_in(&path, None, Some(observer));
        }
    }

    /// Loads a model, or one version of it, from the files as they are now; what is loaded as it is stays. It stays loaded
    /// until it is unloaded or its file is gone.
    ///
    /// # Errors
    ///
    /// There is no such thing, or not all of it can be loaded; what can be, is.
    pub fn load_model(
        &self,
        name: &str,
        version: Option<&str>,
        observer: &dyn Observer,
    ) -> Result<Vec<Entry>, RepositoryError> {
        let _turn = self.turn();
        let scan = Scan::of(&self.paths);
        let wanted = {
            let mut records = self.records();
            records.see(scan, Look::Model(name));
            let wanted = records.want(name, version);
            self.publish(&mut records);
            wanted
        };
        for path in wanted {
            let _ = self.bring_in(&path, Some((name, version)), Some(observer));
        }
        self.check_known(name, version)?;
        let failures = self.records().failures(name, version);
        if failures.is_empty() {
            return Ok(self.entries(name));
        }
        let reasons: Vec<_> =
            failures.iter().map(|(version, reason)| format!("version {version:?}: {reason}")).collect();
        Err(RepositoryError::NotLoaded { name: name.to_owned(), reasons: reasons.join("; ") })
    }

    /// Unloads a model, or one version of it: requests that have begun end as they would have. It stays so, whatever happens
    /// to its files, until it is loaded.
    ///
    /// # Errors
    ///
    /// There is no such thing.
    pub fn unload_model(&self, name: &str, version: Option<&str>) -> Result<Vec<Entry>, RepositoryError> {
        let mut records = self.records();
        if records.unload(name, version) {
            tracing::info!(model = name, version, "unloaded");
            self.publish(&mut records);
        }
        drop(records);
        self.check_known(name, version)?;
        Ok(self.entries(name))
    }

    /// Makes a model of a component, and has it be served in the place of what was served from there. `asked` is what alone is
    /// to be loaded. Without an observer the server does not run yet.
    fn bring_in(
        &self,
        path: &Path,
        asked: Option<(&str, Option<&str>)>,
        observer: Option<&dyn Observer>,
    ) -> Result<(), Box<ServeError>> {
        let place = {
            let mut records = self.records();
            let Some(place) = records.get(path).map(|record| record.place.clone()) else { return Ok(()) };
            records.begin(path);
            if observer.is_some() {
                self.publish(&mut records);
            }
            place
        };
        let made = self.make(path, &place, observer.is_some());
        let mut records = self.records();
        let result = made.and_then(|Made { model, loaded, identity }| {
            let metadata = model.metadata();
            let key: Key = (metadata.name.clone(), metadata.version.clone());
            let is_asked =
                asked.is_none_or(|(name, version)| key.0 == name && version.is_none_or(|version| key.1 == version));
            if !is_asked || records.is_unloaded(&key) {
                records.pass_over(path, key);
                return Ok(());
            }
            if let Some(first) = records.served_from(&key, path) {
                let (name, version) = key;
                let error = ServeError::Duplicate { name, version, first, second: path.to_owned() };
                return Err(Box::new(Failure { error, tried: Some(identity) }));
            }
            let terms = records.terms.get(&key.0).cloned().unwrap_or_default();
            if let Err(error) = check_batching(&terms, metadata) {
                return Err(Box::new(Failure { error, tried: Some(identity) }));
            }
            let terms = ArcSwap::from_pointee(terms);
            let counters = records.counters(&key);
            let (lane, series, warm, over_budget) =
                <(OnceLock<_>, OnceLock<_>, [AtomicBool; 2], AtomicBool)>::default();
            let path = path.to_owned();
            let is_mapped = model.usage().is_some();
            // Of many that are registered, those are told of that took long.
            if let Some((step, time)) = loaded.filter(|(step, _)| is_mapped || *step == ColdStep::Compile) {
                tracing::info!(
                    model = metadata.name,
                    version = metadata.version,
                    path = %path.display(),
                    code = if step == ColdStep::Compile { "compiled" } else { "cached" },
                    ms = time.as_millis(),
                    "loaded"
                );
            }
            let loaded = loaded.filter(|_| is_mapped);
            let served = Arc::new(Served { model, path, terms, lane, series, loaded, warm, over_budget, counters });
            if let Some(observer) = observer {
                observer.loaded(&served);
            }
            records.install(&served.path, identity, Arc::clone(&served));
            Ok(())
        });
        let result = result.map_err(|failure| {
            let Failure { error, tried } = *failure;
            // What is tried over and over is told once.
            if let Some(name) = records.fail(path, tried, &error) {
                tracing::error!(%error, "not loaded");
                match observer {
                    Some(observer) => observer.failed(&name),
                    None => records.failed.push(name),
                }
            }
            Box::new(error)
        });
        if observer.is_some() {
            self.publish(&mut records);
        }
        result
    }

    /// Makes a model of a component; with `tried`, after an instance could be made of it.
    fn make(&self, path: &Path, place: &Place, tried: bool) -> Result<Made, Box<Failure>> {
        let Some(runtime) = &self.runtime else { return Err(passing(ServeError::Changing { path: path.to_owned() })) };
        let unreadable = |reason| passing(ServeError::Path { path: path.to_owned(), reason });
        let identity = Identity::of(path).map_err(unreadable)?;
        if let (false, AtStart::Registered) = (tried, self.at_start)
            && let Some(metadata) = known(runtime, path)
        {
            let model = Residency::registered(runtime, path.to_owned(), named(place, metadata));
            return Ok(Made { model, loaded: None, identity });
        }
        let start = Instant::now();
        let made = runtime.load(path).map_err(|reason| ServeError::Load { path: path.to_owned(), reason });
        let made = made.and_then(|model| {
            if tried {
                try_out(&model).map_err(|reason| ServeError::Instantiate { path: path.to_owned(), reason })?;
            }
            Ok(model)
        });
        if Identity::of(path).map_err(unreadable)? != identity {
            return Err(passing(ServeError::Changing { path: path.to_owned() }));
        }
        let model = made.map_err(|error| match error {
            ServeError::Instantiate { reason: InferError::Instances { .. }, .. } => passing(error),
            error => Box::new(Failure { error, tried: Some(identity.clone()) }),
        })?;
        let own = model.metadata();
        let model = match place {
            Place::Version { name, version } if own.name != *name || own.version != *version => {
                model.served_as(name, version)
            }
            _ => model,
        };
        let loaded = Some((step(model.origin()), start.elapsed()));
        let path = path.to_owned();
        let model = if !tried && self.at_start == AtStart::Registered && model.graph().is_none() {
            Residency::registered(runtime, path, model.metadata().clone())
        } else {
            Residency::mapped(runtime, path, model)
        };
        Ok(Made { model, loaded, identity })
    }

    pub(super) fn check_known(&self, name: &str, version: Option<&str>) -> Result<(), RepositoryError> {
        let records = self.records();
        let mut versions = records.keys(name).map(|key| key.1.as_str()).peekable();
        if versions.peek().is_none() {
            let known = list(records.names().into_iter());
            return Err(RepositoryError::UnknownModel { name: name.to_owned(), known });
        }
        let versions: Vec<&str> = versions.collect();
        match version {
            Some(version) if !versions.contains(&version) => {
                let known = list(versions.into_iter());
                Err(RepositoryError::UnknownVersion { name: name.to_owned(), version: version.to_owned(), known })
            }
            _ => Ok(()),
        }
    }

    fn entries(&self, name: &str) -> Vec<Entry> {
        self.catalog().index().iter().filter(|entry| entry.name == name).cloned().collect()
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of the model in a file, where it need not be mapped for that. Graphs that the host runs are loaded with the model,
/// as functions may ask for them too.
fn known(runtime: &Runtime, path: &Path) -> Option<ModelMetadata> {
    let about = runtime.about(path)?;
    about.manifest.is_none_or(|manifest| manifest.nn.is_none()).then_some(about.metadata)
}

/// The same model, as it is served from a place.
fn named(place: &Place, metadata: ModelMetadata) -> ModelMetadata {
    match place {
        Place::Version { name, version } => ModelMetadata { name: name.clone(), version: version.clone(), ..metadata },
        Place::Named | Place::Flat => metadata,
    }
}

/// Makes an instance, and waits for a place where requests have them all.
fn try_out(model: &Model) -> Result<(), InferError> {
    let (times, pause) = INSTANCE_PATIENCE;
    for _ in 1..times {
        match model.instantiate() {
            Err(InferError::Instances { .. }) => thread::sleep(pause),
            other => return other.map(drop),
        }
    }
    model.instantiate().map(drop)
}
