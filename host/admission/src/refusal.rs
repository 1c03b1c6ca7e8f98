//! Why a request does not run.

use std::time::Duration;

/// Why a request does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// As many wait as may.
    #[error("overloaded: {waiting} requests are waiting already")]
    QueueFull {
        /// How many wait.
        waiting: usize,
        /// When there will be room, as far as can be told.
        retry_after: Duration,
    },
    /// It would wait for longer than it may, or it has.
    #[error("overloaded: a request waits for {} ms, and this one may for {} ms", wait.as_millis(), allowed.as_millis())]
    TooLate {
        /// How long it would wait, as far as can be told, or how long it has.
        wait: Duration,
        /// How long it may.
        allowed: Duration,
        /// When it would not have to, as far as can be told.
        retry_after: Duration,
    },
    /// It gave its place to one of a lane that had fewer waiting.
    #[error("overloaded: {waiting} requests of this model are waiting already, and others have their turn")]
    Displaced {
        /// How many of its lane wait.
        waiting: usize,
        /// When there will be room, as far as can be told.
        retry_after: Duration,
    },
    /// Its deadline had passed when it came.
    #[error("the request's deadline has passed")]
    Expired,
    /// Nothing is taken any more.
    #[error("the server is stopping")]
    Stopping,
}

impl Refusal {
    /// When to come again, in whole seconds and at least one, as the header `Retry-After` wants it; absent where that is of no
    /// use.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u32> {
        let after = match self {
            Refusal::QueueFull { retry_after, .. }
            | Refusal::TooLate { retry_after, .. }
            | Refusal::Displaced { retry_after, .. } => *retry_after,
            Refusal::Stopping => Duration::ZERO,
            Refusal::Expired => return None,
        };
        Some(u32::try_from(after.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1))
    }
}
