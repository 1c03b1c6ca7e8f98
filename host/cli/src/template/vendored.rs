//! What a function project carries, since no registry has it: the SDK, and the interfaces that it is generated from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The SDK's package.
pub const SDK: &str = "samara-function";

/// Embeds files of the checkout, each under the path that it has in a project.
macro_rules! embed {
    ($($path:literal: $file:literal,)*) => {
        &[$(($path, include_str!(concat!("../../../../", $file))),)*]
    };
}

/// The files that are carried as they are. The SDK finds the interfaces at `../../wit`, here as in the checkout.
pub const FILES: &[(&str, &str)] = embed! {
    "vendor/samara-function/LICENSE-APACHE": "LICENSE-APACHE",
    "vendor/samara-function/LICENSE-MIT": "LICENSE-MIT",
    "vendor/samara-function/src/accept.rs": "functions/sdk/src/accept.rs",
    "vendor/samara-function/src/component.rs": "functions/sdk/src/component.rs",
    "vendor/samara-function/src/component/handler.rs": "functions/sdk/src/component/handler.rs",
    "vendor/samara-function/src/function.rs": "functions/sdk/src/function.rs",
    "vendor/samara-function/src/lib.rs": "functions/sdk/src/lib.rs",
    "vendor/samara-function/src/model.rs": "functions/sdk/src/model.rs",
    "vendor/samara-function/src/problem.rs": "functions/sdk/src/problem.rs",
    "vendor/samara-function/src/request.rs": "functions/sdk/src/request.rs",
    "vendor/samara-function/src/response.rs": "functions/sdk/src/response.rs",
    "vendor/samara-function/src/tensor.rs": "functions/sdk/src/tensor.rs",
    "vendor/samara-function/src/testing.rs": "functions/sdk/src/testing.rs",
    "wit/adapter.wit": "wit/adapter.wit",
    "wit/deps/clocks/clocks.wit": "wit/deps/clocks/clocks.wit",
    "wit/deps/http/http.wit": "wit/deps/http/http.wit",
    "wit/deps/io/io.wit": "wit/deps/io/io.wit",
    "wit/deps/nn/wasi-nn.wit": "wit/deps/nn/wasi-nn.wit",
    "wit/model.wit": "wit/model.wit",
};

/// Where a project has the SDK's manifest, which is made by [`manifest`].
pub const MANIFEST_PATH: &str = "vendor/samara-function/Cargo.toml";

const MANIFEST: &str = include_str!("../../../../functions/sdk/Cargo.toml");
const WORKSPACE: &str = include_str!("../../../../functions/Cargo.toml");
const LOCK: &str = include_str!("../../../../functions/Cargo.lock");

/// The SDK's manifest, which inherits from a workspace.
struct Inherited {
    manifest: Table,
    workspace: Table,
}

/// A lock file.
#[derive(Deserialize, Serialize)]
pub struct Lock {
    version: u32,
    #[serde(rename(deserialize = "package", serialize = "packages"))]
    packages: Vec<Package>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The SDK's manifest, standing alone.
pub fn manifest() -> Result<String> {
    let mut manifest = Inherited::read()?.resolve()?;
    // How we want our own code to be is nothing to a project's builds.
    manifest.remove("lints");
    // The package comes first, as people write it.
    let package = Table::from_iter(manifest.remove_entry("package"));
    Ok(format!("{}\n{}", toml::to_string(&package)?, toml::to_string(&manifest)?))
}

/// The version of Rust that the SDK needs.
pub fn rust_version() -> Result<String> {
    package_text("rust-version")
}

/// Where Samara lives.
pub fn repository() -> Result<String> {
    package_text("repository")
}

fn package_text(key: &str) -> Result<String> {
    let manifest = Inherited::read()?.resolve()?;
    let value = manifest.get("package").and_then(|package| package.get(key)).and_then(Value::as_str);
    value.map(str::to_owned).with_context(|| format!("the SDK's manifest has no {key}"))
}

// === impl Inherited ===

impl Inherited {
    fn read() -> Result<Inherited> {
        let mut workspace: Table = WORKSPACE.parse()?;
        let workspace = match workspace.remove("workspace") {
            Some(Value::Table(workspace)) => workspace,
            _ => Table::new(),
        };
        Ok(Inherited { manifest: MANIFEST.parse()?, workspace })
    }

    /// Puts what the workspace says where the manifest says `workspace = true`, in the package and the dependencies.
    fn resolve(mut self) -> Result<Table> {
        for section in ["package", "dependencies"] {
            let Some(Value::Table(entries)) = self.manifest.get_mut(section) else { continue };
            for (key, value) in entries.iter_mut() {
                if value.get("workspace").is_some() {
                    let inherited = self.workspace.get(section).and_then(|section| section.get(key));
                    *value = inherited.with_context(|| format!("the workspace has no {section}.{key}"))?.clone();
                }
            }
        }
        Ok(self.manifest)
    }
}

// === impl Lock ===

impl Lock {
    /// The lock file of a project that depends on the SDK and on packages that the SDK depends on too.
    ///
    /// Its versions are those that the SDK is tested with.
    pub fn of(name: &str, version: &str, shared: &[&str]) -> Result<Lock> {
        let all: Lock = toml::from_str(LOCK).context("the lock file")?;
        let mut reached = BTreeSet::new();
        let mut pending = vec![all.find(SDK)?];
        while let Some(index) = pending.pop() {
            if reached.insert(index) {
                for dependency in &all.packages[index].dependencies {
                    pending.push(all.find(dependency)?);
                }
            }
        }
        let mut packages: Vec<Package> = reached.into_iter().map(|index| all.packages[index].clone()).collect();
        let mut dependencies: Vec<String> = shared.iter().chain([&SDK]).map(|&name| name.to_owned()).collect();
        dependencies.sort();
        packages.push(Package {
            name: name.to_owned(),
            version: version.to_owned(),
            source: None,
            checksum: None,
            dependencies,
        });
        packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        let mut lock = Lock { version: all.version, packages };
        lock.shorten();
        Ok(lock)
    }

    /// How many packages have this name.
    pub fn names(&self, name: &str) -> usize {
        self.packages.iter().filter(|package| package.name == name).count()
    }

    /// The package that a dependency names: by its name alone where there is one version, else with the version.
    fn find(&self, dependency: &str) -> Result<usize> {
        let mut words = dependency.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let is_meant =
            |package: &Package| package.name == name && version.is_none_or(|version| version == package.version);
        self.packages.iter().position(is_meant).with_context(|| format!("the lock file has no {dependency}"))
    }

    /// Names dependencies without their version where there is but one, as Cargo does.
    fn shorten(&mut self) {
        let mut versions: BTreeMap<String, usize> = BTreeMap::new();
        for package in &self.packages {
            *versions.entry(package.name.clone()).or_default() += 1;
        }
        for dependency in self.packages.iter_mut().flat_map(|package| &mut package.dependencies) {
            if let Some((name, _)) = dependency.split_once(' ')
                && versions.get(name) == Some(&1)
            {
                *dependency = name.to_owned();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn checkout() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// All files below a directory, relative to it.
    fn files_below(directory: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut pending = vec![directory.to_owned()];
        while let Some(next) = pending.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    pending.push(path);
                } else {
                    found.insert(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found
    }

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn every_file_is_carried() {
        for (directory, prefix) in [("functions/sdk", "vendor/samara-function/"), ("wit", "wit/")] {
            let mut carried: BTreeSet<String> = FILES
                .iter()
                .filter_map(|(path, _)| path.strip_prefix(prefix))
                .filter(|path| !path.starts_with("LICENSE"))
                .map(str::to_owned)
                .collect();
            if directory == "functions/sdk" {
                carried.insert("Cargo.toml".to_owned());
            }
            assert_eq!(carried, files_below(&checkout().join(directory)), "{directory}");
        }
    }

    #[test]
    fn a_file_is_carried_as_it_is() {
        for (path, content) in FILES {
            let file = match path.strip_prefix("vendor/samara-function/") {
                Some(file) if file.starts_with("LICENSE") => file.to_owned(),
                Some(file) => format!("functions/sdk/{file}"),
                None => (*path).to_owned(),
            };
            assert_eq!(std::fs::read_to_string(checkout().join(file)).unwrap(), *content, "{path}");
        }
    }

    #[test]
    fn the_manifest_says_the_same_without_a_workspace() {
        let text = manifest().unwrap();
        assert!(!text.contains("workspace"), "{text}");
        let (ours, original) = (table(&text), table(MANIFEST));
        for section in ["dependencies", "features", "target"] {
            assert_eq!(ours[section], original[section], "{section}");
        }
        let workspace = table(WORKSPACE);
        for key in ["version", "edition", "rust-version", "license"] {
            assert_eq!(ours["package"][key], workspace["workspace"]["package"][key], "{key}");
        }
        let keys = |table: &Table| -> Vec<String> { table.keys().filter(|key| *key != "lints").cloned().collect() };
        assert_eq!(keys(&ours), keys(&original));
    }

    #[test]
    fn the_lock_holds_what_is_needed_and_no_more() {
        let lock = Lock::of("app", "0.1.0", &["serde", "serde_json"]).unwrap();
        for name in ["app", SDK, "serde", "serde_json", "wit-bindgen", "mediatype", "form_urlencoded"] {
            assert_eq!(lock.names(name), 1, "{name}");
        }
        // A source of random numbers would need flags to build.
        for name in ["getrandom", "tract-core", "samara-engine", "csv"] {
            assert_eq!(lock.names(name), 0, "{name}");
        }
        for package in &lock.packages {
            for dependency in &package.dependencies {
                lock.find(dependency).unwrap();
            }
        }
    }
}
