//! How long a request would wait, from what requests have taken.

use std::time::{Duration, Instant};

use super::Scheduler;

impl<T> Scheduler<T> {
    /// How long a request would wait that came to a lane now.
    ///
    /// What is before it in its own lane goes at the pace that its weight gives the lane while all that have something to do
    /// go on having it. Workers never rest while something waits, so that it is no longer than all that there is takes; and
    /// no shorter than what is before it in its lane takes with so many running as may.
    pub(super) fn wait(&self, now: Instant, index: usize) -> Duration {
        let lane = &self.lanes[index];
        let (free, waiting_here) = (self.free(), lane.waiting.len());
        // The most common case costs nothing, however many lanes there are.
        if self.waiting < free && waiting_here < lane.free() {
            return Duration::ZERO;
        }
        let could_run = self.lanes.iter().map(|lane| lane.waiting.len().min(lane.free())).sum::<usize>();
        if could_run < free && waiting_here < lane.free() {
            return Duration::ZERO;
        }
        let workers = self.limits.workers.get() as f64;
        // What runs will be done with, on the average, when this much more time has passed.
        let rest = |of: Option<usize>| -> f64 {
            let running = self.running.iter().filter(|running| of.is_none_or(|lane| running.lane == lane));
            let rests = running.map(|running| {
                let elapsed = now.saturating_duration_since(running.since).as_secs_f64();
                (self.lanes[running.lane].expected().as_secs_f64() - elapsed).max(0.0)
            });
            rests.sum()
        };
        let own = waiting_here as f64 * lane.expected().as_secs_f64();
        let all: f64 = self.lanes.iter().map(|lane| lane.waiting.len() as f64 * lane.expected().as_secs_f64()).sum();
        let busy =
            |other: usize| other == index || !self.lanes[other].waiting.is_empty() || self.lanes[other].running > 0;
        let weights: f64 = (0..self.lanes.len())
            .filter(|&other| busy(other))
            .map(|other| f64::from(self.lanes[other].limits.weight.get()))
            .sum();
        let share = workers * f64::from(lane.limits.weight.get()) / weights;
        let fair = (own / share + rest(None) / workers).min((all + rest(None)) / workers);
        let narrow = lane.limits.concurrency.map_or(0.0, |most| (own + rest(Some(index))) / most.get() as f64);
        Duration::try_from_secs_f64(fair.max(narrow)).unwrap_or(Duration::MAX)
    }
}
