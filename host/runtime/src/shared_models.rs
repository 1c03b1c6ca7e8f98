//! The components that are in use, by the key of their machine code: copies of one file share what is mapped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::CodeKey;
use crate::model::Inner;

/// The components that are in use, as long as they are.
#[derive(Default)]
pub struct SharedModels {
    by_key: Mutex<HashMap<CodeKey, Weak<Inner>>>,
}

impl SharedModels {
    pub fn get(&self, key: &CodeKey) -> Option<Arc<Inner>> {
        self.lock().get(key)?.upgrade()
    }

    pub fn insert(&self, key: CodeKey, model: &Arc<Inner>) {
        let mut by_key = self.lock();
        by_key.retain(|_, model| model.strong_count() > 0);
        by_key.insert(key, Arc::downgrade(model));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CodeKey, Weak<Inner>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
