//! What lies in the directories of a repository.
//!
//! A directory holds components as files that end in `.wasm`, whose name and version are the component's own; or, as
//! [Triton](https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_repository.md) has it,
//! directories `NAME/VERSION/model.wasm`, whose name and version are the model's; or both. Names that begin with a dot are
//! passed over: they belong to what is being written, and to Kubernetes' volumes.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use samara_runtime::Identity;

/// The component's file in the directory of a version.
pub const COMPONENT: &str = "model.wasm";

/// What there is of a repository at one moment.
#[derive(Default)]
pub struct Scan {
    /// In the order of the paths, and of names within a directory.
    pub sightings: Vec<Sighting>,
    /// Paths that could not be looked at. Nothing is known of what is there.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// A component, or a place that lacks one.
pub struct Sighting {
    /// The component's file, or the directory of a version that holds none.
    pub path: PathBuf,
    pub place: Place,
    /// The path of the repository that it was found in, or is.
    pub root: PathBuf,
    /// Absent where the component is missing.
    pub identity: Option<Identity>,
}

/// Where a component lies, and what that says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file that was named itself.
    Named,
    /// A file in a directory.
    Flat,
    /// The directory of a version.
    Version { name: String, version: String },
}

// === impl Scan ===

impl Scan {
    /// Looks at these paths: files, and directories.
    pub fn of(paths: &[PathBuf]) -> Scan {
        let mut scan = Scan::default();
        for path in paths {
            let found = match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => scan.directory(path),
                Ok(_) => scan.add(path.clone(), Place::Named, path),
                Err(error) => Err(error),
            };
            if let Err(error) = found {
                // What was found of it is not all of it.
                scan.sightings.retain(|sighting| sighting.root != *path);
                scan.unreadable.push((path.clone(), error));
            }
        }
        scan
    }

    fn directory(&mut self, root: &Path) -> io::Result<()> {
        for entry in entries(root)? {
            let path = entry.path();
            if is_directory(&entry) {
                self.model(&path, root)?;
            } else if path.extension().is_some_and(|extension| extension == "wasm") {
                self.add(path, Place::Flat, root)?;
            }
        }
        Ok(())
    }

    /// The versions in the directory of a model. A directory without a component is a version if its name begins with a
    /// digit, and else none of ours.
    fn model(&mut self, directory: &Path, root: &Path) -> io::Result<()> {
        let name = file_name(directory);
        for entry in gone_is_empty(entries(directory))? {
            if !is_directory(&entry) {
                continue;
            }
            let version = file_name(&entry.path());
            let numbered = version.starts_with(|first: char| first.is_ascii_digit());
            let place = Place::Version { name: name.clone(), version };
            let component = entry.path().join(COMPONENT);
            let root = root.to_owned();
            match Identity::of(&component) {
                Ok(identity) => {
                    self.sightings.push(Sighting { path: component, place, root, identity: Some(identity) });
                }
                Err(_) if numbered => {
                    self.sightings.push(Sighting { path: entry.path(), place, root, identity: None });
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf, place: Place, root: &Path) -> io::Result<()> {
        match Identity::of(&path) {
            Ok(identity) => {
                self.sightings.push(Sighting { path, place, root: root.to_owned(), identity: Some(identity) });
                Ok(())
            }
            // It was just there, and is no more.
            Err(error) if error.kind() == io::ErrorKind::NotFound && place != Place::Named => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What a directory holds, by name.
fn entries(directory: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

/// A directory that was just there, and is no more, holds nothing. Nor does one, for us, that we may not read.
fn gone_is_empty(entries: io::Result<Vec<DirEntry>>) -> io::Result<Vec<DirEntry>> {
    entries.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(Vec::new()),
        _ => Err(error),
    })
}

/// Links count as what they lead to.
fn is_directory(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }

    #[test]
    fn both_layouts_are_found_in_one_directory() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for file in ["b.wasm", "a.txt", ".c.wasm", "m/1/model.wasm", "m/2/other.wasm", "m/next/model.wasm"] {
            write(root, file);
        }
        // Neither is a version.
        write(root, "m/docs/readme.txt");
        write(root, "m/config.pbtxt");
        write(root, "..data/m/1/model.wasm");
        let scan = Scan::of(&[root.to_owned()]);
        let found: Vec<_> = scan
            .sightings
            .iter()
            .map(|Sighting { path, place, identity, .. }| {
                let path = path.strip_prefix(root).unwrap().to_str().unwrap();
                let version = match place {
                    Place::Version { name, version } => format!("{name}:{version}"),
                    Place::Named | Place::Flat => String::new(),
                };
                (path.to_owned(), version, identity.is_some())
            })
            .collect();
        let expected = [
            ("b.wasm", "", true),
            ("m/1/model.wasm", "m:1", true),
            ("m/2", "m:2", false),
            ("m/next/model.wasm", "m:next", true),
        ];
        assert_eq!(found, expected.map(|(path, version, whole)| (path.to_owned(), version.to_owned(), whole)));
    }

    #[test]
    fn a_path_that_is_not_there_is_not_empty_but_unreadable() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a.wasm");
        let (file, absent) = (directory.path().join("a.wasm"), directory.path().join("absent"));
        let scan = Scan::of(&[file.clone(), absent.clone()]);
        assert_eq!((scan.sightings.len(), scan.sightings[0].place.clone()), (1, Place::Named));
        assert_eq!(scan.unreadable[0].0, absent);
    }
}
