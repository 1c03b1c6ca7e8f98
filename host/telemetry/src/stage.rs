//! The stages of a request, and how it ends.

use std::time::{Duration, Instant};

/// A stage of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits for a worker.
    Queue,
    /// Its tensors are read and checked.
    Parse,
    /// An instance is made for it, unless one was ready.
    Instantiate,
    /// The model, or the function, runs.
    Infer,
    /// Its reply is written.
    Encode,
    /// Its instance is reset, after the reply has been handed over.
    Reset,
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Success,
    /// There was something wrong with it.
    Invalid,
    /// It was refused, as there was too much to do.
    Overloaded,
    /// Its deadline passed.
    Deadline,
    /// Something else went wrong.
    Failed,
    /// Its client went away.
    Cancelled,
}

/// A step of a cold start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdStep {
    /// Its machine code was made.
    Compile,
    /// Its machine code was mapped.
    Map,
    /// Its first instance was made.
    Instantiate,
    /// It ran for the first time.
    FirstInference,
}

/// When the stages of a request began and ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stages([Option<(Instant, Instant)>; Stage::ALL.len()]);

// === impl Stage ===

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 6] =
        [Stage::Queue, Stage::Parse, Stage::Instantiate, Stage::Infer, Stage::Encode, Stage::Reset];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Queue => "queue",
            Stage::Parse => "parse",
            Stage::Instantiate => "instantiate",
            Stage::Infer => "infer",
            Stage::Encode => "encode",
            Stage::Reset => "reset",
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 6] = [
        Outcome::Success,
        Outcome::Invalid,
        Outcome::Overloaded,
        Outcome::Deadline,
        Outcome::Failed,
        Outcome::Cancelled,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Invalid => "invalid",
            Outcome::Overloaded => "overloaded",
            Outcome::Deadline => "deadline",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        }
    }

    /// What a status of HTTP says.
    #[must_use]
    pub fn of_status(status: u16) -> Outcome {
        match status {
            0..400 => Outcome::Success,
            400..500 => Outcome::Invalid,
            503 => Outcome::Overloaded,
            504 => Outcome::Deadline,
            _ => Outcome::Failed,
        }
    }
}

// === impl ColdStep ===

impl ColdStep {
    /// All of them, in their order.
    pub const ALL: [ColdStep; 4] = [ColdStep::Compile, ColdStep::Map, ColdStep::Instantiate, ColdStep::FirstInference];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ColdStep::Compile => "compile",
            ColdStep::Map => "map",
            ColdStep::Instantiate => "instantiate",
            ColdStep::FirstInference => "first_inference",
        }
    }
}

// === impl Stages ===

impl Stages {
    /// Notes when a stage began and ended.
    pub fn note(&mut self, stage: Stage, began: Instant, ended: Instant) {
        self.0[stage as usize] = Some((began, ended));
    }

    /// How long a stage took, if it was come to.
    #[must_use]
    pub fn duration(&self, stage: Stage) -> Option<Duration> {
        self.0[stage as usize].map(|(began, ended)| ended - began)
    }

    /// Those that the request came to, with when each began and ended.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, Instant, Instant)> {
        Stage::ALL.into_iter().filter_map(|stage| self.0[stage as usize].map(|(began, ended)| (stage, began, ended)))
    }
}
