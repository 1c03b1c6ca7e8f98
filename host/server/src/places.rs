//! How many instances may run at the same time.

use std::sync::atomic::{AtomicU32, Ordering};

use samara_runtime::InferError;

/// How many instances may run at the same time.
pub struct Places {
    limit: u32,
    taken: AtomicU32,
}

/// A place that is taken, until this is dropped.
pub struct Place<'a>(&'a Places);

impl Places {
    pub fn new(limit: u32) -> Places {
        Places { limit, taken: AtomicU32::new(0) }
    }

    /// How many there are.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    pub fn take(&self) -> Result<Place<'_>, InferError> {
        let place = Place(self);
        if self.taken.fetch_add(1, Ordering::Relaxed) < self.limit {
            Ok(place)
        } else {
            Err(InferError::Instances { limit: self.limit })
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
