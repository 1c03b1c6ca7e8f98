//! The clock that ends overdue inferences.
//!
//! Compiled code compares the engine's epoch with its store's at every loop and call, and looks at the clock, and whether
//! anybody still waits, when it has passed. This thread advances the epoch while inferences run, and sleeps when none has for
//! a while.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wasmtime::{Engine, UpdateDeadline};

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

/// By which whoever wanted an inference says that nobody waits for it any more. Clones say it for each other.
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    said: Arc<AtomicBool>,
    /// Those who wait together, where there are several.
    of: Option<Arc<[Cancellation]>>,
}

/// What an instance is stopped by: its time, or that nobody waits any more. An instance looks at the end of each epoch.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    until: Option<Instant>,
    cancellation: Cancellation,
}

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

// === impl Cancellation ===

impl Cancellation {
    /// Of an inference that several wait for: it is cancelled when all of them have said that they do not wait any more.
    pub fn of_all(waiting: impl IntoIterator<Item = Cancellation>) -> Cancellation {
        Cancellation { said: Arc::default(), of: Some(waiting.into_iter().collect()) }
    }

    /// Says that nobody waits any more.
    pub fn cancel(&self) {
        self.said.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.said.load(Ordering::Relaxed)
            || self.of.as_ref().is_some_and(|waiting| waiting.iter().all(Cancellation::is_cancelled))
    }
}

// === impl Watch ===

impl Watch {
    /// Watches from now on, for as long as that.
    pub fn new(deadline: Duration, cancellation: &Cancellation) -> Watch {
        // What no clock can tell is never over.
        Watch { until: Instant::now().checked_add(deadline), cancellation: cancellation.clone() }
    }

    /// Whether nobody waits any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// What an instance does at the end of an epoch: it goes on, or it is stopped.
    pub fn at_epoch(&self) -> UpdateDeadline {
        let over = self.until.is_some_and(|until| until <= Instant::now());
        if over || self.is_cancelled() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_on(watch: &Watch) -> bool {
        matches!(watch.at_epoch(), UpdateDeadline::Continue(1))
    }

    #[test]
    fn what_is_overdue_or_not_wanted_any_more_is_stopped() {
        let cancellation = Cancellation::default();
        let watch = Watch::new(Duration::from_secs(60), &cancellation);
        assert!(goes_on(&watch));
        cancellation.cancel();
        assert!(!goes_on(&watch));
        assert!(!goes_on(&Watch::new(Duration::ZERO, &Cancellation::default())));
        assert!(goes_on(&Watch::new(Duration::MAX, &Cancellation::default())));
    }

    #[test]
    fn what_several_wait_for_goes_on_until_none_of_them_does() {
        let waiting = [Cancellation::default(), Cancellation::default()];
        let together = Cancellation::of_all(waiting.clone());
        let watch = Watch::new(Duration::from_secs(60), &together);
        waiting[1].cancel();
        assert!(goes_on(&watch));
        waiting[0].cancel();
        assert!(!goes_on(&watch) && together.is_cancelled());
        let together = Cancellation::of_all([Cancellation::default()]);
        together.cancel();
        assert!(together.is_cancelled());
    }
}
