//! The scheduler with a clock and a lock, for the threads of a server.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Joined, LaneId, LaneLimits, NodeLimits, Place, Refusal, Refused, Scheduler, Taken, WorkId};

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
        self.submit_items(lane, deadline, 1, work)
    }

    /// The same with a request that counts for so many items of a batch.
    ///
    /// # Errors
    ///
    /// The request is refused, and returned with why.
    pub fn submit_items(
        &self,
        lane: LaneId,
        deadline: Instant,
        items: usize,
        work: T,
    ) -> Result<Submitted<T>, Refused<T>> {
        let mut state = self.lock();
        if state.stopped {
            return Err((work, Refusal::Stopping));
        }
        let (id, displaced) = state.scheduler.submit_items(Instant::now(), lane, deadline, items, work)?;
        drop(state);
        self.wanted.notify_one();
        Ok(Submitted { ticket: Ticket { lane, id }, displaced })
    }

    /// Waits for the request whose turn it is. `None` when nothing is taken in any more and all that was has run.
    ///
    /// Where requests run in batches, it is the first of one: the others are those that [`Permit::join`] gives.
    pub fn take(self: &Arc<Self>) -> Option<(T, Permit<T>)> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if let Some(Taken { id, work, .. }) = state.scheduler.take(now) {
                let due = state.scheduler.next_due();
                drop(state);
                if due.is_some() {
                    // This worker may have been the one to look after those that wait for others: now another does.
                    self.wanted.notify_one();
                }
                return Some((work, Permit { admission: Arc::clone(self), id }));
            }
            if state.stopped && state.scheduler.waiting() == 0 {
                return None;
            }
            state = match state.scheduler.next_due() {
                None => self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let rest = due.saturating_duration_since(now);
                    self.wanted.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0
                }
            };
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

    /// Whether nothing waits for a worker; what waits for others to run with does not.
    pub fn is_idle(&self) -> bool {
        !self.lock().scheduler.is_wanted(Instant::now())
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_quiet(&self) -> bool {
        let state = self.lock();
        state.scheduler.waiting() == 0 && state.scheduler.running() == 0
    }

    /// How long a request of a lane would wait that came now.
    pub fn expected_wait(&self, lane: LaneId) -> Duration {
        self.lock().scheduler.expected_wait(Instant::now(), lane)
    }

    /// Has nobody wait for others to run with any more: few will come.
    pub fn drain(&self) {
        self.lock().scheduler.drain();
        self.wanted.notify_all();
    }

    /// Takes nothing in any more. What waits is still run.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.drain();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl<T> Permit<T> {
    /// The next request of the lane, if it has no more items than that: it runs together with the one that this is the leave
    /// for, unless it is put back.
    pub fn join(&self, items: usize) -> Option<Joined<T>> {
        self.admission.lock().scheduler.join(self.id, items)
    }

    /// Has a request wait again, where it was, that does not run together with the one that this is the leave for.
    pub fn put_back(&self, place: Place, work: T) {
        self.admission.lock().scheduler.put_back(self.id, place, work);
        self.admission.wanted.notify_one();
    }

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
