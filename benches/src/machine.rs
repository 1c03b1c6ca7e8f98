//! On what it was measured.

use std::fs;
use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::samara::Samara;

/// The versions of all packages that this binary was built with.
const LOCK: &str = include_str!("../../Cargo.lock");

/// On what it was measured.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    /// Processes that ran or waited before the run began, on average over a minute.
    load: String,
    samara: String,
    wasmtime: String,
    wrk: String,
    /// What this was built with.
    rustc: String,
}

impl Machine {
    /// Looks at the machine, and at the versions of what is measured and of what measures.
    pub fn look(samara: &Samara) -> Result<Machine> {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (processors, memory) = (file("/proc/cpuinfo"), file("/proc/meminfo"));
        let memory_kib: u64 = field(&memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
        Ok(Machine {
            processor: field(&processors, "model name").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib / 1024,
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: file("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            samara: samara.run(&["--version"])?.trim().to_owned(),
            wasmtime: locked(LOCK, "wasmtime").unwrap_or("unknown").to_owned(),
            wrk: wrk_version().unwrap_or_else(|| "no wrk".to_owned()),
            rustc: first_words("rustc", 2).unwrap_or_else(|| "unknown".to_owned()),
        })
    }

    /// In one paragraph.
    pub fn to_markdown(&self) -> String {
        format!(
            "{} ({} cores, {} MiB), Linux {}, load {} before the run; {}, wasmtime {}, {}, {}",
            self.processor,
            self.cores,
            self.memory_mib,
            self.kernel,
            self.load,
            self.samara,
            self.wasmtime,
            self.wrk,
            self.rustc
        )
    }
}

/// The value of the first line `NAME : VALUE`.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or("unknown", |(_, value)| value.trim())
}

/// A package and its version, where this binary was built with it.
pub fn version_of(package: &str) -> Option<String> {
    Some(format!("{package} {}", locked(LOCK, package)?))
}

/// The version of a package in a `Cargo.lock`.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(entry.split_once('"')?.0)
}

/// The first words of what `PROGRAM --version` says.
fn first_words(program: &str, count: usize) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_whitespace().take(count).collect::<Vec<_>>().join(" "))
}

/// What `wrk --version` says; its exit status is that of a failure.
fn wrk_version() -> Option<String> {
    let output = Command::new("wrk").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split(" [").next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_whatever_is_around_its_colon() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nMemTotal:     24105 kB\n";
        assert_eq!(field(text, "model name"), "Some CPU @ 2 GHz");
        assert_eq!(field(text, "MemTotal"), "24105 kB");
        assert_eq!(field(text, "absent"), "unknown");
    }

    #[test]
    fn the_version_of_a_package_is_found() {
        let lock = "[[package]]\nname = \"wasmtime-wizer\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"wasmtime\"\nversion = \"48.0.8\"\n";
        assert_eq!(locked(lock, "wasmtime"), Some("48.0.8"));
        assert_eq!(locked(lock, "absent"), None);
    }
}
