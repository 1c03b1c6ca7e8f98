//! How much of the machine others used meanwhile, which is what most often spoils a measurement.

use std::fs;
use std::time::Instant;

/// Ticks of `/proc`'s clocks in a second: fixed for everything that user space sees.
const TICKS: f64 = 100.0;

/// A moment to compare with.
pub struct Contention {
    start: Instant,
    cores: f64,
    clocks: Option<Clocks>,
}

/// Ticks since the machine, or this process, was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clocks {
    /// Of all cores at work, for whomever.
    busy: u64,
    /// Of this process, and of those that it started and that have ended.
    own: u64,
}

// === impl Contention ===

impl Contention {
    /// Begins now.
    pub fn begin() -> Contention {
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        Contention { start: Instant::now(), cores, clocks: Clocks::read() }
    }

    /// The share of the cores' time, from 0 to 1, that neither this process nor one that it started has used since.
    pub fn share(&self) -> Option<f64> {
        let (before, after) = (self.clocks?, Clocks::read()?);
        let others = (after.busy - before.busy) as f64 - (after.own - before.own) as f64;
        Some((others / (self.start.elapsed().as_secs_f64() * TICKS * self.cores)).clamp(0.0, 1.0))
    }
}

// === impl Clocks ===

impl Clocks {
    fn read() -> Option<Clocks> {
        let (machine, process) = (fs::read_to_string("/proc/stat").ok()?, fs::read_to_string("/proc/self/stat").ok()?);
        Some(Clocks { busy: busy(&machine)?, own: own(&process)? })
    }
}

/// The sum of user, nice, system, irq, softirq and steal.
fn busy(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    [0, 1, 2, 5, 6, 7].iter().map(|&column| ticks.get(column)).sum()
}

/// The sum of utime, stime, cutime and cstime: the fields 14 to 17. The second field is a name in brackets.
fn own(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().skip(11).take(4).map(|word| word.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_are_read() {
        assert_eq!(busy("cpu  1 2 4 8 16 32 64 128 0 0\ncpu0 9 9 9\n"), Some(1 + 2 + 4 + 32 + 64 + 128));
        assert_eq!(own("7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 0 0"), Some(127));
        assert_eq!(busy("no such line"), None);
    }

    #[test]
    fn a_share_is_a_share() {
        let share = Contention::begin().share();
        assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{share:?}");
    }
}
