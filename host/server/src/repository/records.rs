//! What a repository knows of all its components, and what each look at its paths adds to that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use samara_runtime::Identity;

use super::catalog::Catalog;
use super::record::{Key, Look, Record};
use super::scan::{Place, Scan, Sighting};
use super::traffic::Traffic;
use super::unloaded::Unloaded;
use super::{Served, beside};
use crate::statistics::ModelCounters;
use crate::{ServeError, Terms};

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
            self.unloaded.add(name, version);
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
