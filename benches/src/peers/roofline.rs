//! The least that a model can take on this CPU: its roofline.
//!
//! Source: [Williams, Waterman and Patterson](https://doi.org/10.1145/1498765.1498785) (2009).

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use samara_profile::operators;
use samara_runtime::Limits;

use super::peer::{Lab, Subject};
use super::report::Roofline;
use crate::tensor::Tensor;

/// How often the model runs to be described.
const RUNS: usize = 3;
/// Sums that do not wait for each other, while weights are read.
const LANES: usize = 32;
/// How long weights are read.
const READING: Duration = Duration::from_millis(100);

/// Looks at the operators of the model's component.
pub fn measure(lab: &Lab<'_>, subject: &Subject) -> Result<Roofline> {
    let component = std::fs::read(lab.samara.component(&subject.build)?)?;
    let inputs: Vec<_> = subject.inputs.iter().map(Tensor::as_input).collect();
    let mut limits = Limits::default();
    limits.deadline = Duration::from_secs(60);
    let profile = operators(&component, &inputs, RUNS, &limits, None).context("no profile")?;
    let sum = |of: fn(&samara_profile::Operator) -> u64| profile.operators.iter().map(of).sum::<u64>();
    let weight_bytes = sum(|operator| operator.weight_bytes);
    Ok(Roofline {
        flops: sum(|operator| operator.flops),
        peak_gflops: profile.peak_gflops,
        weight_bytes,
        read_gb_s: read(weight_bytes as usize),
    })
}

/// How many bytes of as many a thread reads in a nanosecond, natively, again and again, as a model does its weights: from the
/// caches as far as they fit.
fn read(bytes: usize) -> f64 {
    let numbers = vec![1.0_f32; (bytes / size_of::<f32>()).max(LANES)];
    let mut least = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed() < READING {
        let began = Instant::now();
        // So often that the clock does not count.
        let rounds = (1 << 22) / numbers.len() + 1;
        for _ in 0..rounds {
            black_box(sums(black_box(&numbers)));
        }
        least = least.min(began.elapsed().as_nanos() as f64 / rounds as f64);
    }
    (numbers.len() * size_of::<f32>()) as f64 / least
}

/// Sums in so many lanes, which do not wait for each other.
#[inline(never)]
fn sums(numbers: &[f32]) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for line in numbers.as_chunks::<LANES>().0 {
        // By place, as an iterator over both may be compiled in another unit, and the sums then lie in memory.
        let mut lane = 0;
        while lane < LANES {
            sums[lane] += line[lane];
            lane += 1;
        }
    }
    sums
}
