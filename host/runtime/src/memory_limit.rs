//! The limit of an instance's memory.

use wasmtime::ResourceLimiter;

/// How much memory an instance may have, and whether it wanted more.
#[derive(Debug)]
pub struct MemoryLimit {
    bytes: usize,
    exceeded: bool,
}

impl MemoryLimit {
    /// A limit of so many bytes for each memory of an instance.
    pub fn new(bytes: usize) -> MemoryLimit {
        MemoryLimit { bytes, exceeded: false }
    }

    /// Whether the instance asked for more than it may have.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.bytes;
        self.exceeded |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables already.
        Ok(true)
    }
}
