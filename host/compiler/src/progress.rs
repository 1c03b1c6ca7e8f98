//! The steps of a compilation: told as they begin, and timed.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::CompileError;

/// How long a step took.
#[derive(Clone, Debug, Serialize)]
pub struct StepTime {
    /// The step.
    pub step: &'static str,
    /// Its time in milliseconds.
    pub ms: f64,
}

/// Hears of each step as it begins: its position, how many there are, and what it does.
pub type Progress<'a> = dyn FnMut(usize, usize, &'static str) + 'a;

/// Times the steps, one after the other.
pub struct Clock<'a> {
    steps: &'static [&'static str],
    progress: &'a mut Progress<'a>,
    times: Vec<StepTime>,
}

impl<'a> Clock<'a> {
    pub fn new(steps: &'static [&'static str], progress: &'a mut Progress<'a>) -> Clock<'a> {
        Clock { steps, progress, times: Vec::with_capacity(steps.len()) }
    }

    /// Does the next step.
    pub fn step<R>(&mut self, f: impl FnOnce() -> Result<R, CompileError>) -> Result<R, CompileError> {
        let index = self.times.len();
        let step = self.steps[index];
        (self.progress)(index, self.steps.len(), step);
        let start = Instant::now();
        let result = f()?;
        self.times.push(StepTime { step, ms: milliseconds(start.elapsed()) });
        Ok(result)
    }

    /// How long each step took.
    pub fn into_times(self) -> Vec<StepTime> {
        self.times
    }
}

/// A duration in milliseconds, to the microsecond.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
