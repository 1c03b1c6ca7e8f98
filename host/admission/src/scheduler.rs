//! The decisions, without a clock: every call says what time it is.

mod estimate;
mod lane;

use std::time::{Duration, Instant};

use self::lane::{Lane, Waiting};
use crate::{LaneLimits, NodeLimits, Refusal};

/// A lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneId(usize);

/// A request, waiting or running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(u64);

/// Decides which request runs next, which waits, and which is refused.
pub struct Scheduler<T> {
    limits: NodeLimits,
    lanes: Vec<Lane<T>>,
    waiting: usize,
    running: Vec<Running>,
    /// Nobody waits for others any more.
    draining: bool,
    /// How much of the workers' time, for its weight, the lane had had that went last: what one that comes back starts from.
    virtual_time: f64,
    next: u64,
}

/// A request that does not run, and why.
pub type Refused<T> = (T, Refusal);

/// A request whose turn it is.
#[derive(Debug)]
pub struct Taken<T> {
    /// Which it is.
    pub id: WorkId,
    /// Its lane.
    pub lane: LaneId,
    /// What was submitted.
    pub work: T,
}

/// A request that runs together with one whose turn it is.
#[derive(Debug)]
pub struct Joined<T> {
    /// What was submitted.
    pub work: T,
    /// Its place in the queue, should it have to go back.
    pub place: Place,
}

/// The place that a request had in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// What it counts for in a batch.
    pub items: usize,
    id: WorkId,
    came: Instant,
    deadline: Instant,
}

/// A run: of one request, or of a batch.
struct Running {
    /// The request whose turn it was.
    id: WorkId,
    lane: usize,
    since: Instant,
    requests: usize,
    /// What it was expected to cost, in seconds.
    charged: f64,
    /// Whether its client has its reply: what is left is to make the worker ready for the next.
    answered: bool,
}

// === impl Scheduler ===

impl<T> Scheduler<T> {
    /// A scheduler without lanes.
    #[must_use]
    pub fn new(limits: NodeLimits) -> Scheduler<T> {
        let (lanes, running) = (Vec::new(), Vec::new());
        Scheduler { limits, lanes, waiting: 0, running, draining: false, virtual_time: 0.0, next: 0 }
    }

    /// Adds a lane.
    pub fn add(&mut self, limits: LaneLimits) -> LaneId {
        self.lanes.push(Lane::new(limits));
        LaneId(self.lanes.len() - 1)
    }

    /// Changes what a lane is held to, from now on.
    pub fn set_lane(&mut self, lane: LaneId, limits: LaneLimits) {
        self.lanes[lane.0].limits = limits;
    }

    /// Changes how many may wait at the node, from now on. Those who do stay.
    pub fn set_queue(&mut self, queue: usize) {
        self.limits.queue = queue;
    }

    /// Has nobody wait for others any more: few will come.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Takes a request in, or refuses it. The request that loses its place to it, if one does, is returned with why.
    ///
    /// # Errors
    ///
    /// The request is refused, and returned with why.
    pub fn submit(
        &mut self,
        now: Instant,
        lane: LaneId,
        deadline: Instant,
        work: T,
    ) -> Result<(WorkId, Option<Refused<T>>), Refused<T>> {
        self.submit_items(now, lane, deadline, 1, work)
    }

    /// The same with a request that counts for so many items of a batch.
    ///
    /// # Errors
    ///
    /// The request is refused, and returned with why.
    pub fn submit_items(
        &mut self,
        now: Instant,
        lane: LaneId,
        deadline: Instant,
        items: usize,
        work: T,
    ) -> Result<(WorkId, Option<Refused<T>>), Refused<T>> {
        if let Err(refusal) = self.admit(now, lane.0, deadline) {
            return Err((work, refusal));
        }
        let displaced = if self.waiting >= self.limits.queue.saturating_add(self.available()) {
            match self.displace(now, lane.0) {
                Ok(displaced) => Some(displaced),
                Err(refusal) => return Err((work, refusal)),
            }
        } else {
            None
        };
        // No batch is as large; and a sum of them stays a number.
        let items = items.clamp(1, 1 << 24);
        let id = WorkId(self.next);
        self.next += 1;
        self.waiting += 1;
        let lane = &mut self.lanes[lane.0];
        if lane.waiting() == 0 {
            // What it did not ask for while others did is not owed to it.
            lane.spent = lane.spent.max(self.virtual_time);
        }
        lane.push(Waiting { id, work, items, came: now, deadline });
        Ok((id, displaced))
    }

    /// The request whose turn it is, if one may run now.
    pub fn take(&mut self, now: Instant) -> Option<Taken<T>> {
        if self.free() == 0 || self.waiting == 0 {
            return None;
        }
        let eligible = self.lanes.iter().enumerate().filter(|(_, lane)| lane.free() > 0 && self.is_due(lane, now));
        let (index, _) = eligible.min_by(|(_, a), (_, b)| a.spent.total_cmp(&b.spent))?;
        let lane = &mut self.lanes[index];
        let Waiting { id, work, .. } = lane.pop()?;
        self.virtual_time = lane.spent;
        let charged = lane.expected_seconds();
        lane.charge(charged);
        lane.running += 1;
        self.waiting -= 1;
        self.running.push(Running { id, lane: index, since: now, requests: 1, charged, answered: false });
        Some(Taken { id, lane: LaneId(index), work })
    }

    /// Notes that the reply to a request which runs goes out. Whoever gets it may come again at once: as far as admission is
    /// concerned, its worker is free, though it still has to make itself ready.
    pub fn answered(&mut self, id: WorkId) {
        if let Some(running) = self.running.iter_mut().find(|running| running.id == id && !running.answered) {
            running.answered = true;
            self.lanes[running.lane].answered += 1;
        }
    }

    /// The next request in the lane of one that was taken, if it has no more items than that: it runs together with that one.
    pub fn join(&mut self, run: WorkId, items: usize) -> Option<Joined<T>> {
        let running = self.running.iter_mut().find(|running| running.id == run)?;
        let lane = &mut self.lanes[running.lane];
        let Waiting { id, work, items, came, deadline } = lane.pop_within(items)?;
        let charged = lane.expected_seconds();
        lane.charge(charged);
        running.charged += charged;
        running.requests += 1;
        self.waiting -= 1;
        Some(Joined { work, place: Place { items, id, came, deadline } })
    }

    /// Has a request wait again, where it was, that was to run together with one that was taken.
    pub fn put_back(&mut self, run: WorkId, place: Place, work: T) {
        let Some(running) = self.running.iter_mut().find(|running| running.id == run) else { return };
        let lane = &mut self.lanes[running.lane];
        let charged = running.charged / running.requests as f64;
        lane.charge(-charged);
        running.charged -= charged;
        running.requests -= 1;
        self.waiting += 1;
        let Place { items, id, came, deadline } = place;
        lane.push(Waiting { id, work, items, came, deadline });
    }

    /// Whether a lane has a request that waits for nothing but a worker.
    fn is_due(&self, lane: &Lane<T>, now: Instant) -> bool {
        // Where no more may wait, nobody comes to wait for.
        let crowded = self.draining || self.waiting >= self.limits.queue;
        lane.waiting() > 0 && (crowded || lane.due().is_none_or(|due| due <= now))
    }

    /// Whether a request waits for a worker; one that waits for others to run with does not.
    #[must_use]
    pub fn is_wanted(&self, now: Instant) -> bool {
        self.waiting > 0 && self.lanes.iter().any(|lane| self.is_due(lane, now))
    }

    /// When a request will have waited for others long enough, if that is all that keeps one from a worker.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        if self.waiting == 0 || self.free() == 0 {
            return None;
        }
        self.lanes.iter().filter(|lane| lane.waiting() > 0 && lane.free() > 0).filter_map(Lane::due).min()
    }

    /// Notes that a request which ran has come to its end.
    pub fn complete(&mut self, now: Instant, id: WorkId) {
        let Some(index) = self.running.iter().position(|running| running.id == id) else { return };
        let Running { lane, since, requests, charged, answered, .. } = self.running.swap_remove(index);
        let lane = &mut self.lanes[lane];
        lane.answered -= usize::from(answered);
        let taken = now.saturating_duration_since(since).as_secs_f64();
        lane.charge(taken - charged);
        lane.measure(taken, requests);
        lane.running -= 1;
    }

    /// Takes a request back that still waits. `None` where it does not.
    pub fn cancel(&mut self, lane: LaneId, id: WorkId) -> Option<T> {
        let cancelled = self.lanes[lane.0].remove(id)?;
        self.waiting -= 1;
        Some(cancelled.work)
    }

    /// How many requests of a lane wait, and how many run.
    #[must_use]
    pub fn depth(&self, lane: LaneId) -> (usize, usize) {
        let running = self.running.iter().filter(|running| running.lane == lane.0).map(|running| running.requests);
        (self.lanes[lane.0].waiting(), running.sum())
    }

    /// How many requests wait, over all lanes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many requests run, over all lanes.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// How long a request of a lane would wait that came now; zero where it would run at once.
    #[must_use]
    pub fn expected_wait(&self, now: Instant, lane: LaneId) -> Duration {
        self.wait(now, lane.0)
    }

    /// Whether a lane has room for a request, and that will be in time.
    fn admit(&self, now: Instant, index: usize, deadline: Instant) -> Result<(), Refusal> {
        if deadline <= now {
            return Err(Refusal::Expired);
        }
        let lane = &self.lanes[index];
        let wait = self.wait(now, index);
        let room = lane.limits.queue.unwrap_or(usize::MAX).saturating_add(lane.available().min(self.available()));
        if lane.waiting() >= room {
            return Err(Refusal::QueueFull { waiting: lane.waiting(), retry_after: wait });
        }
        if wait.is_zero() {
            return Ok(());
        }
        // Whoever waits has to have time left to run.
        let left = (deadline - now).saturating_sub(lane.expected_run());
        let allowed = lane.limits.queue_deadline.map_or(left, |most| most.min(left));
        if wait > allowed {
            return Err(Refusal::TooLate { wait, allowed, retry_after: wait - allowed });
        }
        Ok(())
    }

    /// Makes place for a request of a lane, at the cost of the lane that has most waiting for its weight.
    fn displace(&mut self, now: Instant, index: usize) -> Result<Refused<T>, Refusal> {
        let burden = |lane: &Lane<T>, more: usize| (lane.waiting() + more) as f64 / f64::from(lane.limits.weight.get());
        let own = burden(&self.lanes[index], 1);
        let others = self.lanes.iter().enumerate().filter(|(other, _)| *other != index);
        let most = others.max_by(|(_, a), (_, b)| burden(a, 0).total_cmp(&burden(b, 0)));
        let full = Refusal::QueueFull { waiting: self.waiting, retry_after: self.wait(now, index) };
        let Some((victim, _)) = most.filter(|(_, lane)| burden(lane, 0) > own) else { return Err(full) };
        let retry_after = self.wait(now, victim);
        let lane = &mut self.lanes[victim];
        let Some(displaced) = lane.pop_youngest() else { return Err(full) };
        self.waiting -= 1;
        Ok((displaced.work, Refusal::Displaced { waiting: lane.waiting(), retry_after }))
    }

    /// Workers that have nothing to do.
    fn free(&self) -> usize {
        self.limits.workers.get().saturating_sub(self.running.len())
    }

    /// Those, and the ones that only have to make themselves ready.
    fn available(&self) -> usize {
        self.free() + self.running.iter().filter(|running| running.answered).count()
    }
}

#[cfg(test)]
mod tests;
