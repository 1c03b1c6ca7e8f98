//! The limit of an instance's memory.

use wasmtime::ResourceLimiter;

/// How much memory an instance may have, how much it has, and whether it wanted more.
#[derive(Debug)]
pub struct MemoryLimit {
    bytes: usize,
    exceeded: bool,
    /// What its last memory began with, and what that has grown to.
    initial_bytes: usize,
    grown_bytes: usize,
}

impl MemoryLimit {
    /// A limit of so many bytes for each memory of an instance.
    pub fn new(bytes: usize) -> MemoryLimit {
        MemoryLimit { bytes, exceeded: false, initial_bytes: 0, grown_bytes: 0 }
    }

    /// The bytes that the instance's memory began with, and those that it has grown by since.
    pub(crate) fn growth(&self) -> (usize, usize) {
        (self.initial_bytes, self.grown_bytes.saturating_sub(self.initial_bytes))
    }

    /// Whether the instance asked for more than it may have.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.bytes;
        self.exceeded |= !allowed;
        if allowed {
            if current == 0 {
                self.initial_bytes = desired;
            }
            self.grown_bytes = desired;
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables already.
        Ok(true)
    }
}
