//! How many vector registers the processors have that a component is made for.

use std::sync::atomic::{AtomicBool, Ordering};

/// What most processors have: x86-64 without AVX-512.
pub const FEW: usize = 16;

/// What aarch64 has.
pub const MANY: usize = 32;

/// Part of the snapshot: it is decided when a model is compiled.
static MANY_REGISTERS: AtomicBool = AtomicBool::new(false);

/// Chooses kernels for so many registers: those for [`MANY`], if there are as many, else those for [`FEW`]. Others compute the
/// same, but not as fast.
pub fn set(count: usize) {
    MANY_REGISTERS.store(count >= MANY, Ordering::Relaxed);
}

/// Whether there are as many as [`MANY`].
pub(crate) fn are_many() -> bool {
    MANY_REGISTERS.load(Ordering::Relaxed)
}
