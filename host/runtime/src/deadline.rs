//! The clock that ends overdue inferences.
//!
//! Compiled code compares the engine's epoch with its store's at every loop and call, and traps when it has passed. This
//! thread advances the epoch while inferences run, and sleeps when none has for a while.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// How long an epoch is.
const TICK: Duration = Duration::from_millis(5);

/// Epochs without an inference after which the clock stops.
const IDLE_TICKS: u32 = 200;

/// Advances the engine's epoch while inferences run.
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Inferences that run.
    running: AtomicU64,
    /// Inferences that ever started, by which the clock sees that there were some between two ticks.
    started: AtomicU64,
    asleep: AtomicBool,
    stopped: AtomicBool,
}

/// Keeps the clock going while an inference runs.
pub struct Running<'a>(&'a Shared);

impl Ticker {
    /// Starts the clock of an engine.
    pub fn start(engine: Engine) -> io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("samara-deadline".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&engine)
        })?;
        Ok(Ticker { shared, thread: Some(thread) })
    }

    /// Notes that an inference starts, and that it ends when what this returns is dropped.
    pub fn running(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        self.shared.started.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(&self.shared)
    }

    /// After how many epochs an inference that starts now is overdue.
    pub fn ticks(deadline: Duration) -> u64 {
        // The current epoch may be about to end: one more, so that nothing is stopped before its time.
        u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2).saturating_add(1)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread panics never; there would be nothing to do about it here.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, engine: &Engine) {
        let (mut seen, mut idle) = (0, 0);
        while !self.stopped.load(Ordering::SeqCst) {
            thread::sleep(TICK);
            engine.increment_epoch();
            let started = self.started.load(Ordering::SeqCst);
            idle = if started == seen && self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            seen = started;
            if idle >= IDLE_TICKS {
                self.asleep.store(true, Ordering::SeqCst);
                // An inference that starts from here on sees `asleep`; one that started before is seen here.
                if self.started.load(Ordering::SeqCst) == seen && !self.stopped.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                idle = 0;
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_cut_short() {
        assert_eq!(Ticker::ticks(Duration::from_millis(5)), 2);
        assert_eq!(Ticker::ticks(Duration::from_millis(6)), 3);
        assert_eq!(Ticker::ticks(Duration::ZERO), 1);
    }
}
