//! How much of the host's memory a guest's tensors may take.

/// How much of the host's memory a guest's tensors may still take, in bytes.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: usize,
}

/// The budget is used up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest's tensors would take more than {limit_bytes} bytes of the host's memory")]
pub struct BudgetExceeded {
    /// What they may take.
    pub limit_bytes: usize,
}

/// What a tensor, a graph or a context costs beside its data: what keeps a guest from having millions of them.
pub const HANDLE_BYTES: usize = 256;

impl Budget {
    pub fn new(limit: usize) -> Budget {
        Budget { limit, used: 0 }
    }

    /// Sets what may be used from now on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Whether so many bytes are left, handles included.
    pub fn has(&self, bytes: usize) -> Result<(), BudgetExceeded> {
        if self.used.saturating_add(bytes) > self.limit {
            return Err(BudgetExceeded { limit_bytes: self.limit });
        }
        Ok(())
    }

    /// Takes so many bytes and a handle's.
    pub fn take(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        let bytes = bytes.saturating_add(HANDLE_BYTES);
        self.has(bytes)?;
        self.used += bytes;
        Ok(())
    }

    /// Gives back what [`Budget::take`] took for so many bytes.
    pub fn give(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes.saturating_add(HANDLE_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut budget = Budget::new(1000 + HANDLE_BYTES);
        assert_eq!(budget.take(1001), Err(BudgetExceeded { limit_bytes: 1000 + HANDLE_BYTES }));
        for _ in 0..3 {
            assert_eq!(budget.take(1000), Ok(()));
            assert!(budget.take(0).is_err());
            budget.give(1000);
        }
    }
}
