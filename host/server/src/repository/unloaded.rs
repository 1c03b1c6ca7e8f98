//! What is not to be loaded until somebody asks for it.

use std::collections::BTreeSet;

use super::record::Key;

/// Models, and versions of models, that were unloaded.
#[derive(Default)]
pub struct Unloaded {
    models: BTreeSet<String>,
    versions: BTreeSet<Key>,
}

// === impl Unloaded ===

impl Unloaded {
    pub fn has(&self, key: &Key) -> bool {
        self.models.contains(&key.0) || self.versions.contains(key)
    }

    pub fn add(&mut self, name: &str, version: Option<&str>) {
        match version {
            None => drop(self.models.insert(name.to_owned())),
            Some(version) => drop(self.versions.insert((name.to_owned(), version.to_owned()))),
        }
    }

    /// Has a model, or one version of it, be loaded again; `others` are its other versions.
    pub fn want(&mut self, name: &str, version: Option<&str>, others: Vec<Key>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_of_an_unloaded_model_can_be_wanted() {
        let key = |version: &str| ("m".to_owned(), version.to_owned());
        let mut unloaded = Unloaded::default();
        unloaded.add("m", None);
        assert!(unloaded.has(&key("1")) && unloaded.has(&key("2")));
        unloaded.want("m", Some("2"), vec![key("1")]);
        assert!(unloaded.has(&key("1")) && !unloaded.has(&key("2")));
        // What is new is served: nobody has unloaded that.
        assert!(!unloaded.has(&key("3")));
        unloaded.add("m", Some("2"));
        assert!(unloaded.has(&key("2")));
        unloaded.want("m", None, Vec::new());
        assert!(!unloaded.has(&key("1")) && !unloaded.has(&key("2")));
    }
}
