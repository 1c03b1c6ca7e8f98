//! What a program may have of memory.

use wasmtime::ResourceLimiter;

/// Bytes that all memories and tables of a program may still grow by.
#[derive(Debug)]
pub struct Limit {
    left: usize,
}

impl Limit {
    pub fn new(bytes: usize) -> Limit {
        Limit { left: bytes }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        match self.left.checked_sub(desired.saturating_sub(current)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl ResourceLimiter for Limit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(size_of::<usize>());
        Ok(self.grow(bytes(current), bytes(desired)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_what_there_is() {
        let mut limit = Limit::new(100 + 10 * size_of::<usize>());
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.memory_growing(0, 40, None).unwrap());
        assert!(!limit.table_growing(0, 11, None).unwrap());
        assert!(limit.table_growing(0, 10, None).unwrap());
        assert!(!limit.memory_growing(60, 61, None).unwrap());
        assert!(!limit.table_growing(10, usize::MAX, None).unwrap());
    }
}
