//! A running process from outside, as `/proc` shows it.

use std::fs;
use std::path::{Path, PathBuf};

/// How many file descriptors it has open.
#[must_use]
pub fn file_descriptors(process: u32) -> usize {
    entries(process, "fd")
}

/// How many threads it has.
#[must_use]
pub fn threads(process: u32) -> usize {
    entries(process, "task")
}

fn entries(process: u32, directory: &str) -> usize {
    fs::read_dir(format!("/proc/{process}/{directory}")).unwrap().count()
}

/// The most memory that it ever had resident, in bytes.
#[must_use]
pub fn peak_resident_bytes(process: u32) -> u64 {
    status_bytes(process, "VmHWM:")
}

/// The memory that it has resident, in bytes.
#[must_use]
pub fn resident_bytes(process: u32) -> u64 {
    status_bytes(process, "VmRSS:")
}

fn status_bytes(process: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    kilobytes(line)
}

/// The memory that it has in huge pages, in bytes; `None` where the system has none to give.
#[must_use]
pub fn huge_page_bytes(process: u32) -> Option<u64> {
    let enabled = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()?;
    if enabled.contains("[never]") {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).map(kilobytes)
}

/// How often it touched a page that had to be mapped or copied first.
#[must_use]
pub fn page_faults(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field is the program's name in brackets, which may hold spaces; minor faults are the tenth.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(7).unwrap().parse().unwrap()
}

/// Whether the kernel can tell which pages were written: the ioctl `PAGEMAP_SCAN`, of Linux 6.7.
#[must_use]
pub fn kernel_finds_written_pages() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|word| word.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(7))
}

/// A file, or a part of one, in the memory of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// `rw-p` and the like; the last letter says whether writes are private to the process.
    pub permissions: String,
    /// The file; `/memfd:NAME` for one without a place in a file system.
    pub path: PathBuf,
    /// Bytes of address space.
    pub bytes: u64,
    /// Bytes that are the process's own because it wrote them, and so are no longer shared with the file. A page of a file
    /// that waits to be written to the disk is dirty too, but still the file's.
    pub written_bytes: u64,
}

/// Every file that a process has mapped.
#[must_use]
pub fn mappings(process: u32) -> Vec<Mapping> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps")).unwrap();
    let mut mappings: Vec<Mapping> = Vec::new();
    // The fields that follow belong to a mapping that names a file.
    let mut listed = false;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some((from, to)) = range(first) {
            let permissions = words.next().unwrap().to_owned();
            // Offset, device and inode; the rest is the path, which may hold spaces.
            let path = words.skip(3).collect::<Vec<_>>().join(" ");
            let path = path.trim_end_matches(" (deleted)");
            listed = path.starts_with('/');
            if listed {
                let path = Path::new(path).to_owned();
                mappings.push(Mapping { permissions, path, bytes: to - from, written_bytes: 0 });
            }
        } else if listed && first == "Anonymous:" {
            mappings.last_mut().unwrap().written_bytes = kilobytes(line.split_once(':').unwrap().1);
        }
    }
    mappings
}

fn range(word: &str) -> Option<(u64, u64)> {
    let (from, to) = word.split_once('-')?;
    Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
}

fn kilobytes(text: &str) -> u64 {
    text.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() << 10
}
