//! The instances that are ready before the request comes for which they are: one for each worker, of the model that it has
//! run last.

use std::sync::{Arc, Mutex, PoisonError};

use crate::inference::Counted;
use crate::repository::Served;

/// The place of each worker for an instance that is ready.
#[derive(Clone)]
pub struct Ready(Arc<[Place]>);

/// The place of one worker.
#[derive(Clone, Default)]
pub struct Place(Arc<Mutex<Option<Kept>>>);

/// An instance, which is gone before the model that it is of.
struct Kept {
    instance: Counted,
    of: Arc<Served>,
}

// === impl Ready ===

impl Ready {
    pub fn new(workers: usize) -> Ready {
        Ready((0..workers).map(|_| Place::default()).collect())
    }

    /// The places, in the order of the workers.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter()
    }

    /// Drops what is ready of a model.
    pub fn forget(&self, served: &Arc<Served>) {
        for place in &*self.0 {
            place.forget(served);
        }
    }
}

// === impl Place ===

impl Place {
    /// Leaves an instance, unless its model is not served any more.
    pub fn put(&self, served: &Arc<Served>, instance: Counted) {
        let kept = Kept { instance, of: Arc::clone(served) };
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(kept);
        drop(before);
        // Who retires a model forgets afterwards what is ready of it: either finds what the other has left.
        if served.model.is_retired() {
            self.forget(served);
        }
    }

    /// Takes what is there, if it is of this model; what is not is dropped: an instance of another model would only hold a slot
    /// that this one may need.
    pub fn take(&self, served: &Arc<Served>) -> Option<Counted> {
        let Kept { instance, of } = self.take_if(|_| true)?;
        Arc::ptr_eq(&of, served).then_some(instance)
    }

    /// Drops what is there, if it is of this model.
    fn forget(&self, served: &Arc<Served>) {
        drop(self.take_if(|other| Arc::ptr_eq(other, served)));
    }

    fn take_if(&self, wanted: impl FnOnce(&Arc<Served>) -> bool) -> Option<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take_if(|kept| wanted(&kept.of))
    }
}
