//! What a repository knows of one component: what was seen of it, what was made of it, and why it is not served.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use samara_runtime::Identity;

use super::Served;
use super::catalog::{Entry, State};
use super::scan::Place;

/// A name and a version.
pub type Key = (String, String);

/// What is known of one component.
pub struct Record {
    pub place: Place,
    pub root: PathBuf,
    /// What it is, as far as its place or its content has told.
    pub key: Option<Key>,
    /// What was there at the last look.
    pub seen: Option<Identity>,
    /// What was made a model of, or could not be.
    pub tried: Option<Identity>,
    /// The files beside it when it could not be loaded.
    pub beside: Option<u64>,
    /// What it would be, if that were not served from another file.
    pub rival: Option<Key>,
    /// Whether nothing was there at the last look.
    pub missed: bool,
    pub loading: bool,
    pub served: Option<Arc<Served>>,
    /// Why it is not served, or not as its file is now; empty where it is.
    pub reason: String,
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

// === impl Record ===

impl Record {
    pub fn new(place: Place, root: PathBuf) -> Record {
        let key = match &place {
            Place::Version { name, version } => Some((name.clone(), version.clone())),
            Place::Named | Place::Flat => None,
        };
        let (seen, tried, beside, rival, missed, loading) = Default::default();
        Record { place, root, key, seen, tried, beside, rival, missed, loading, served: None, reason: String::new() }
    }

    /// Whether it goes, now that nothing was there at a look.
    pub fn is_gone(&mut self, look: Look<'_>) -> bool {
        match look {
            // The directory of a version that has its component now, or that is no more.
            _ if self.seen.is_none() => true,
            Look::Start => true,
            Look::Poll => std::mem::replace(&mut self.missed, true),
            Look::Model(name) => self.key.as_ref().is_some_and(|key| key.0 == name),
        }
    }

    /// Whether it holds something else than what was made a model of.
    pub fn is_other(&self) -> bool {
        self.seen.is_some() && self.seen != self.tried
    }

    pub fn entry(&self, path: &Path) -> Entry {
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
