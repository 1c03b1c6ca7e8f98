//! The allocator of the engine: three heaps, so that an inference writes to little of what the snapshot holds.
//!
//! A fresh instance costs what its inference writes to: each page of the snapshot is copied on the first write, and put
//! back before the slot serves again. Hosts track what was written in runs of pages (Wasmtime keeps the first 32 runs of
//! an instance resident and gives the rest back to the system, so that they fault again the next time). What inferences
//! write is therefore kept together, apart from what they only read:
//!
//! - while the model loads, blocks of less than [`LARGE`] bytes, which reference counts and operators' states are among,
//!   come from one heap, and weights from another;
//! - afterwards everything comes from a third heap, the working memory, which lies above the two others. Its pages are
//!   there from the start, as many as the rehearsal needed ([`peak_of`]), and zero: no instance grows its memory to run.
//!
//! What is freed while a model loads is zeroed. A snapshot keeps every byte of the linear memory that is not zero, and
//! loading leaves much behind: the graph as it came, its intermediate forms, weights in their original layout.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::{Cell, UnsafeCell};

use dlmalloc::Dlmalloc;

/// The size from which a block counts as large, in bytes: a page, of which it may have one for itself.
const LARGE: usize = 4 << 10;

/// What the heap of small blocks grows by, in bytes. Many of the weights' heap's chunks would otherwise come between.
const SMALL_GROWTH: usize = 1 << 20;

/// The page of a linear memory, in bytes.
const PAGE: usize = 64 << 10;

/// The engine's allocator. See the module's documentation.
pub struct Allocator(UnsafeCell<Heaps>);

struct Heaps {
    small: Dlmalloc<Memory>,
    large: Dlmalloc<Memory>,
    working: Dlmalloc<Memory>,
    /// Where the working memory begins; 0 while the model loads.
    working_base: usize,
    /// Bytes in use, as long as the model loads.
    live: usize,
    /// The most that `live` has been.
    peak: usize,
}

// SAFETY: the engine is built without threads.
unsafe impl Sync for Allocator {}

// === impl Allocator ===

impl Allocator {
    pub const fn new() -> Allocator {
        Allocator(UnsafeCell::new(Heaps {
            small: Dlmalloc::new_with_allocator(Memory::growing_by(SMALL_GROWTH)),
            large: Dlmalloc::new_with_allocator(Memory::growing_by(PAGE)),
            working: Dlmalloc::new_with_allocator(Memory::growing_by(PAGE)),
            working_base: 0,
            live: 0,
            peak: 0,
        }))
    }

    /// Calls `f`, and gives how many bytes more than before were in use at once meanwhile. Only while the model loads.
    pub fn peak_of<R>(&self, f: impl FnOnce() -> R) -> (R, usize) {
        let live = self.with(|heaps| {
            heaps.peak = heaps.live;
            heaps.live
        });
        let result = f();
        (result, self.with(|heaps| heaps.peak.saturating_sub(live)))
    }

    /// Ends the loading: what is allocated from now on comes from the working memory, which starts with `bytes` bytes.
    pub fn start_working(&self, bytes: usize) {
        self.with(|heaps| {
            // Where no memory is left to reserve, it is all in use: the working memory begins where that ends.
            heaps.working_base = memory_size(0) * PAGE;
            heaps.working.allocator_mut().reserved = Cell::new(grow(bytes));
        });
    }

    fn with<R>(&self, f: impl FnOnce(&mut Heaps) -> R) -> R {
        // SAFETY: there is one thread, and no `f` allocates, so that none runs inside another.
        f(unsafe { &mut *self.0.get() })
    }
}

// SAFETY: blocks come from heaps that uphold the contract, and go back to the heap that they came from: `Heaps::of`
// tells it by their size and address.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: `malloc` takes any size and any power of two as the alignment.
        self.with(|heaps| unsafe { heaps.count(layout).for_new(layout).malloc(layout.size(), layout.align()) })
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        self.with(|heaps| unsafe { heaps.count(layout).for_new(layout).calloc(layout.size(), layout.align()) })
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.with(|heaps| {
            if heaps.working_base == 0 {
                heaps.live = heaps.live.wrapping_sub(layout.size());
                // SAFETY: the block is `layout.size()` bytes long and nobody else may use it any more.
                unsafe { block.write_bytes(0, layout.size()) };
            }
            if let Some(heap) = heaps.of(block, layout) {
                // SAFETY: the block came from this heap with this size and alignment.
                unsafe { heap.free(block, layout.size(), layout.align()) };
            }
        });
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let working = self.with(|heaps| {
            if !heaps.is_working(block) {
                return None;
            }
            // SAFETY: the block came from this heap with this size and alignment.
            Some(unsafe { heaps.working.realloc(block, layout.size(), layout.align(), new_size) })
        });
        if let Some(block) = working {
            return block;
        }
        // Moved by hand, so that the new block is in the right heap and the old one freed like any other.
        // SAFETY: the caller guarantees that `new_size`, rounded up to the alignment, does not overflow.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the new size is not zero, by the contract of `realloc`.
        let new_block = unsafe { self.alloc(new_layout) };
        if !new_block.is_null() {
            // SAFETY: both blocks hold at least the smaller of the two sizes, and do not overlap.
            unsafe { new_block.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
            // SAFETY: `block` came from this allocator with `layout`, and is given up here.
            unsafe { self.dealloc(block, layout) };
        }
        new_block
    }
}

// === impl Heaps ===

impl Heaps {
    /// Counts a block that is about to be allocated.
    fn count(&mut self, layout: Layout) -> &mut Heaps {
        if self.working_base == 0 {
            self.live = self.live.wrapping_add(layout.size());
            self.peak = self.peak.max(self.live);
        }
        self
    }

    /// The heap that a new block comes from.
    fn for_new(&mut self, layout: Layout) -> &mut Dlmalloc<Memory> {
        if self.working_base != 0 {
            &mut self.working
        } else if layout.size() < LARGE {
            &mut self.small
        } else {
            &mut self.large
        }
    }

    /// The heap that a block came from. None for one of the snapshot's that is no longer needed after it: nothing would
    /// take its place, and to note that it is free would write to pages that are otherwise only read.
    fn of(&mut self, block: *mut u8, layout: Layout) -> Option<&mut Dlmalloc<Memory>> {
        if self.working_base == 0 || self.is_working(block) { Some(self.for_new(layout)) } else { None }
    }

    fn is_working(&self, block: *mut u8) -> bool {
        self.working_base != 0 && block.addr() >= self.working_base
    }
}

/// The linear memory, as a heap sees it.
struct Memory {
    /// What it grows by, in bytes.
    growth: usize,
    /// The address and the length of pages that are there already, for the first request.
    reserved: Cell<Option<(usize, usize)>>,
}

// === impl Memory ===

impl Memory {
    const fn growing_by(growth: usize) -> Memory {
        Memory { growth, reserved: Cell::new(None) }
    }
}

// SAFETY: a region is given out once, is as long as it says, and is never taken back.
unsafe impl dlmalloc::Allocator for Memory {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let region = match self.reserved.take() {
            Some((base, length)) if size <= length => Some((base, length)),
            // Nothing else grows the memory once the model is loaded, so that the new pages follow the reserved ones.
            Some((base, length)) => grow(size - length).map(|(_, more)| (base, length + more)),
            None => grow(size.next_multiple_of(self.growth)),
        };
        match region {
            Some((base, length)) => (std::ptr::with_exposed_provenance_mut(base), length, 0),
            None => (std::ptr::null_mut(), 0, 0),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        std::ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

/// Adds at least `bytes` bytes to the linear memory, and gives the address and the length of what was added.
fn grow(bytes: usize) -> Option<(usize, usize)> {
    let pages = bytes.div_ceil(PAGE);
    match memory_grow(0, pages) {
        usize::MAX => None,
        first => {
            let (base, length) = (first * PAGE, pages * PAGE);
            // No block may end where addresses wrap around.
            Some((base, if base.wrapping_add(length) == 0 { length - 16 } else { length }))
        }
    }
}
