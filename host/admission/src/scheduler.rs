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

struct Running {
    id: WorkId,
    lane: usize,
    since: Instant,
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
        Scheduler { limits, lanes: Vec::new(), waiting: 0, running: Vec::new(), virtual_time: 0.0, next: 0 }
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
        let id = WorkId(self.next);
        self.next += 1;
        self.waiting += 1;
        let lane = &mut self.lanes[lane.0];
        if lane.waiting.is_empty() {
            // What it did not ask for while others did is not owed to it.
            lane.spent = lane.spent.max(self.virtual_time);
        }
        lane.waiting.push_back(Waiting { id, work });
        Ok((id, displaced))
    }

    /// The request whose turn it is, if one may run now.
    pub fn take(&mut self, now: Instant) -> Option<Taken<T>> {
        if self.free() == 0 || self.waiting == 0 {
            return None;
        }
        let eligible =
            self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.waiting.is_empty() && lane.free() > 0);
        let (index, lane) = eligible.min_by(|(_, a), (_, b)| a.spent.total_cmp(&b.spent))?;
        let Waiting { id, work } = lane.waiting.pop_front()?;
        self.virtual_time = lane.spent;
        let charged = lane.expected_seconds();
        lane.charge(charged);
        lane.running += 1;
        self.waiting -= 1;
        self.running.push(Running { id, lane: index, since: now, charged, answered: false });
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

    /// Notes that a request which ran has come to its end.
    pub fn complete(&mut self, now: Instant, id: WorkId) {
        let Some(index) = self.running.iter().position(|running| running.id == id) else { return };
        let Running { lane, since, charged, answered, .. } = self.running.swap_remove(index);
        let lane = &mut self.lanes[lane];
        lane.answered -= usize::from(answered);
        let taken = now.saturating_duration_since(since).as_secs_f64();
        lane.charge(taken - charged);
        lane.measure(taken);
        lane.running -= 1;
    }

    /// Takes a request back that still waits. `None` where it does not.
    pub fn cancel(&mut self, lane: LaneId, id: WorkId) -> Option<T> {
        let waiting = &mut self.lanes[lane.0].waiting;
        let index = waiting.binary_search_by_key(&id, |waiting| waiting.id).ok()?;
        let cancelled = waiting.remove(index)?;
        self.waiting -= 1;
        Some(cancelled.work)
    }

    /// How many requests of a lane wait, and how many run.
    #[must_use]
    pub fn depth(&self, lane: LaneId) -> (usize, usize) {
        let lane = &self.lanes[lane.0];
        (lane.waiting.len(), lane.running)
    }

    /// How many requests wait, over all lanes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
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
        if lane.waiting.len() >= room {
            return Err(Refusal::QueueFull { waiting: lane.waiting.len(), retry_after: wait });
        }
        if wait.is_zero() {
            return Ok(());
        }
        // Whoever waits has to have time left to run.
        let left = (deadline - now).saturating_sub(lane.expected());
        let allowed = lane.limits.queue_deadline.map_or(left, |most| most.min(left));
        if wait > allowed {
            return Err(Refusal::TooLate { wait, allowed, retry_after: wait - allowed });
        }
        Ok(())
    }

    /// Makes place for a request of a lane, at the cost of the lane that has most waiting for its weight.
    fn displace(&mut self, now: Instant, index: usize) -> Result<Refused<T>, Refusal> {
        let burden =
            |lane: &Lane<T>, more: usize| (lane.waiting.len() + more) as f64 / f64::from(lane.limits.weight.get());
        let own = burden(&self.lanes[index], 1);
        let others = self.lanes.iter().enumerate().filter(|(other, _)| *other != index);
        let most = others.max_by(|(_, a), (_, b)| burden(a, 0).total_cmp(&burden(b, 0)));
        let full = Refusal::QueueFull { waiting: self.waiting, retry_after: self.wait(now, index) };
        let Some((victim, _)) = most.filter(|(_, lane)| burden(lane, 0) > own) else { return Err(full) };
        let retry_after = self.wait(now, victim);
        let lane = &mut self.lanes[victim];
        let Some(displaced) = lane.waiting.pop_back() else { return Err(full) };
        self.waiting -= 1;
        Ok((displaced.work, Refusal::Displaced { waiting: lane.waiting.len(), retry_after }))
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
