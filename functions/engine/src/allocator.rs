//! The allocator of the engine: heaps and an arena, so that an inference writes to little of what the snapshot holds.
//!
//! A fresh instance costs what its inference writes to: each page of the snapshot is copied on the first write, and put
//! back before the slot serves again. Hosts track what was written in runs of pages (Wasmtime keeps the first 32 runs of
//! an instance resident and gives the rest back to the system, so that they fault again the next time). What inferences
//! write is therefore kept together, apart from what they only read:
//!
//! - while the model loads, blocks of less than [`LARGE`] bytes, which reference counts and operators' states are among,
//!   come from one heap, and weights from another;
//! - afterwards everything comes from the working memory, which lies above the two others. It begins with the arena, where
//!   each block of an inference has the place that was planned for it (`samara-arena`), so that none writes to more than it
//!   has in use at once, and none looks for memory. Above it is a heap for all else: requests and replies, which are there
//!   before the inference and after it, and inferences that do anything else than what was planned. The pages of both are
//!   there from the start, and zero: no instance grows its memory to run.
//!
//! What is freed while a model loads is zeroed. A snapshot keeps every byte of the linear memory that is not zero, and
//! loading leaves much behind: the graph as it came, its intermediate forms, weights in their original layout.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::{Cell, UnsafeCell};

use dlmalloc::Dlmalloc;
use samara_arena::{Place, Plan, Replay, Trace};

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
    /// Where the working memory begins, and with it the arena; 0 while the model loads.
    working_base: usize,
    /// Where the arena ends.
    arena_end: usize,
    /// The inference that runs, held against what was planned.
    replay: Replay,
    /// Where the steps of the inference go that is watched, while the model loads.
    trace: Option<Trace>,
    /// Blocks allocated or freed, as long as the model loads.
    steps: usize,
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
            arena_end: 0,
            replay: Replay::new(),
            trace: None,
            steps: 0,
        }))
    }

    /// Calls `f` twice, and gives what it allocates and frees the second time; what it gives itself outlives that. Only while
    /// the model loads.
    ///
    /// The first time shows how much that is, and sets up what is there ever after.
    pub fn watch<R, E>(&self, f: impl Fn() -> Result<R, E>) -> Result<Trace, E> {
        let before = self.with(|heaps| heaps.steps);
        drop(f()?);
        let steps = self.with(|heaps| heaps.steps) - before;
        let trace = Trace::with_room_for(steps);
        self.with(|heaps| heaps.trace = Some(trace));
        let result = f();
        let trace = self.with(|heaps| heaps.trace.take());
        result.map(|_| trace.unwrap_or_default())
    }

    /// Ends the loading: what is allocated from now on comes from the working memory. Inferences are held against `plan`, and
    /// the heap beside the arena starts with `bytes` bytes.
    pub fn start_working(&self, plan: Plan, bytes: usize) {
        let arena = plan.bytes();
        let replay = Replay::of(plan);
        self.with(|heaps| {
            // Where no memory is left to reserve, there is no arena, and the working memory begins where what is in use ends.
            heaps.working_base = memory_size(0) * PAGE;
            heaps.arena_end = heaps.working_base;
            if let Some((base, length)) = grow(arena.saturating_add(bytes)) {
                heaps.replay = replay;
                heaps.arena_end = base + arena;
                heaps.working.allocator_mut().reserved = Cell::new(Some((heaps.arena_end, length - arena)));
            }
        });
    }

    /// Calls `f`, which runs an inference, and has it follow what was planned. Gives whether it has done so to the end.
    pub fn follow<R>(&self, f: impl FnOnce() -> R) -> (R, bool) {
        self.with(|heaps| heaps.replay.begin());
        let result = f();
        (result, self.with(|heaps| heaps.replay.end()))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Heaps) -> R) -> R {
        // SAFETY: there is one thread, and no `f` allocates, so that none runs inside another.
        f(unsafe { &mut *self.0.get() })
    }
}

// SAFETY: blocks come from heaps that uphold the contract, and go back to the heap that they came from, which `Heaps::of`
// tells by their size and address; or from the arena, where no two lie in the same place at the same time: that is what a
// replay guarantees as long as it is told of each block that comes and goes.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: `malloc` takes any size and any power of two as the alignment.
        let on_heap = |heap: &mut Dlmalloc<Memory>| unsafe { heap.malloc(layout.size(), layout.align()) };
        self.with(|heaps| match heaps.planned(layout) {
            Some(block) => block,
            None => heaps.noted(layout, on_heap),
        })
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let on_heap = |heap: &mut Dlmalloc<Memory>| unsafe { heap.calloc(layout.size(), layout.align()) };
        self.with(|heaps| match heaps.planned(layout) {
            Some(block) => {
                // SAFETY: the arena holds the block, and nothing else uses it.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            None => heaps.noted(layout, on_heap),
        })
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.with(|heaps| {
            if let Some(place) = heaps.place(block) {
                return heaps.replay.free(place);
            }
            if heaps.working_base == 0 {
                heaps.steps += 1;
                if let Some(trace) = &mut heaps.trace {
                    trace.freed(block.addr());
                }
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
        let in_place = self.with(|heaps| {
            // An inference that follows the plan takes the same two steps here as the one that was watched.
            if !heaps.is_working(block) || heaps.place(block).is_some() || heaps.replay.follows() {
                return None;
            }
            // SAFETY: the block came from this heap with this size and alignment.
            Some(unsafe { heaps.working.realloc(block, layout.size(), layout.align(), new_size) })
        });
        if let Some(block) = in_place {
            return block;
        }
        // Moved by hand, so that the new block is in the right place and the old one freed like any other.
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
    /// The block of the arena that is planned for the next step of the inference that runs, if this is what was planned.
    fn planned(&mut self, layout: Layout) -> Option<*mut u8> {
        if !self.replay.follows() {
            return None;
        }
        match self.replay.allocate(layout.size(), layout.align()) {
            Place::Arena(place) => Some(std::ptr::with_exposed_provenance_mut(self.working_base + place)),
            Place::Heap => None,
        }
    }

    /// A new block of a heap, which is noted while the model loads.
    fn noted(&mut self, layout: Layout, on_heap: impl FnOnce(&mut Dlmalloc<Memory>) -> *mut u8) -> *mut u8 {
        let block = on_heap(self.for_new(layout));
        if self.working_base == 0 {
            self.steps += 1;
            if let Some(trace) = &mut self.trace {
                trace.allocated(block.addr(), layout.size(), layout.align());
            }
        }
        block
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

    /// Where in the arena a block lies, if it does.
    fn place(&self, block: *mut u8) -> Option<usize> {
        let address = block.addr();
        (self.working_base..self.arena_end).contains(&address).then(|| address - self.working_base)
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
