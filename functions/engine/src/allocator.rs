//! The allocator of the engine: what is freed while a model loads is zeroed.
//!
//! A snapshot keeps every byte of the linear memory that is not zero. Loading leaves much behind: the graph as it came,
//! its intermediate forms, weights in their original layout. Zeroing them on release keeps them out of the component and,
//! since pages without content cost nothing to map, out of every instance. Once the model is loaded nothing is zeroed
//! any more: an instance lives for one request.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

/// The system's allocator, zeroing what is freed until [`stop_zeroing`] is called.
pub struct ZeroingAllocator;

static ZEROING: AtomicBool = AtomicBool::new(true);

/// Leaves freed memory as it is from now on.
pub fn stop_zeroing() {
    ZEROING.store(false, Ordering::Relaxed);
}

// SAFETY: every method passes its arguments on to `System`, and adds only writes into the block that the caller is
// giving up, within the size that its layout states.
unsafe impl GlobalAlloc for ZeroingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds `GlobalAlloc::alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds `GlobalAlloc::alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if ZEROING.load(Ordering::Relaxed) {
            // SAFETY: the block is `layout.size()` bytes long and nobody else may use it any more.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        // SAFETY: the caller upholds `GlobalAlloc::dealloc`'s contract.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !ZEROING.load(Ordering::Relaxed) {
            // SAFETY: the caller upholds `GlobalAlloc::realloc`'s contract.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // Moved by hand, so that the old block is zeroed like any other.
        // SAFETY: the caller guarantees that `new_size`, rounded up to the alignment, does not overflow.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the new size is not zero, by the contract of `realloc`.
        let new_block = unsafe { System.alloc(new_layout) };
        if !new_block.is_null() {
            // SAFETY: both blocks hold at least the smaller of the two sizes, and do not overlap.
            unsafe { new_block.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
            // SAFETY: `block` came from this allocator with `layout`, and is given up here.
            unsafe { self.dealloc(block, layout) };
        }
        new_block
    }
}
