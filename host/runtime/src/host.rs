//! What an instance carries on the host's side: the limit of its memory.

use wasmtime::ResourceLimiter;

/// The host's side of one instance.
pub struct Host {
    memory_limit: usize,
    /// Whether the instance asked for more memory than it may have.
    pub memory_refused: bool,
}

impl Host {
    pub fn new(memory_limit: usize) -> Host {
        Host { memory_limit, memory_refused: false }
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.memory_limit;
        self.memory_refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables already.
        Ok(true)
    }
}
