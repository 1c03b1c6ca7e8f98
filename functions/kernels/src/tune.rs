//! The processors that kernels are chosen for. Others compute the same, up to the last bits of sums, but not as fast.

use std::sync::atomic::{AtomicU8, Ordering};

/// A kind of processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tune {
    /// 16 vector registers, and room for thousands of decoded instructions: AMD since Zen 2, Intel since Alder Lake and Sapphire
    /// Rapids.
    X86_64,
    /// 16 vector registers, and room for 1,500 to 2,300 decoded instructions, so that long loops are decoded again each time:
    /// Intel before those. Measured on Cascade Lake, which has the fewest.
    Skylake,
    /// 32 vector registers.
    Aarch64,
}

/// Part of the snapshot: it is decided when a model is compiled.
static TUNE: AtomicU8 = AtomicU8::new(Tune::X86_64 as u8);

impl Tune {
    /// The kind of this name, as `samara compile --tune` has it.
    pub fn named(name: &str) -> Option<Tune> {
        match name {
            "x86-64" => Some(Tune::X86_64),
            "skylake" => Some(Tune::Skylake),
            "aarch64" => Some(Tune::Aarch64),
            _ => None,
        }
    }

    /// Chooses kernels for it from now on.
    pub fn choose(self) {
        TUNE.store(self as u8, Ordering::Relaxed);
    }

    /// Whether kernels are chosen for it.
    pub(crate) fn is_chosen(self) -> bool {
        TUNE.load(Ordering::Relaxed) == self as u8
    }
}
