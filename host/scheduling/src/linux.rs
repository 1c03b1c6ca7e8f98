//! `sched_setattr(2)`, for which libraries have no function.

use std::io;
use std::time::Duration;

use libc::{SCHED_BATCH, SCHED_FLAG_RESET_ON_FORK, SCHED_OTHER, SYS_sched_getattr, SYS_sched_setattr, sched_attr};

use crate::{Scope, SliceError};

/// The thread that calls.
const THIS_THREAD: libc::pid_t = 0;
const NO_FLAGS: libc::c_uint = 0;
/// The bytes of the structure, which its first field has to say.
const SIZE: u32 = size_of::<sched_attr>() as u32;

pub fn set_slice(slice: Duration, scope: Scope) -> Result<(), SliceError> {
    let mut attributes = get()?;
    if ![SCHED_OTHER, SCHED_BATCH].iter().any(|&policy| policy as u32 == attributes.sched_policy) {
        return Err(SliceError::Policy { policy: attributes.sched_policy });
    }
    // Before there were slices to choose, none was told.
    if attributes.sched_runtime == 0 {
        return Err(SliceError::Unknown);
    }
    if scope == Scope::Thread {
        attributes.sched_flags |= SCHED_FLAG_RESET_ON_FORK as u64;
    }
    attributes.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX).max(1);
    Ok(set(&attributes)?)
}

fn get() -> io::Result<sched_attr> {
    let mut attributes = sched_attr {
        size: SIZE,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes to the structure, no more bytes than it is told that there are.
    let told = unsafe { libc::syscall(SYS_sched_getattr, THIS_THREAD, &raw mut attributes, SIZE, NO_FLAGS) };
    if told == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

fn set(attributes: &sched_attr) -> io::Result<()> {
    // SAFETY: the kernel only reads the structure, as many bytes as its first field says.
    let told = unsafe { libc::syscall(SYS_sched_setattr, THIS_THREAD, &raw const *attributes, NO_FLAGS) };
    if told == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::SHORT;

    #[test]
    fn a_thread_has_the_slice_that_it_chose_and_those_that_it_starts_have_not() {
        let before = get().expect("attributes");
        let chosen = thread::spawn(|| {
            let result = set_slice(SHORT, Scope::Thread);
            (result, get().expect("attributes"), thread::spawn(|| get().expect("attributes")).join().expect("a thread"))
        });
        let (result, after, child) = chosen.join().expect("a thread");
        match result {
            Ok(()) => assert_eq!(after.sched_runtime, SHORT.as_nanos() as u64),
            // An older kernel, or tests under a policy of their own.
            Err(SliceError::Unknown | SliceError::Policy { .. }) => {
                assert_eq!(after.sched_runtime, before.sched_runtime)
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!((after.sched_policy, after.sched_nice), (before.sched_policy, before.sched_nice));
        assert_eq!(child.sched_runtime, before.sched_runtime);
        assert_eq!(get().expect("attributes").sched_runtime, before.sched_runtime);
    }

    #[test]
    fn descendants_inherit_a_slice_that_is_chosen_for_them() {
        let child = thread::spawn(|| {
            set_slice(SHORT, Scope::Descendants).ok()?;
            thread::spawn(|| get().expect("attributes").sched_runtime).join().ok()
        });
        let child = child.join().expect("a thread");
        assert!(child.is_none_or(|slice| slice == SHORT.as_nanos() as u64), "{child:?}");
    }

    #[test]
    fn a_slice_is_held_to_what_there_is() {
        let slice = |slice| {
            let set = move || set_slice(slice, Scope::Thread).ok().map(|()| get().expect("attributes").sched_runtime);
            thread::spawn(set).join().expect("a thread")
        };
        let (Some(least), Some(most)) = (slice(Duration::ZERO), slice(Duration::MAX)) else { return };
        assert_eq!((least, most), (100_000, 100_000_000));
    }
}
