//! What the cache may take on disk. Above it, the entries go that were loaded least recently.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::PARTIAL;

/// How far the time of the last use may be behind: noting it is a write.
const PRECISION: Duration = Duration::from_secs(60 * 60);

/// From which age on a file that is not whole is taken to stay so.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// The files of one entry: code, record, or one that never became either.
#[derive(Default)]
struct Entry {
    files: Vec<PathBuf>,
    bytes: u64,
    /// When it was loaded: the time of its record; that of its code, if it has none.
    used: Option<SystemTime>,
    has_record: bool,
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

/// Removes entries of `directory`, those that were loaded least recently first, until the others take no more than `budget` bytes,
/// and tells how many. What this process has mapped stays, and so does the entry that `kept` is a file of; other processes
/// that have mapped what is removed keep their mapping. What the cache has not written is not touched.
pub(super) fn enforce(directory: &Path, budget: u64, kept: &Path) -> io::Result<usize> {
    // Elsewhere than on Linux nothing tells what is mapped; it is what was loaded most recently, as a rule.
    let mapped = || fs::read_to_string("/proc/self/maps").unwrap_or_default();
    enforce_beside(directory, budget, kept, mapped)
}

/// The same beside what is mapped: a text in which the names of such files are.
fn enforce_beside(directory: &Path, budget: u64, kept: &Path, mapped: impl FnOnce() -> String) -> io::Result<usize> {
    let now = SystemTime::now();
    let mut entries: HashMap<String, Entry> = HashMap::new();
    for file in fs::read_dir(directory)? {
        let file = file?;
        // Another process may be removing the same.
        let (Some(name), Ok(metadata)) = (name(&file.path()), file.metadata()) else { continue };
        let modified = metadata.modified().ok().filter(|time| *time <= now);
        let is_abandoned = modified.is_some_and(|time| now.duration_since(time).is_ok_and(|age| age > ABANDONED));
        if !metadata.is_file() || name.starts_with(PARTIAL) && !is_abandoned {
            continue;
        }
        let is_record = is_record(&file.path());
        let entry = entries.entry(name).or_default();
        entry.files.push(file.path());
        entry.bytes += metadata.len();
        if is_record || !entry.has_record {
            entry.used = modified;
        }
        entry.has_record |= is_record;
    }
    let mut bytes: u64 = entries.values().map(|entry| entry.bytes).sum();
    if bytes <= budget {
        return Ok(0);
    }
    let mapped = mapped();
    // By name, which no other file has: the directory may have been given by another path than the system tells.
    let is_mapped = |file: &PathBuf| file.file_name().and_then(OsStr::to_str).is_some_and(|name| mapped.contains(name));
    if let Some(name) = name(kept) {
        entries.remove(&name);
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort_by_key(|entry| entry.used);
    let (mut removed, mut failed) = (0, None);
    for mut entry in entries {
        if bytes <= budget {
            break;
        }
        if entry.files.iter().any(is_mapped) {
            continue;
        }
        // The record last: code without one is taken for damage.
        entry.files.sort_by_key(|file| is_record(file));
        let gone = entry.files.iter().try_for_each(|file| match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        match gone {
            Ok(()) => {
                bytes -= entry.bytes;
                removed += 1;
            }
            Err(error) => failed = Some(error),
        }
    }
    let (mib, budget_mib) = (bytes >> 20, budget >> 20);
    if bytes <= budget {
        tracing::info!(removed, mib, "the code cache is within its budget again");
    } else {
        tracing::warn!(removed, mib, budget_mib, "the code cache's budget is too small for what is in use");
    }
    failed.map_or(Ok(removed), Err)
}

/// What the files of an entry have in common, if the cache has written this one. A file that is not whole has a name of its own.
fn name(file: &Path) -> Option<String> {
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if file.file_name()?.to_str()?.starts_with(PARTIAL) {
        return Some(file.file_name()?.to_str()?.to_owned());
    }
    let stem = file.file_stem()?.to_str()?;
    let is_key = match stem.split_once('-') {
        Some((content, compiler)) => is_hex(content, 64) && is_hex(compiler, 16),
        None => is_hex(stem, 16),
    };
    let extensions = ["cwasm", "functions", "json"].map(OsStr::new);
    (is_key && file.extension().is_some_and(|extension| extensions.contains(&extension))).then(|| stem.to_owned())
}

fn is_record(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A name as the cache gives them.
    fn key(letter: char) -> String {
        format!("{}-{}", String::from(letter).repeat(64), "0".repeat(16))
    }

    fn write(directory: &TempDir, name: &str, bytes: usize, days: u32) -> PathBuf {
        let path = directory.path().join(name);
        fs::write(&path, vec![0; bytes]).unwrap();
        let time = SystemTime::now() - Duration::from_secs(24 * 60 * 60) * days;
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    }

    /// Entries of 100 bytes with a record of 10, each loaded a day after the one before.
    fn entries(letters: &str) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (day, letter) in (0..).zip(letters.chars()) {
            write(&directory, &format!("{}.cwasm", key(letter)), 100, 40);
            write(&directory, &format!("{}.json", key(letter)), 10, 30 - day);
        }
        directory
    }

    /// The first letters of what is left, and what has another name.
    fn left(directory: &TempDir) -> Vec<String> {
        let files = fs::read_dir(directory.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.map(|name| if name.len() > 64 { name[..1].to_owned() + &name[81..] } else { name }).collect();
        names.sort();
        names
    }

    fn within(directory: &TempDir, budget: u64, kept: char) -> usize {
        enforce(directory.path(), budget, &directory.path().join(format!("{}.cwasm", key(kept)))).unwrap()
    }

    #[test]
    fn within_the_budget_all_stay() {
        let directory = entries("ab");
        assert_eq!(within(&directory, 220, 'b'), 0);
        assert_eq!(left(&directory), ["a.cwasm", "a.json", "b.cwasm", "b.json"]);
    }

    #[test]
    fn above_it_those_go_that_were_loaded_least_recently() {
        let directory = entries("abc");
        touch(&directory.path().join(key('a') + ".json"));
        assert_eq!(within(&directory, 220, 'c'), 1);
        assert_eq!(left(&directory), ["a.cwasm", "a.json", "c.cwasm", "c.json"]);
    }

    #[test]
    fn the_one_that_was_just_written_stays_whatever_it_takes() {
        let directory = entries("ab");
        assert_eq!(within(&directory, 50, 'a'), 1);
        assert_eq!(left(&directory), ["a.cwasm", "a.json"]);
    }

    #[test]
    fn what_was_never_finished_goes_too_but_not_what_may_be_finished_yet() {
        let directory = entries("ab");
        write(&directory, &format!("{PARTIAL}1"), 500, 40);
        write(&directory, &format!("{PARTIAL}2"), 500, 0);
        assert_eq!(within(&directory, 220, 'b'), 1);
        assert_eq!(left(&directory), [&format!("{PARTIAL}2"), "a.cwasm", "a.json", "b.cwasm", "b.json"]);
    }

    #[test]
    fn what_somebody_else_has_put_there_stays() {
        let directory = entries("a");
        write(&directory, "archive.cwasm", 500, 50);
        write(&directory, "0123456789abcdef.lock", 0, 50);
        fs::create_dir(directory.path().join(key('c') + ".cwasm")).unwrap();
        assert_eq!(within(&directory, 50, 'b'), 1);
        assert_eq!(left(&directory), ["0123456789abcdef.lock", "archive.cwasm", "c.cwasm"]);
    }

    #[test]
    fn a_time_that_is_yet_to_come_is_none() {
        let directory = entries("ab");
        let record = directory.path().join(key('a') + ".json");
        let time = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
        File::options().write(true).open(record).unwrap().set_modified(time).unwrap();
        assert_eq!(within(&directory, 150, 'c'), 1);
        assert_eq!(left(&directory), ["b.cwasm", "b.json"]);
    }

    #[test]
    fn what_is_mapped_stays() {
        let directory = entries("ab");
        let mapped = format!("7f00-7f01 r-xp 0 0:0 1 /elsewhere/{}.cwasm\n", key('a'));
        let kept = directory.path().join(key('c') + ".cwasm");
        assert_eq!(enforce_beside(directory.path(), 110, &kept, || mapped).unwrap(), 1);
        assert_eq!(left(&directory), ["a.cwasm", "a.json"]);
    }
}
