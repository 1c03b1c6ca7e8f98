//! Where a component goes, and the graph that it asks for: there whole, or not at all.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use samara_artifact::NnGraph;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::CompileError;

/// A place for a component, tried before the work begins: a path that cannot be written fails at once.
pub struct Destination {
    path: PathBuf,
}

impl Destination {
    /// Checks that `path` can be written, without touching what may be there.
    pub fn claim(path: &Path) -> Result<Destination, CompileError> {
        let destination = Destination { path: path.to_owned() };
        if path.is_dir() {
            return Err(destination.failed(ErrorKind::IsADirectory.into()));
        }
        // Nothing stays that an interruption could leave behind.
        drop(destination.temporary()?);
        Ok(destination)
    }

    /// Puts the component there.
    pub fn write(self, component: &[u8]) -> Result<(), CompileError> {
        self.put(|file| file.write_all(component).map_err(|error| self.failed(error)))
    }

    /// Puts a copy of the ONNX file at `source` beside where the component goes, under the name that `graph` has for it,
    /// and gives its path. A file of that name is left alone where it has the right content, and replaced where not.
    pub fn write_graph(&self, source: &Path, graph: &NnGraph) -> Result<PathBuf, CompileError> {
        let path = self.directory().join(&graph.file);
        let is_there = File::open(&path).and_then(|mut file| copy_hashed(&mut file, &mut io::sink()));
        if is_there.is_ok_and(|sha256| sha256 == graph.sha256) {
            return Ok(path);
        }
        let unreadable = |reason: io::Error| CompileError::Read { path: source.to_owned(), reason };
        let mut original = File::open(source).map_err(unreadable)?;
        let copy = Destination::claim(&path)?;
        copy.put(|file| {
            let sha256 = copy_hashed(&mut original, file).map_err(|error| copy.failed(error))?;
            if sha256 == graph.sha256 { Ok(()) } else { Err(CompileError::Changed { path: source.to_owned() }) }
        })?;
        Ok(path)
    }

    /// Has a temporary file filled, and renames it.
    fn put(&self, fill: impl FnOnce(&mut File) -> Result<(), CompileError>) -> Result<(), CompileError> {
        let mut file = self.temporary()?;
        fill(file.as_file_mut())?;
        #[cfg(unix)]
        {
            // A temporary file is its owner's alone; these are files like any other.
            use std::os::unix::fs::PermissionsExt;
            let everyone_reads = std::fs::Permissions::from_mode(0o644);
            file.as_file().set_permissions(everyone_reads).map_err(|error| self.failed(error))?;
        }
        file.persist(&self.path).map_err(|error| self.failed(error.error))?;
        Ok(())
    }

    /// A file beside the path, so that renaming it is atomic; it is removed when it is dropped.
    fn temporary(&self) -> Result<NamedTempFile, CompileError> {
        tempfile::Builder::new().prefix(".samara-").tempfile_in(self.directory()).map_err(|error| self.failed(error))
    }

    fn directory(&self) -> &Path {
        let parent = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    fn failed(&self, reason: io::Error) -> CompileError {
        CompileError::Write { path: self.path.clone(), reason }
    }
}

/// Copies all of `source`, and gives its SHA-256 in lower-case hexadecimal.
fn copy_hashed(source: &mut impl Read, target: &mut impl Write) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(samara_runtime::hex(&hasher.finalize())),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                target.write_all(&buffer[..length])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("m.wasm");
        std::fs::write(&path, "old").expect("written");
        drop(Destination::claim(&path).expect("claimed"));
        assert_eq!(std::fs::read(&path).expect("read"), b"old");
        Destination::claim(&path).expect("claimed").write(b"new").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"new");
        assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        for path in [directory.path().to_owned(), directory.path().join("missing").join("m.wasm")] {
            assert!(matches!(Destination::claim(&path), Err(CompileError::Write { .. })), "{}", path.display());
        }
    }

    /// `abc`, whose hash is known: FIPS 180-4's example.
    fn graph() -> NnGraph {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        NnGraph { graph: "m".to_owned(), file: format!("{sha256}.onnx"), sha256, bytes: 3 }
    }

    #[test]
    fn a_graph_goes_beside_the_component_and_stays_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let source = directory.path().join("m.onnx");
        std::fs::write(&source, "abc").expect("written");
        let destination = Destination::claim(&directory.path().join("m.wasm")).expect("claimed");
        let path = destination.write_graph(&source, &graph()).expect("written");
        assert_eq!(path, directory.path().join(graph().file));
        assert_eq!(std::fs::read(&path).expect("read"), b"abc");

        // Kept: not even its source is needed.
        std::fs::remove_file(&source).expect("removed");
        assert_eq!(destination.write_graph(&source, &graph()).expect("kept"), path);
        // Replaced, as its content is not what its name says.
        std::fs::write(&path, "abd").expect("written");
        std::fs::write(&source, "abc").expect("written");
        destination.write_graph(&source, &graph()).expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"abc");
        assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 2);
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_not_taken() {
        let directory = tempfile::tempdir().expect("a directory");
        let source = directory.path().join("m.onnx");
        std::fs::write(&source, "abd").expect("written");
        let destination = Destination::claim(&directory.path().join("m.wasm")).expect("claimed");
        let error = destination.write_graph(&source, &graph()).expect_err("another file");
        assert!(matches!(error, CompileError::Changed { .. }), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 1);
    }
}
