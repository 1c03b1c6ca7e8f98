//! Where a component goes: there whole, or not at all.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

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
        let mut file = self.temporary()?;
        file.write_all(component).map_err(|error| self.failed(error))?;
        #[cfg(unix)]
        {
            // A temporary file is its owner's alone; a component is a file like any other.
            use std::os::unix::fs::PermissionsExt;
            let everyone_reads = std::fs::Permissions::from_mode(0o644);
            file.as_file().set_permissions(everyone_reads).map_err(|error| self.failed(error))?;
        }
        file.persist(&self.path).map_err(|error| self.failed(error.error))?;
        Ok(())
    }

    /// A file beside the path, so that renaming it is atomic; it is removed when it is dropped.
    fn temporary(&self) -> Result<NamedTempFile, CompileError> {
        let parent = self.path.parent().filter(|directory| !directory.as_os_str().is_empty());
        tempfile::Builder::new()
            .prefix(".samara-")
            .tempfile_in(parent.unwrap_or(Path::new(".")))
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, reason: io::Error) -> CompileError {
        CompileError::Write { path: self.path.clone(), reason }
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
}
