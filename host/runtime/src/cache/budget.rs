//! What the cache may take on disk. Above it, the entries go that nobody has used for longest.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How far the time of the last use may be behind: noting it is a write.
const PRECISION: Duration = Duration::from_secs(60 * 60);

/// The files of one entry, whatever their extensions.
#[derive(Default)]
struct Entry {
    files: Vec<PathBuf>,
    bytes: u64,
    used: Option<SystemTime>,
}

/// Notes in an entry's record that it is used. A failure matters only to which entry goes first.
pub(super) fn touch(record: &Path) {
    let now = SystemTime::now();
    let noted = fs::metadata(record).and_then(|metadata| {
        let is_recent = now.duration_since(metadata.modified()?).is_ok_and(|age| age < PRECISION);
        if is_recent { Ok(()) } else { File::options().write(true).open(record)?.set_modified(now) }
    });
    if let Err(error) = noted {
        tracing::debug!(%error, record = %record.display(), "the use of machine code is not noted");
    }
}

/// Removes entries of `directory`, the least recently used first, until the others take no more than `budget` bytes. The one
/// that `kept` is a file of stays. Processes that have mapped what is removed keep their mapping.
pub(super) fn enforce(directory: &Path, budget: u64, kept: &Path) -> io::Result<()> {
    let mut entries: HashMap<String, Entry> = HashMap::new();
    for file in fs::read_dir(directory)? {
        let file = file?;
        // Another process may be removing the same.
        let Ok(metadata) = file.metadata() else { continue };
        let entry = entries.entry(name(&file.path())).or_default();
        entry.files.push(file.path());
        entry.bytes += metadata.len();
        entry.used = entry.used.max(metadata.modified().ok());
    }
    let mut bytes: u64 = entries.values().map(|entry| entry.bytes).sum();
    entries.remove(&name(kept));
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort_by_key(|entry| entry.used);
    let mut removed = 0;
    for mut entry in entries {
        if bytes <= budget {
            break;
        }
        // The record last: code without one is taken for damage.
        entry.files.sort_by_key(|file| file.extension().is_some_and(|extension| extension == "json"));
        for file in entry.files {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        bytes -= entry.bytes;
        removed += 1;
    }
    if removed > 0 {
        tracing::info!(removed, mib = bytes >> 20, "the code cache is within its budget again");
    }
    Ok(())
}

/// What the files of an entry have in common. A file that was being written has a name of its own.
fn name(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Entries of 100 bytes with a record of 10, each used a day after the one before.
    fn entries(names: &[&str]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (day, name) in (0..).zip(names) {
            for (extension, bytes) in [("cwasm", 100), ("json", 10)] {
                let path = directory.path().join(format!("{name}.{extension}"));
                fs::write(&path, vec![0; bytes]).unwrap();
                age(&path, 30 - day);
            }
        }
        directory
    }

    fn age(path: &Path, days: u32) {
        let time = SystemTime::now() - Duration::from_secs(24 * 60 * 60) * days;
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn left(directory: &TempDir) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn within_the_budget_all_stay() {
        let directory = entries(&["a", "b"]);
        enforce(directory.path(), 220, &directory.path().join("b.cwasm")).unwrap();
        assert_eq!(left(&directory), ["a.cwasm", "a.json", "b.cwasm", "b.json"]);
    }

    #[test]
    fn above_it_those_go_that_were_used_least_recently() {
        let directory = entries(&["a", "b", "c"]);
        touch(&directory.path().join("a.json"));
        enforce(directory.path(), 220, &directory.path().join("c.cwasm")).unwrap();
        assert_eq!(left(&directory), ["a.cwasm", "a.json", "c.cwasm", "c.json"]);
    }

    #[test]
    fn the_one_that_was_just_written_stays_whatever_it_takes() {
        let directory = entries(&["a", "b"]);
        enforce(directory.path(), 50, &directory.path().join("a.cwasm")).unwrap();
        assert_eq!(left(&directory), ["a.cwasm", "a.json"]);
    }

    #[test]
    fn what_was_never_finished_goes_too() {
        let directory = entries(&["a", "b"]);
        let unfinished = directory.path().join(".tmpX1");
        fs::write(&unfinished, [0; 500]).unwrap();
        age(&unfinished, 40);
        enforce(directory.path(), 220, &directory.path().join("b.cwasm")).unwrap();
        assert_eq!(left(&directory), ["a.cwasm", "a.json", "b.cwasm", "b.json"]);
    }
}
