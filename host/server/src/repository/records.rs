//! What a repository knows of each component: what was seen of it, what was made of it, and why it is not served.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samara_runtime::Identity;

use super::catalog::{Catalog, Entry, State};
use super::scan::{Place, Scan, Sighting};
use super::traffic::Traffic;
use super::{Served, beside};
use crate::statistics::ModelCounters;
use crate::{ServeError, Terms};

/// A name and a version.
pub type Key = (String, String);

/// Everything that a repository knows.
#[derive(Default)]
pub struct Records {
    /// By the component's file.
    records: BTreeMap<PathBuf, Record>,
    /// What holds for some models alone, by name.
    pub terms: BTreeMap<String, Terms>,
    /// How requests are divided among the versions of models, by name.
    pub traffic: BTreeMap<String, Traffic>,
    /// What has happened to each version, which goes on when it comes again.
    counters: BTreeMap<Key, Arc<ModelCounters>>,
    /// The models of what could not be loaded before the server ran.
    pub failed: Vec<String>,
    /// What is not to be loaded until somebody asks for it.
    unloaded: Unloaded,
    /// Paths that could not be looked at the last time.
    unreadable: BTreeSet<PathBuf>,
}

/// What is known of one component.
pub struct Record {
    pub place: Place,
    root: PathBuf,
    /// What it is, as far as its place or its content has told.
    key: Option<Key>,
    /// What was there at the last look.
    seen: Option<Identity>,
    /// What was made a model of, or could not be.
    tried: Option<Identity>,
    /// The files beside it when it could not be loaded.
    beside: Option<u64>,
    /// What it would be, if that were not served from another file.
    rival: Option<Key>,
    /// Whether nothing was there at the last look.
    missed: bool,
    loading: bool,
    served: Option<Arc<Served>>,
    /// Why it is not served, or not as its file is now; empty where it is.
    reason: String,
}

#[derive(Default)]
struct Unloaded {
    models: BTreeSet<String>,
    versions: BTreeSet<Key>,
}

/// Why the paths are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// The server starts: what is there is due.
    Start,
    /// It is time: what is new is due, and what is gone goes, when that has been so for two looks.
    Poll,
    /// A model is to be loaded: what is gone of it goes.
    Model(&'a str),
}

/// What a look at the paths has led to.
#[derive(Default)]
pub struct Seen {
    /// Components that are new, or new again, and whole.
    pub due: Vec<PathBuf>,
    /// Whether anything else is different now.
    pub changed: bool,
}

// === impl Records ===

impl Records {
    pub fn get(&self, path: &Path) -> Option<&Record> {
        self.records.get(path)
    }

    /// Takes in what was seen: notes what is due, and drops what is gone.
    pub fn see(&mut self, scan: Scan, look: Look<'_>) -> Seen {
        let mut seen = Seen::default();
        for (path, error) in &scan.unreadable {
            if self.unreadable.insert(path.clone()) {
                tracing::warn!(path = %path.display(), %error, "cannot be read: what it held stays as it is");
            }
        }
        let unreadable = |root: &Path| scan.unreadable.iter().any(|(path, _)| path == root);
        self.unreadable.retain(|path| unreadable(path));
        let there: BTreeSet<&Path> = scan.sightings.iter().map(|sighting| sighting.path.as_path()).collect();
        let gone: Vec<PathBuf> = self
            .records
            .iter_mut()
            .filter(|(path, record)| !there.contains(path.as_path()) && !unreadable(&record.root))
            .filter_map(|(path, record)| record.is_gone(look).then(|| path.clone()))
            .collect();
        for path in gone {
            self.forget(&path);
            seen.changed = true;
        }
        for sighting in scan.sightings {
            let (is_due, is_new) = self.sight(&sighting, look);
            seen.changed |= is_new;
            if is_due {
                seen.due.push(sighting.path);
            }
        }
        // Their place has become free.
        let free = |path: &Path, record: &Record| {
            record.rival.as_ref().is_some_and(|key| self.served_from(key, path).is_none() && !self.unloaded.has(key))
        };
        let freed = self.records.iter().filter(|(path, record)| free(path, record)).map(|(path, _)| path.clone());
        let freed: Vec<PathBuf> = freed.filter(|path| !seen.due.contains(path)).collect();
        seen.due.extend(freed);
        seen
    }

    /// Whether what was seen is due, and whether it was not known before.
    fn sight(&mut self, sighting: &Sighting, look: Look<'_>) -> (bool, bool) {
        let Sighting { path, place, root, identity } = sighting;
        let is_new = !self.records.contains_key(path);
        let record = self.records.entry(path.clone()).or_insert_with(|| Record::new(place.clone(), root.clone()));
        record.missed = false;
        let Some(identity) = identity else {
            if is_new {
                record.reason = ServeError::NoComponent { path: path.clone() }.to_string();
                tracing::warn!(reason = record.reason, "not loaded");
            }
            return (false, is_new);
        };
        let is_whole = look == Look::Start || record.seen.as_ref() == Some(identity);
        record.seen = Some(identity.clone());
        let is_held = record.key.as_ref().is_some_and(|key| self.unloaded.has(key));
        let is_tried = record.tried.as_ref() == Some(identity);
        // Where something was missing, a file beside it may be what was.
        let is_other = is_tried && record.beside.is_some_and(|before| before != beside(path));
        let is_due = is_whole && !is_held && (!is_tried || is_other);
        if is_new && !is_due {
            record.reason = "it is waited for until it is whole: until it has not changed for a while".to_owned();
        }
        (is_due, is_new)
    }

    fn forget(&mut self, path: &Path) {
        let Some(record) = self.records.remove(path) else { return };
        if let Some(served) = record.served {
            let metadata = served.metadata();
            tracing::info!(model = metadata.name, version = metadata.version, path = %path.display(), "its file is gone");
        }
    }

    /// Notes that a component is being loaded.
    pub fn begin(&mut self, path: &Path) {
        if let Some(record) = self.records.get_mut(path) {
            record.loading = true;
        }
    }

    /// Notes that a component is not loaded after all: what it held before goes on being served. Where that is new, gives the
    /// model's name, which is empty where it is not known.
    pub fn fail(&mut self, path: &Path, tried: Option<Identity>, error: &ServeError) -> Option<String> {
        let record = self.records.get_mut(path)?;
        (record.loading, record.tried, record.beside) = (false, tried, Some(beside(path)));
        if let ServeError::Duplicate { name, version, .. } = error {
            let rival = (name.clone(), version.clone());
            record.key.get_or_insert_with(|| rival.clone());
            record.rival = Some(rival);
        }
        let reason = match &record.served {
            Some(_) => format!("its file has changed, but what it held before is served: {error}"),
            None => error.to_string(),
        };
        let is_new = record.reason != reason;
        record.reason = reason;
        is_new.then(|| record.key.as_ref().map(|(name, _)| name.clone()).unwrap_or_default())
    }

    /// Notes that a component turned out to be none that is asked for.
    pub fn pass_over(&mut self, path: &Path, key: Key) {
        if let Some(record) = self.records.get_mut(path) {
            record.loading = false;
            if record.served.is_none() {
                record.key = Some(key);
                record.reason = UNLOADED.to_owned();
            }
        }
    }

    /// Has this model be served from a file, in the place of what was served from there.
    pub fn install(&mut self, path: &Path, tried: Identity, served: Arc<Served>) {
        if let Some(record) = self.records.get_mut(path) {
            let metadata = served.metadata();
            record.key = Some((metadata.name.clone(), metadata.version.clone()));
            (record.loading, record.tried, record.beside, record.rival) = (false, Some(tried), None, None);
            record.served = Some(served);
            record.reason.clear();
        }
    }

    /// The file from which a version is served already, other than this one.
    pub fn served_from(&self, key: &Key, other_than: &Path) -> Option<PathBuf> {
        let mut others = self.records.iter().filter(|(path, _)| *path != other_than);
        others
            .find(|(_, record)| record.served.is_some() && record.key.as_ref() == Some(key))
            .map(|(path, _)| path.clone())
    }

    /// What has happened to a version.
    pub fn counters(&mut self, key: &Key) -> Arc<ModelCounters> {
        Arc::clone(self.counters.entry(key.clone()).or_default())
    }

    /// Whether a version is not to be loaded until somebody asks for it.
    pub fn is_unloaded(&self, key: &Key) -> bool {
        self.unloaded.has(key)
    }

    /// Has what is asked for be loaded again: the files of the model, or of one version, and those of which it is not known what
    /// they are.
    pub fn want(&mut self, name: &str, version: Option<&str>) -> Vec<PathBuf> {
        let others = self.keys(name).filter(|key| Some(key.1.as_str()) != version).cloned().collect();
        self.unloaded.want(name, version, others);
        let wanted = self.records.iter().filter(|(_, record)| match &record.key {
            Some(key) if is_asked_for(key, name, version) => record.served.is_none() || record.is_other(),
            // Its content may be another by now.
            _ => !matches!(record.place, Place::Version { .. }) && record.is_other(),
        });
        wanted.filter(|(_, record)| record.seen.is_some()).map(|(path, _)| path.clone()).collect()
    }

    /// Takes a model, or one version of it, out. Says whether there is any such thing.
    pub fn unload(&mut self, name: &str, version: Option<&str>) -> bool {
        let mut known = false;
        for record in self.records.values_mut() {
            if record.key.as_ref().is_some_and(|key| is_asked_for(key, name, version)) {
                known = true;
                if record.served.take().is_some() {
                    record.reason = UNLOADED.to_owned();
                    record.tried = None;
                }
            }
        }
        if known {
            match version {
                None => drop(self.unloaded.models.insert(name.to_owned())),
                Some(version) => drop(self.unloaded.versions.insert((name.to_owned(), version.to_owned()))),
            }
        }
        known
    }

    /// The names and versions that are known of a model, whether they are served or not.
    pub fn keys<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Key> {
        self.records.values().filter_map(|record| record.key.as_ref()).filter(move |key| key.0 == name)
    }

    /// The names of all models that are known.
    pub fn names(&self) -> BTreeSet<&str> {
        self.records.values().filter_map(|record| Some(record.key.as_ref()?.0.as_str())).collect()
    }

    /// Why a model, or a version of it, is not served as its files are, by version.
    pub fn failures(&self, name: &str, version: Option<&str>) -> Vec<(String, String)> {
        let asked = self.records.values().filter_map(|record| {
            let key = record.key.as_ref().filter(|key| is_asked_for(key, name, version))?;
            (!record.reason.is_empty()).then(|| (key.1.clone(), record.reason.clone()))
        });
        asked.collect()
    }

    /// All that is served.
    pub fn served(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.records.values().filter_map(|record| record.served.as_ref())
    }

    /// All of it as requests see it.
    pub fn catalog(&mut self) -> Catalog {
        let loaded = self.served().cloned().collect();
        let index = self.records.iter().map(|(path, record)| record.entry(path)).collect();
        Catalog::new(loaded, index, &mut self.traffic)
    }
}

/// Why what was unloaded is not served.
const UNLOADED: &str = "unloaded";

fn is_asked_for(key: &Key, name: &str, version: Option<&str>) -> bool {
    key.0 == name && version.is_none_or(|version| key.1 == version)
}

// === impl Record ===

impl Record {
    fn new(place: Place, root: PathBuf) -> Record {
        let key = match &place {
            Place::Version { name, version } => Some((name.clone(), version.clone())),
            Place::Named | Place::Flat => None,
        };
        let (seen, tried, beside, rival, missed, loading) = Default::default();
        Record { place, root, key, seen, tried, beside, rival, missed, loading, served: None, reason: String::new() }
    }

    /// Whether it goes, now that nothing was there at a look.
    fn is_gone(&mut self, look: Look<'_>) -> bool {
        match look {
            // The directory of a version that has its component now, or that is no more.
            _ if self.seen.is_none() => true,
            Look::Start => true,
            Look::Poll => std::mem::replace(&mut self.missed, true),
            Look::Model(name) => self.key.as_ref().is_some_and(|key| key.0 == name),
        }
    }

    /// Whether it holds something else than what was made a model of.
    fn is_other(&self) -> bool {
        self.seen.is_some() && self.seen != self.tried
    }

    fn entry(&self, path: &Path) -> Entry {
        let (name, version) = self.key.clone().unwrap_or_else(|| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            (stem.unwrap_or_default(), String::new())
        });
        let state = match (&self.served, self.loading) {
            (Some(_), _) => State::Ready,
            (None, true) => State::Loading,
            (None, false) => State::Unavailable,
        };
        let reason = if self.loading { String::new() } else { self.reason.clone() };
        Entry { name, version, state, reason }
    }
}

// === impl Unloaded ===

impl Unloaded {
    fn has(&self, key: &Key) -> bool {
        self.models.contains(&key.0) || self.versions.contains(key)
    }

    /// Has a model, or one version of it, be loaded again; `others` are its other versions.
    fn want(&mut self, name: &str, version: Option<&str>, others: Vec<Key>) {
        let whole = self.models.remove(name);
        match version {
            None => self.versions.retain(|key| key.0 != name),
            Some(version) => {
                if whole {
                    self.versions.extend(others);
                }
                self.versions.remove(&(name.to_owned(), version.to_owned()));
            }
        }
    }
}
