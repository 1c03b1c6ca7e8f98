//! The scheduler with a clock and a lock, for the threads of a server.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{LaneId, LaneLimits, NodeLimits, Refusal, Refused, Scheduler, Taken, WorkId};

/// Requests between those who bring them and the workers who run them.
pub struct Admission<T> {
    state: Mutex<State<T>>,
    wanted: Condvar,
}

struct State<T> {
    scheduler: Scheduler<T>,
    stopped: bool,
}

/// A request that was taken in.
#[derive(Debug)]
pub struct Submitted<T> {
    /// By which it can be taken back.
    pub ticket: Ticket,
    /// The request that lost its place to it, and why.
    pub displaced: Option<Refused<T>>,
}

/// By which a request can be taken back while it waits.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    lane: LaneId,
    id: WorkId,
}

/// A worker's leave to run a request, until this is dropped: the time until then is what the request has taken.
pub struct Permit<T> {
    admission: Arc<Admission<T>>,
    id: WorkId,
}

/// How many requests of a lane there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Those that wait.
    pub waiting: usize,
    /// Those that run.
    pub running: usize,
}

// === impl Admission ===

impl<T> Admission<T> {
    /// Without a lane yet.
    #[must_use]
    pub fn new(limits: NodeLimits) -> Admission<T> {
        let state = State { scheduler: Scheduler::new(limits), stopped: false };
        Admission { state: Mutex::new(state), wanted: Condvar::new() }
    }

    /// Adds a lane.
    pub fn add(&self, limits: LaneLimits) -> LaneId {
        self.lock().scheduler.add(limits)
    }

    /// Changes what a lane is held to, from now on.
    pub fn set_lane(&self, lane: LaneId, limits: LaneLimits) {
        self.lock().scheduler.set_lane(lane, limits);
        self.wanted.notify_all();
    }

    /// Changes how many may wait at the node, from now on.
    pub fn set_queue(&self, queue: usize) {
        self.lock().scheduler.set_queue(queue);
    }

    /// Takes a request in, or refuses it.
    ///
    /// # Errors
    ///
    /// The request is refused, and returned with why.
    pub fn submit(&self, lane: LaneId, deadline: Instant, work: T) -> Result<Submitted<T>, Refused<T>> {
        let mut state = self.lock();
        if state.stopped {
            return Err((work, Refusal::Stopping));
        }
        let (id, displaced) = state.scheduler.submit(Instant::now(), lane, deadline, work)?;
        drop(state);
        self.wanted.notify_one();
        Ok(Submitted { ticket: Ticket { lane, id }, displaced })
    }

    /// Waits for the request whose turn it is. `None` when nothing is taken in any more and all that was has run.
    pub fn take(self: &Arc<Self>) -> Option<(T, Permit<T>)> {
        let mut state = self.lock();
        loop {
            if let Some(Taken { id, work, .. }) = state.scheduler.take(Instant::now()) {
                return Some((work, Permit { admission: Arc::clone(self), id }));
            }
            if state.stopped && state.scheduler.waiting() == 0 {
                return None;
            }
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a request back that still waits. `None` where it does not: it runs, or has run.
    pub fn cancel(&self, ticket: Ticket) -> Option<T> {
        self.lock().scheduler.cancel(ticket.lane, ticket.id)
    }

    /// How many requests of a lane there are.
    pub fn depth(&self, lane: LaneId) -> Depth {
        let (waiting, running) = self.lock().scheduler.depth(lane);
        Depth { waiting, running }
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.lock().scheduler.waiting() == 0
    }

    /// How long a request of a lane would wait that came now.
    pub fn expected_wait(&self, lane: LaneId) -> Duration {
        self.lock().scheduler.expected_wait(Instant::now(), lane)
    }

    /// Takes nothing in any more. What waits is still run.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.wanted.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl<T> Permit<T> {
    /// Says that the reply goes out now: whoever gets it may come again at once, and will not be told that a worker is busy
    /// which only has to make itself ready.
    pub fn answered(&self) {
        self.admission.lock().scheduler.answered(self.id);
    }
}

impl<T> Drop for Permit<T> {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.scheduler.complete(Instant::now(), self.id);
        let (wanted, stopped) = (state.scheduler.waiting() > 0, state.stopped);
        drop(state);
        if stopped {
            self.admission.wanted.notify_all();
        } else if wanted {
            self.admission.wanted.notify_one();
        }
    }
}
