//! Setting up a server anew while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::http::Service;
use crate::{Config, FunctionRoute, ServeError, Terms};

/// A handle by which a server is set up anew while it runs. Cloning it is cheap.
#[derive(Clone)]
pub struct Control {
    service: Arc<Service>,
}

impl Control {
    pub(crate) fn new(service: Arc<Service>) -> Control {
        Control { service }
    }

    /// Has this hold for requests that begin from now on, and these terms for some models, by name, and functions, by route.
    /// What has begun goes on as it was. Of the configuration, `listen`, `workers` and `instances` stay as they are.
    ///
    /// # Errors
    ///
    /// Something is set up for a model that is not served; then nothing has been changed.
    pub fn set_up(
        &self,
        config: Config,
        models: &BTreeMap<String, Terms>,
        functions: &[(FunctionRoute, Terms)],
    ) -> Result<(), ServeError> {
        self.service.set_up(config, models, functions)
    }
}
