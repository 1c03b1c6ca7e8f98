//! What a repository holds at one moment, as requests see it. It never changes: there is another one after each change.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use samara_protocol::Error;
use serde::Serialize;

use super::split::Shares;
use super::traffic::Traffic;
use super::{Served, compare_versions, list};
use crate::workers::RETRY_AFTER;

/// What a repository holds at one moment.
#[derive(Default)]
pub struct Catalog {
    /// The models of which a version is loaded.
    models: BTreeMap<String, Arc<Versions>>,
    /// Everything that is known.
    index: Vec<Entry>,
}

/// The versions of a model that are loaded: one at least.
pub struct Versions {
    /// Oldest first.
    versions: Vec<Arc<Served>>,
    /// How requests that name none are divided among them; absent where the newest answers.
    shares: Option<Shares>,
    sticky: Option<HeaderName>,
}

/// A version of a model that a repository knows: a row of the protocol's index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub name: String,
    pub version: String,
    pub state: State,
    /// Why it is not ready, or not what its file holds now.
    pub reason: String,
}

/// What can be done with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// It answers.
    Ready,
    /// It does not.
    Unavailable,
    /// It does not yet.
    Loading,
}

// === impl State ===

impl State {
    /// Its name, as Triton has it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Ready => "READY",
            State::Unavailable => "UNAVAILABLE",
            State::Loading => "LOADING",
        }
    }
}

// === impl Catalog ===

impl Catalog {
    /// A catalog of what is loaded and of what is known. `traffic` says how requests are divided.
    pub fn new(loaded: Vec<Arc<Served>>, mut index: Vec<Entry>, traffic: &mut BTreeMap<String, Traffic>) -> Catalog {
        let mut by_name: BTreeMap<String, Vec<Arc<Served>>> = BTreeMap::new();
        for served in loaded {
            by_name.entry(served.metadata().name.clone()).or_default().push(served);
        }
        let models = by_name.into_iter().map(|(name, versions)| {
            let traffic = traffic.entry(name.clone()).or_default();
            (name, Arc::new(Versions::new(versions, traffic)))
        });
        let models = models.collect();
        index.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| compare_versions(&a.version, &b.version)));
        Catalog { models, index }
    }

    /// All models in all versions, by name, oldest first.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.by_model().flat_map(Versions::all)
    }

    /// The versions of each model, by name.
    pub fn by_model(&self) -> impl Iterator<Item = &Versions> {
        self.models.values().map(|versions| &**versions)
    }

    /// Everything that is known, by name, oldest first.
    pub fn index(&self) -> &[Entry] {
        &self.index
    }

    /// The versions of the model of this name.
    pub fn versions(&self, name: &str) -> Result<&Versions, Error> {
        match self.models.get(name) {
            Some(versions) => Ok(versions),
            None => Err(self.not_ready(name, None).unwrap_or_else(|| {
                let known = list(self.models.keys().map(String::as_str));
                Error::NotFound(format!("unknown model {name:?}: there is {known}"))
            })),
        }
    }

    /// The model of this name in this version.
    pub fn version(&self, name: &str, version: &str) -> Result<&Arc<Served>, Error> {
        let versions = self.versions(name)?;
        versions.all().find(|served| served.metadata().version == version).ok_or_else(|| {
            self.not_ready(name, Some(version)).unwrap_or_else(|| {
                let known = list(versions.all().map(|served| served.metadata().version.as_str()));
                Error::NotFound(format!("unknown version {version:?} of model {name:?}: there is {known}"))
            })
        })
    }

    /// What a client is told of a model, or of a version, that is known and does not answer.
    fn not_ready(&self, name: &str, version: Option<&str>) -> Option<Error> {
        let known = self.index.iter().filter(|entry| entry.name == name);
        let mut known = known.filter(|entry| version.is_none_or(|version| entry.version == version)).peekable();
        known.peek()?;
        let loading = known.any(|entry| entry.state == State::Loading);
        let state = if loading { "is being loaded" } else { "is not loaded: POST /v2/repository/index says why" };
        let what = version.map(|version| format!("version {version:?} of ")).unwrap_or_default();
        Some(Error::Unavailable { message: format!("{what}model {name:?} {state}"), retry_after: RETRY_AFTER })
    }
}

// === impl Versions ===

impl Versions {
    fn new(mut versions: Vec<Arc<Served>>, traffic: &mut Traffic) -> Versions {
        versions.sort_by(|a, b| compare_versions(&a.metadata().version, &b.metadata().version));
        traffic.note_newest(versions.last().map(|served| served.metadata().version.as_str()));
        let weights = traffic.split().map(|split| {
            versions.iter().map(|served| split.percentage(&served.metadata().version)).collect::<Vec<_>>()
        });
        // Where none of the split's versions is left, the newest answers.
        let shares = weights.filter(|weights| weights.iter().any(|&weight| weight > 0)).map(Shares::new);
        Versions { versions, shares, sticky: traffic.sticky.clone() }
    }

    /// All of them, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Served>> {
        self.versions.iter()
    }

    /// The one that stands for the model where no version is named: the one with the greatest share, else the newest.
    pub fn main(&self) -> Option<&Arc<Served>> {
        match &self.shares {
            Some(shares) => self.versions.get(shares.greatest()),
            None => self.versions.last(),
        }
    }

    /// The one that answers a request with these headers, which names no version.
    pub fn next(&self, name: &str, headers: &HeaderMap) -> Option<&Arc<Served>> {
        let Some(shares) = &self.shares else { return self.versions.last() };
        let index = match self.sticky.as_ref().and_then(|sticky| headers.get(sticky)) {
            Some(key) => {
                let versions = self.versions.iter().map(|served| served.metadata().version.as_str());
                shares.of_key(name, versions, key.as_bytes())
            }
            None => shares.next(),
        };
        self.versions.get(index)
    }

    /// The share of each version in the requests that name none.
    pub fn shares(&self) -> Vec<(&str, f64)> {
        let weights = match &self.shares {
            Some(shares) => shares.weights().to_vec(),
            None => self.versions.iter().rev().enumerate().map(|(age, _)| u8::from(age == 0)).rev().collect(),
        };
        let sum: f64 = weights.iter().copied().map(f64::from).sum();
        let versions = self.versions.iter().map(|served| served.metadata().version.as_str());
        versions.zip(weights).map(|(version, weight)| (version, f64::from(weight) * 100.0 / sum)).collect()
    }
}
