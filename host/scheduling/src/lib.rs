//! Has the kernel run threads soon that do little whenever they wake.
//!
//! Linux's scheduler, EEVDF ([Stoica and Abdel-Wahab, 1995](https://people.eecs.berkeley.edu/~istoica/papers/eevdf-tr-95.pdf)), runs
//! each thread for a slice, and until that has ended does not look whether another wants to run; without a high-resolution tick,
//! until the next tick after that: up to 4 ms. From Linux 6.12 on a thread may choose the length of its slice, and one that
//! wakes with a shorter slice takes the place of one that has a longer one at once, as far as it has not had its share of the
//! time. The shares do not change: what is chosen is only how soon, for how long at a time. No privilege is needed.

#[cfg(target_os = "linux")]
mod linux;

use std::io;
use std::time::Duration;

/// The slice of a thread that does little whenever it wakes, and that somebody waits for; the least that there is.
pub const SHORT: Duration = Duration::from_micros(100);

/// For whom a slice is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The thread that calls alone; those that it starts have the system's slice.
    Thread,
    /// It, and all threads and processes that it starts, and that these do.
    Descendants,
}

/// Why a thread keeps the slice that it has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SliceError {
    /// This system has no such slices: it is not Linux, or older than 6.12.
    #[error("this system has no slices that a thread may choose; Linux has from 6.12 on")]
    Unknown,
    /// The thread's scheduling policy has none: whoever chose that knows better.
    #[error("the thread's scheduling policy, {policy}, has no slices")]
    Policy {
        /// The policy's number, as `sched(7)` has it.
        policy: u32,
    },
    /// The system refuses, as a filter of system calls may.
    #[error("the system refuses a slice: {0}")]
    Refused(#[from] io::Error),
}

/// Chooses the slice of the thread that calls this: from 0.1 to 100 ms, to which it is rounded.
///
/// # Errors
///
/// There is nothing to choose; all is as it was.
pub fn set_slice(slice: Duration, scope: Scope) -> Result<(), SliceError> {
    #[cfg(target_os = "linux")]
    return linux::set_slice(slice, scope);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (slice, scope);
        Err(SliceError::Unknown)
    }
}
