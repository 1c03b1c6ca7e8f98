//! The models that a server serves.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use samara_admission::LaneId;
use samara_protocol::Error;
use samara_runtime::{CodeOrigin, Model, Runtime};
use samara_telemetry::{ColdStep, Series, Subject};

use crate::statistics::ModelCounters;
use crate::{ServeError, Terms};

/// The models that a server serves, by name and version.
#[derive(Default)]
pub struct Repository {
    /// The versions of each model, oldest first.
    models: BTreeMap<String, Vec<Arc<Served>>>,
}

/// A model, and what has happened to it.
pub struct Served {
    /// The model.
    pub model: Model,
    /// The file that it came from.
    pub path: PathBuf,
    pub(crate) terms: ArcSwap<Terms>,
    /// Where its requests wait; set when the server starts.
    pub(crate) lane: OnceLock<LaneId>,
    /// What is measured of its requests; set when the server starts.
    pub(crate) series: OnceLock<Series>,
    /// How its machine code came to be there, and how long that took.
    pub(crate) loaded: (ColdStep, Duration),
    /// Whether an instance has been made for a request, and whether one has been answered.
    pub(crate) warm: [AtomicBool; 2],
    pub(crate) counters: ModelCounters,
}

impl Served {
    /// What it is in metrics.
    pub(crate) fn subject(&self) -> Subject {
        let metadata = self.model.metadata();
        Subject::Model { name: metadata.name.clone(), version: metadata.version.clone() }
    }
}

impl Repository {
    /// Loads the components at `paths`: files, and directories of files that end in `.wasm`.
    pub fn load(runtime: &Runtime, paths: &[PathBuf]) -> Result<Repository, ServeError> {
        let mut repository = Repository::default();
        for path in paths {
            if path.is_dir() {
                for file in components_in(path)? {
                    repository.load_file(runtime, &file)?;
                }
            } else {
                repository.load_file(runtime, path)?;
            }
        }
        Ok(repository)
    }

    fn load_file(&mut self, runtime: &Runtime, path: &Path) -> Result<(), ServeError> {
        let start = Instant::now();
        let model = runtime.load(path).map_err(|reason| ServeError::Load { path: path.to_owned(), reason })?;
        let loaded = match model.origin() {
            CodeOrigin::Cache => (ColdStep::Map, start.elapsed()),
            CodeOrigin::Compiled(_) => (ColdStep::Compile, start.elapsed()),
        };
        let metadata = model.metadata();
        tracing::info!(
            model = metadata.name,
            version = metadata.version,
            path = %path.display(),
            code = match model.origin() {
                CodeOrigin::Cache => "cached",
                CodeOrigin::Compiled(_) => "compiled",
            },
            ms = start.elapsed().as_millis(),
            "loaded"
        );
        let versions = self.models.entry(metadata.name.clone()).or_default();
        if let Some(first) = versions.iter().find(|served| served.model.metadata().version == metadata.version) {
            return Err(ServeError::Duplicate {
                name: metadata.name.clone(),
                version: metadata.version.clone(),
                first: first.path.clone(),
                second: path.to_owned(),
            });
        }
        let (terms, lane, series, warm, counters) = Default::default();
        let path = path.to_owned();
        versions.push(Arc::new(Served { model, path, terms, lane, series, loaded, warm, counters }));
        versions.sort_by(|a, b| compare_versions(&a.model.metadata().version, &b.model.metadata().version));
        Ok(())
    }

    /// Sets what holds for some models alone, by their names; for all others, what holds for the server does.
    ///
    /// # Errors
    ///
    /// There is no model of one of the names, and nothing has been changed.
    pub fn set_terms(&self, terms: &BTreeMap<String, Terms>) -> Result<(), ServeError> {
        if let Some(name) = terms.keys().find(|name| !self.models.contains_key(*name)) {
            let known = list(self.models.keys().map(String::as_str));
            return Err(ServeError::UnknownModel { name: name.clone(), known });
        }
        for (name, versions) in &self.models {
            let terms = terms.get(name).cloned().unwrap_or_default();
            for served in versions {
                served.terms.store(Arc::new(terms.clone()));
            }
        }
        Ok(())
    }

    /// The versions of each model, oldest first.
    pub(crate) fn by_model(&self) -> impl Iterator<Item = &[Arc<Served>]> {
        self.models.values().map(Vec::as_slice)
    }

    /// All models in all versions, by name, oldest first.
    pub fn models(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.models.values().flatten()
    }

    /// The model of this name: in this version, or in its newest.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Result<&Arc<Served>, Error> {
        let versions = self.versions(name)?;
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|served| served.model.metadata().version == version),
        };
        found.ok_or_else(|| {
            let known = list(versions.iter().map(|served| served.model.metadata().version.as_str()));
            Error::NotFound(format!("unknown version {:?} of model {name:?}: there is {known}", version.unwrap_or("")))
        })
    }

    /// The versions of the model of this name, oldest first.
    pub(crate) fn versions(&self, name: &str) -> Result<&[Arc<Served>], Error> {
        self.models.get(name).map(Vec::as_slice).ok_or_else(|| {
            let known = list(self.models.keys().map(String::as_str));
            Error::NotFound(format!("unknown model {name:?}: there is {known}"))
        })
    }
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

fn components_in(directory: &Path) -> Result<Vec<PathBuf>, ServeError> {
    let unreadable = |reason| ServeError::Directory { path: directory.to_owned(), reason };
    let mut components = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            components.push(path);
        }
    }
    if components.is_empty() {
        return Err(ServeError::EmptyDirectory { path: directory.to_owned() });
    }
    components.sort();
    Ok(components)
}

/// Compares versions number by number where they have numbers, so that 10 comes after 9.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let parts = |version: &str| -> Vec<Result<u64, String>> {
        version.split('.').map(|part| part.parse().map_err(|_| part.to_owned())).collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let mut versions = ["10", "9", "1.10", "1.9", "beta", "1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, ["1", "1.9", "1.10", "9", "10", "beta"]);
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(list(std::iter::empty()), "none");
        assert_eq!(list(["a", "b"].into_iter()), r#""a", "b""#);
        assert!(list(["x"; 20].into_iter()).ends_with("and 12 more"));
    }
}
