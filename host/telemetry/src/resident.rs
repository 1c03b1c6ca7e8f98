//! Memory that is resident, as `/proc` tells it; where there is none, nothing is told.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;

/// The mappings of this process, with how much of each is resident.
#[derive(Debug, Default)]
pub struct Resident {
    /// By address: the file, if there is one, and resident bytes.
    mappings: Vec<(Range<usize>, Option<String>, u64)>,
    files: HashMap<String, u64>,
}

impl Resident {
    /// Reads what this process has mapped now. It takes the kernel some time, by the number of mappings.
    #[must_use]
    pub fn read() -> Resident {
        fs::read_to_string("/proc/self/smaps").map(|text| Resident::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Resident {
        let mut resident = Resident::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let first = words.next().unwrap_or_default();
            if let Some(range) = range(first) {
                // Permissions, offset, device and inode; the rest is the path.
                let path = words.skip(4).collect::<Vec<_>>().join(" ");
                resident.mappings.push((range, path.starts_with('/').then_some(path), 0));
            } else if first == "Rss:" {
                let bytes = words.next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10;
                if let Some((_, path, of_mapping)) = resident.mappings.last_mut() {
                    *of_mapping = bytes;
                    if let Some(path) = path {
                        *resident.files.entry(path.clone()).or_default() += bytes;
                    }
                }
            }
        }
        resident
    }

    /// How much is resident of the file that is mapped at an address, wherever it is mapped; or, where no file is, of the
    /// mapping. `None` where nothing is mapped.
    #[must_use]
    pub fn at(&self, address: usize) -> Option<u64> {
        let (_, path, bytes) = self.mappings.iter().find(|(range, ..)| range.contains(&address))?;
        Some(path.as_ref().and_then(|path| self.files.get(path)).copied().unwrap_or(*bytes))
    }
}

fn range(word: &str) -> Option<Range<usize>> {
    let (from, to) = word.split_once('-')?;
    Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
}

/// How much memory of this process is resident, in bytes.
#[must_use]
pub fn process_resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or(0_u64) << 10
}

/// How many files this process has open.
#[must_use]
pub fn process_open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_of_wherever_it_is_mapped() {
        let text = "1000-3000 r-xp 00000000 08:01 5 /cache/a b.cwasm\nSize: 8 kB\nRss:                  8 kB\n\
                    5000-6000 rw-p 00001000 08:01 5 /cache/a b.cwasm\nRss: 4 kB\nPss: 1 kB\n\
                    7000-8000 rw-p 00000000 00:00 0\nRss: 16 kB\n";
        let resident = Resident::parse(text);
        assert_eq!(resident.at(0x1000), Some(12 << 10));
        assert_eq!(resident.at(0x5fff), Some(12 << 10));
        assert_eq!(resident.at(0x7000), Some(16 << 10));
        assert_eq!(resident.at(0x3000), None);
    }
}
