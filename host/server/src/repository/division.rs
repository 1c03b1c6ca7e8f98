//! Setting how the requests to a model are divided among its versions, while they come.

use samara_protocol::Error;

use super::traffic::NothingBefore;
use super::{Catalog, Repository, RepositoryError, Split, list};

/// What is set of how a model's requests are divided, and what comes of it.
pub struct Division {
    pub split: Option<Split>,
    /// The percentage of each version that is loaded.
    pub effective: Vec<(String, f64)>,
    pub sticky: Option<String>,
}

// === impl Repository ===

impl Repository {
    /// Divides the requests to a model that name no version; without a split, the newest gets all.
    ///
    /// # Errors
    ///
    /// There is no such model, or a version that would get requests is not loaded. Nothing has been changed.
    pub fn set_split(&self, name: &str, split: Option<Split>) -> Result<(), RepositoryError> {
        self.check_known(name, None)?;
        let mut records = self.records();
        let catalog = self.catalog();
        let loaded = loaded(&catalog, name);
        for (version, percentage) in split.iter().flat_map(Split::iter) {
            if percentage > 0 && !loaded.contains(&version) {
                let loaded = list(loaded.into_iter());
                return Err(RepositoryError::SplitToAbsent {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    loaded,
                });
            }
        }
        records.traffic.entry(name.to_owned()).or_default().set(split);
        self.publish(&mut records);
        Ok(())
    }

    /// Divides the requests to a model as before the last change of that; where there was none, the version before the newest
    /// gets all.
    ///
    /// # Errors
    ///
    /// There is no such model, or nothing to go back to. Nothing has been changed.
    pub fn roll_back(&self, name: &str) -> Result<(), RepositoryError> {
        self.check_known(name, None)?;
        let mut records = self.records();
        let catalog = self.catalog();
        let traffic = records.traffic.entry(name.to_owned()).or_default();
        let rolled_back = traffic.roll_back(&loaded(&catalog, name));
        rolled_back.map_err(|NothingBefore| RepositoryError::NothingBefore { name: name.to_owned() })?;
        self.publish(&mut records);
        Ok(())
    }

    /// How the requests to a model are divided.
    ///
    /// # Errors
    ///
    /// There is no such model.
    pub fn division(&self, name: &str) -> Result<Division, RepositoryError> {
        self.check_known(name, None)?;
        let records = self.records();
        let traffic = records.traffic.get(name);
        let catalog = self.catalog();
        let shares = catalog.versions(name).map(|versions| versions.shares()).unwrap_or_default();
        Ok(Division {
            split: traffic.and_then(|traffic| traffic.split().cloned()),
            effective: shares.into_iter().map(|(version, share)| (version.to_owned(), share)).collect(),
            sticky: traffic.and_then(|traffic| traffic.sticky.as_ref()).map(ToString::to_string),
        })
    }
}

/// The versions of a model that are loaded, oldest first.
fn loaded<'a>(catalog: &'a Catalog, name: &str) -> Vec<&'a str> {
    let versions: Result<_, Error> = catalog.versions(name);
    versions.map_or_else(
        |_| Vec::new(),
        |versions| versions.all().map(|served| served.metadata().version.as_str()).collect(),
    )
}
