//! Which content a path names at the moment, as far as the file system can tell without reading it.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A file's place, size and times: two files with the same identity have the same content, unless somebody sets out to
/// deceive. Git's index and make rely on less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: i128,
    /// Nanoseconds since 1970.
    changed: i128,
}

/// How old a change must be for the clock of the file system to tell it from the next.
const SETTLED: Duration = Duration::from_millis(50);

impl Identity {
    /// The identity of the file at `path`.
    pub fn of(path: &Path) -> io::Result<Identity> {
        Ok(Identity::from_metadata(&std::fs::metadata(path)?))
    }

    #[cfg(unix)]
    fn from_metadata(metadata: &Metadata) -> Identity {
        use std::os::unix::fs::MetadataExt;
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    #[cfg(not(unix))]
    fn from_metadata(metadata: &Metadata) -> Identity {
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(i128::MAX));
        Identity { device: 0, inode: 0, bytes: metadata.len(), modified, changed: modified }
    }

    /// Whether the last change is so long ago that another one would show.
    pub fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let change = self.modified.max(self.changed);
        i128::try_from(now.as_nanos()).is_ok_and(|now| now - change > SETTLED.as_nanos().cast_signed())
    }
}
