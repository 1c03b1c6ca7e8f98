//! How long a request would wait, from what requests have taken.

use std::time::{Duration, Instant};

use super::Scheduler;

impl<T> Scheduler<T> {
    /// How long a request would wait that came to a lane now.
    ///
    /// What is before it in its own lane goes at the pace that its weight gives the lane while all that have something to do
    /// go on having it. Workers never rest while something waits, so that it is no longer than all that there is takes; and
    /// no shorter than what is before it in its lane takes with so many running as may. What waits is spread over the workers
    /// as they become free.
    pub(super) fn wait(&self, now: Instant, index: usize) -> Duration {
        let lane = &self.lanes[index];
        let (available, before) = (self.available(), lane.runs_before());
        // The most common case costs nothing, however many lanes there are.
        if self.waiting < available && before < lane.available() {
            return Duration::ZERO;
        }
        let could_run = self.lanes.iter().map(|lane| lane.runs().min(lane.available())).sum::<usize>();
        if could_run < available && before < lane.available() {
            return Duration::ZERO;
        }
        let own = lane.before() * lane.expected().as_secs_f64();
        let all: f64 = self.lanes.iter().map(|lane| lane.waiting() as f64 * lane.expected().as_secs_f64()).sum();
        let busy = |other: usize| other == index || self.lanes[other].waiting() > 0 || self.lanes[other].running > 0;
        let weights: f64 = (0..self.lanes.len())
            .filter(|&other| busy(other))
            .map(|other| f64::from(self.lanes[other].limits.weight.get()))
            .sum();
        let before = all.min(own * weights / f64::from(lane.limits.weight.get()));
        let fair = first_free(before, self.rests(now, None), self.limits.workers.get());
        let narrow =
            lane.limits.concurrency.map_or(0.0, |most| first_free(own, self.rests(now, Some(index)), most.get()));
        Duration::try_from_secs_f64(fair.max(narrow)).unwrap_or(Duration::MAX)
    }

    /// How much longer what runs is expected to take, of one lane or of all, in seconds.
    fn rests(&self, now: Instant, of: Option<usize>) -> Vec<f64> {
        let running = self.running.iter().filter(|running| of.is_none_or(|lane| running.lane == lane));
        let rests = running.filter(|running| !running.answered).map(|running| {
            let elapsed = now.saturating_duration_since(running.since).as_secs_f64();
            let expected = self.lanes[running.lane].expected().as_secs_f64() * running.requests as f64;
            (expected - elapsed).max(0.0)
        });
        rests.collect()
    }
}

/// When the first of so many places is free again that are taken for these times, once this much work has been spread over
/// them as they became free; all in seconds.
fn first_free(work: f64, mut taken: Vec<f64>, places: usize) -> f64 {
    taken.sort_by(|a, b| b.total_cmp(a));
    // Where more run than may, those that end first leave no place.
    taken.truncate(places);
    taken.resize(places, 0.0);
    let mut sum = work;
    let mut level = 0.0;
    for (index, place) in taken.iter().rev().enumerate() {
        if index > 0 && level <= *place {
            break;
        }
        sum += place;
        level = sum / (index + 1) as f64;
    }
    level
}

#[cfg(test)]
mod tests {
    use super::first_free;

    #[test]
    fn work_goes_to_the_places_that_are_free_first() {
        assert_eq!(first_free(0.0, vec![3.0, 1.0, 2.0], 3), 1.0);
        assert_eq!(first_free(0.0, vec![3.0, 1.0], 3), 0.0);
        assert_eq!(first_free(1.0, vec![3.0, 1.0], 2), 2.0);
        assert_eq!(first_free(4.0, vec![3.0, 1.0], 2), 4.0);
        assert_eq!(first_free(0.0, vec![3.0, 1.0, 2.0], 1), 3.0);
        assert_eq!(first_free(6.0, vec![], 2), 3.0);
    }
}
