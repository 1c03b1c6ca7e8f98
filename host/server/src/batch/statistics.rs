//! What has happened to batches, by their sizes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use samara_protocol::repository::{BatchStatistics, DurationStatistic};

/// The largest size that is told of by itself; what is larger is one request alone, of which a client chooses the size.
const LARGEST: u64 = 1024;

/// What has happened to batches since the server started, by how many items each had.
#[derive(Default)]
pub struct BatchCounters(Mutex<BTreeMap<u64, BatchStatistics>>);

/// How long the parts of a batch took.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchTimes {
    /// To decode its requests.
    pub input: Duration,
    /// To stack them and run the model.
    pub infer: Duration,
    /// To encode its replies.
    pub output: Duration,
}

// === impl BatchCounters ===

impl BatchCounters {
    /// Counts a batch that ran.
    pub fn add(&self, items: u64, times: BatchTimes) {
        if items > LARGEST {
            return;
        }
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = sizes.entry(items).or_default();
        batch.batch_size = items;
        add(&mut batch.compute_input, times.input);
        add(&mut batch.compute_infer, times.infer);
        add(&mut batch.compute_output, times.output);
    }

    /// All of it, the smallest first.
    pub fn read(&self) -> Vec<BatchStatistics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }
}

fn add(statistic: &mut DurationStatistic, time: Duration) {
    statistic.count += 1;
    statistic.ns = statistic.ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_add_up_by_their_sizes() {
        let counters = BatchCounters::default();
        let times = BatchTimes { infer: Duration::from_nanos(5), ..BatchTimes::default() };
        for items in [4, 1, 4, LARGEST + 1] {
            counters.add(items, times);
        }
        let told: Vec<_> = counters.read().iter().map(|batch| (batch.batch_size, batch.compute_infer)).collect();
        let statistic = |count, ns| DurationStatistic { count, ns };
        assert_eq!(told, [(1, statistic(1, 5)), (4, statistic(2, 10))]);
    }
}
