//! What a model gets when it comes: a lane, and series.

use std::sync::{Arc, PoisonError};

use super::Served;
use crate::http::Service;

/// What is told of models that come while the server runs.
pub trait Observer: Sync {
    /// A model is about to be served.
    fn loaded(&self, served: &Arc<Served>);
    /// A component could not be loaded; the name of its model, where that is known, or else nothing.
    fn failed(&self, name: &str);
}

impl Observer for Service {
    fn loaded(&self, served: &Arc<Served>) {
        // The series of a model that is only registered are made when it is asked: most of many never are.
        if let Some((step, time)) = served.loaded {
            served.series(&self.metrics).measure_cold(step, time);
            self.keeper.add(served);
        }
        let name = &served.metadata().name;
        self.metrics.load(name, true);
        // A model's versions share a lane, as they are alternatives to each other.
        let limits = served.limits(&self.config());
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = match lanes.get(name) {
            Some(&lane) => {
                self.workers.admission.set_lane(lane, limits);
                lane
            }
            None => *lanes.entry(name.clone()).or_insert(self.workers.admission.add(limits)),
        };
        let _ = served.lane.set(lane);
    }

    fn failed(&self, name: &str) {
        self.metrics.load(name, false);
    }
}
