//! How long instances take.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use samara_protocol::InputTensor;
use samara_runtime::{DirtyPages, InferError, Model};
use serde::Serialize;

/// How long instances take. A fresh one is made before the inference that is measured, as a server does.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// How often each was measured.
    pub samples: usize,
    /// Making an instance.
    pub instantiate: Quantiles,
    /// An inference in an instance of its own.
    pub fresh: Quantiles,
    /// An inference in an instance that has run before.
    pub reused: Quantiles,
    /// Page faults of making an instance and of its first inference, the median.
    pub page_faults: u64,
    /// The pages of its memory that an inference writes to; none where the system does not tell.
    #[serde(flatten)]
    pub dirty: Option<DirtyPages>,
}

/// How times are spread, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// The least.
    pub min_ns: u64,
    /// The median.
    pub p50_ns: u64,
    /// What 99 of 100 are within.
    pub p99_ns: u64,
}

/// The fewest samples, however long they take.
const MIN_SAMPLES: usize = 3;

/// The most samples, however short they are.
const MAX_SAMPLES: usize = 100_000;

/// Measures for about `time`: fresh and reused instances in turns, so that whatever else the machine does meets both.
///
/// # Errors
///
/// The first failure of the model or of its instance.
pub fn latency(model: &Model, inputs: &[InputTensor<'_>], time: Duration) -> Result<Latency, InferError> {
    let dirty = model.dirty_pages(inputs)?;
    let mut reused = model.instantiate()?;
    reused.infer(inputs, &[])?;
    // The first one finds a slot that has not served before.
    model.instantiate()?.infer(inputs, &[])?;
    let mut samples: [Vec<u64>; 4] = Default::default();
    let [instantiate, fresh, again, faults] = &mut samples;
    let begin = Instant::now();
    while fresh.len() < MIN_SAMPLES || (begin.elapsed() < time && fresh.len() < MAX_SAMPLES) {
        let faults_before = page_faults();
        let start = Instant::now();
        let mut instance = model.instantiate()?;
        instantiate.push(nanoseconds(start.elapsed()));
        let start = Instant::now();
        instance.infer(inputs, &[])?;
        fresh.push(nanoseconds(start.elapsed()));
        faults.push(page_faults().saturating_sub(faults_before));
        drop(instance);
        let start = Instant::now();
        reused.infer(inputs, &[])?;
        again.push(nanoseconds(start.elapsed()));
    }
    Ok(Latency {
        samples: fresh.len(),
        instantiate: Quantiles::of(instantiate),
        fresh: Quantiles::of(fresh),
        reused: Quantiles::of(again),
        page_faults: at(faults, 0.5),
        dirty,
    })
}

impl Quantiles {
    fn of(samples: &mut [u64]) -> Quantiles {
        Quantiles { min_ns: at(samples, 0.0), p50_ns: at(samples, 0.5), p99_ns: at(samples, 0.99) }
    }
}

/// The sample that this share of the others is below.
fn at(samples: &mut [u64], share: f64) -> u64 {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * share).round() as usize).copied().unwrap_or(0)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The page faults of this process so far that were served from memory.
fn page_faults() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.minor_page_faults().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let mut samples: Vec<u64> = (1..=101).rev().collect();
        assert_eq!(Quantiles::of(&mut samples), Quantiles { min_ns: 1, p50_ns: 51, p99_ns: 100 });
        assert_eq!(Quantiles::of(&mut [7]), Quantiles { min_ns: 7, p50_ns: 7, p99_ns: 7 });
    }
}
