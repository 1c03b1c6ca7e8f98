//! The requests of one model or function.

use std::collections::VecDeque;
use std::time::Duration;

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
    pub waiting: VecDeque<Waiting<T>>,
    pub running: usize,
    /// Of those, the ones whose replies are out.
    pub answered: usize,
    /// How much of the workers' time it has had, in seconds by its weight.
    pub spent: f64,
    /// How long its requests take, in seconds; absent until one has run.
    measured: Option<f64>,
}

/// A request that waits.
pub struct Waiting<T> {
    pub id: WorkId,
    pub work: T,
}

impl<T> Lane<T> {
    pub fn new(limits: LaneLimits) -> Lane<T> {
        Lane { limits, waiting: VecDeque::new(), running: 0, answered: 0, spent: 0.0, measured: None }
    }

    /// How many more of its requests may run.
    pub fn free(&self) -> usize {
        self.limits.concurrency.map_or(usize::MAX, |most| most.get().saturating_sub(self.running))
    }

    /// The same, if those whose replies are out no longer count.
    pub fn available(&self) -> usize {
        self.free().saturating_add(self.answered)
    }

    /// How long one of its requests is expected to take; zero where nothing is known.
    pub fn expected(&self) -> Duration {
        self.measured.map_or(Duration::ZERO, Duration::from_secs_f64)
    }

    pub fn expected_seconds(&self) -> f64 {
        self.measured.unwrap_or(0.0).max(LEAST)
    }

    pub fn charge(&mut self, seconds: f64) {
        self.spent += seconds / f64::from(self.limits.weight.get());
    }

    pub fn measure(&mut self, seconds: f64) {
        self.measured = Some(match self.measured {
            Some(before) => before + (seconds - before) * NEWEST,
            None => seconds,
        });
    }
}
