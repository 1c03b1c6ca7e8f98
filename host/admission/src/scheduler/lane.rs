//! The requests of one model or function.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::WorkId;
use crate::LaneLimits;

/// How much a new measurement counts beside what was known: of the last twenty or so, most.
const NEWEST: f64 = 0.1;

/// What a request costs at least, in seconds: where nothing is known yet, lanes take turns.
const LEAST: f64 = 1e-6;

/// The requests of one model or function.
pub struct Lane<T> {
    pub limits: LaneLimits,
    /// In the order in which they came.
    waiting: VecDeque<Waiting<T>>,
    /// The items of all that wait.
    items: usize,
    /// Its runs, of one request or of a batch.
    pub running: usize,
    /// Of those, the ones whose replies are out.
    pub answered: usize,
    /// How much of the workers' time it has had, in seconds by its weight.
    pub spent: f64,
    /// How long its requests take, each its share of a batch, in seconds; absent until one has run.
    measured: Option<f64>,
    /// How long its runs take, in seconds.
    run: Option<f64>,
}

/// A request that waits.
pub struct Waiting<T> {
    pub id: WorkId,
    pub work: T,
    /// What it counts for in a batch.
    pub items: usize,
    pub came: Instant,
    pub deadline: Instant,
}

impl<T> Lane<T> {
    pub fn new(limits: LaneLimits) -> Lane<T> {
        Lane {
            limits,
            waiting: VecDeque::new(),
            items: 0,
            running: 0,
            answered: 0,
            spent: 0.0,
            measured: None,
            run: None,
        }
    }

    /// How many of its requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Has a request wait in the order of arrival, which is that of the ids: one that was taken out goes back to its place.
    pub fn push(&mut self, waiting: Waiting<T>) {
        self.items += waiting.items;
        let index = self.waiting.partition_point(|other| other.id < waiting.id);
        self.waiting.insert(index, waiting);
    }

    /// The oldest that waits.
    pub fn pop(&mut self) -> Option<Waiting<T>> {
        let oldest = self.waiting.pop_front()?;
        self.items -= oldest.items;
        Some(oldest)
    }

    /// The oldest that waits, if it has no more items than that.
    pub fn pop_within(&mut self, items: usize) -> Option<Waiting<T>> {
        self.waiting.front().filter(|oldest| oldest.items <= items)?;
        self.pop()
    }

    /// The youngest that waits.
    pub fn pop_youngest(&mut self) -> Option<Waiting<T>> {
        let youngest = self.waiting.pop_back()?;
        self.items -= youngest.items;
        Some(youngest)
    }

    /// Takes a request out that waits.
    pub fn remove(&mut self, id: WorkId) -> Option<Waiting<T>> {
        let index = self.waiting.binary_search_by_key(&id, |waiting| waiting.id).ok()?;
        let removed = self.waiting.remove(index)?;
        self.items -= removed.items;
        Some(removed)
    }

    /// When the oldest that wait have waited for others long enough; absent where they need not: each runs by itself, or there
    /// are enough for a full batch, or no more may wait.
    pub fn due(&self) -> Option<Instant> {
        let batching = self.limits.batching?;
        if self.items >= batching.max_size.get() || self.limits.queue.is_some_and(|most| self.waiting.len() >= most) {
            return None;
        }
        let run = self.expected_run();
        let due = |waiting: &Waiting<T>| {
            let left = waiting.deadline.saturating_duration_since(waiting.came).saturating_sub(run);
            let spare = self.limits.queue_deadline.map_or(left, |most| most.min(left));
            waiting.came + batching.max_delay.min(spare / 2)
        };
        self.waiting.iter().map(due).min()
    }

    /// How many runs those that wait will take.
    pub fn runs(&self) -> usize {
        self.limits.batching.map_or(self.waiting.len(), |batching| self.items.div_ceil(batching.max_size.get()))
    }

    /// How many runs come before that of a request that came now.
    pub fn runs_before(&self) -> usize {
        self.limits.batching.map_or(self.waiting.len(), |batching| self.items / batching.max_size.get())
    }

    /// How many requests run before one that came now: those of batches that are full without it.
    pub fn before(&self) -> f64 {
        let waiting = self.waiting.len() as f64;
        match self.limits.batching {
            Some(batching) if self.items > 0 => {
                waiting * (self.runs_before() * batching.max_size.get()) as f64 / self.items as f64
            }
            Some(_) => 0.0,
            None => waiting,
        }
    }

    /// How many more of its requests may run.
    pub fn free(&self) -> usize {
        self.limits.concurrency.map_or(usize::MAX, |most| most.get().saturating_sub(self.running))
    }

    /// The same, if those whose replies are out no longer count.
    pub fn available(&self) -> usize {
        self.free().saturating_add(self.answered)
    }

    /// How long one of its requests is expected to take, its share of a batch; zero where nothing is known.
    pub fn expected(&self) -> Duration {
        self.measured.map_or(Duration::ZERO, Duration::from_secs_f64)
    }

    /// How long one of its runs is expected to take; zero where nothing is known.
    pub fn expected_run(&self) -> Duration {
        self.run.map_or(Duration::ZERO, Duration::from_secs_f64)
    }

    pub fn expected_seconds(&self) -> f64 {
        self.measured.unwrap_or(0.0).max(LEAST)
    }

    pub fn charge(&mut self, seconds: f64) {
        self.spent += seconds / f64::from(self.limits.weight.get());
    }

    /// Notes how long a run of so many requests has taken.
    pub fn measure(&mut self, seconds: f64, requests: usize) {
        let average = |before: Option<f64>, seconds: f64, newest: f64| {
            Some(before.map_or(seconds, |before| before + (seconds - before) * newest))
        };
        // As many measurements as there are requests.
        let newest = 1.0 - (1.0 - NEWEST).powi(i32::try_from(requests).unwrap_or(i32::MAX));
        self.measured = average(self.measured, seconds / requests.max(1) as f64, newest);
        self.run = average(self.run, seconds, NEWEST);
    }
}
