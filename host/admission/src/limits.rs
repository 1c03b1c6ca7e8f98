//! What lanes, and the node, are held to.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// What the node is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// Requests that run at the same time.
    pub workers: NonZeroUsize,
    /// Requests that wait, over all lanes.
    pub queue: usize,
}

/// What a lane is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// Its part of the workers' time while others want some: twice that of a lane with half the weight.
    pub weight: NonZeroU32,
    /// Its requests that run at the same time; absent for as many as there are workers.
    pub concurrency: Option<NonZeroUsize>,
    /// Its requests that wait; absent for as many as may wait at the node.
    pub queue: Option<usize>,
    /// How long one of its requests may wait; absent for as long as its deadline lets it.
    pub queue_deadline: Option<Duration>,
    /// How its requests run together; absent where each runs by itself.
    pub batching: Option<Batching>,
}

/// How the requests of a lane run together, in batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// The most items of a batch. A request that has more by itself runs alone.
    pub max_size: NonZeroUsize,
    /// How long a request waits for others at the most, while there are too few for a full batch. Zero for not at all: those
    /// run together that wait anyway.
    pub max_delay: Duration,
}

impl Default for LaneLimits {
    fn default() -> Self {
        LaneLimits { weight: NonZeroU32::MIN, concurrency: None, queue: None, queue_deadline: None, batching: None }
    }
}
