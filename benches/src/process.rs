//! What a process holds, by `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// The bytes of memory that a process has resident.
pub fn resident_bytes(id: u32) -> Result<u64> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .with_context(|| format!("{path} has no VmRSS"))?;
    Ok(kib * 1024)
}

/// How many file descriptors a process has open.
pub fn descriptors(id: u32) -> Result<usize> {
    let path = format!("/proc/{id}/fd");
    Ok(fs::read_dir(&path).context(path)?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_something() {
        let id = std::process::id();
        assert!(resident_bytes(id).expect("VmRSS") > 0);
        let before = descriptors(id).expect("descriptors");
        let file = fs::File::open("/proc/self/status").expect("open");
        assert!(descriptors(id).expect("descriptors") > before);
        drop(file);
    }
}
