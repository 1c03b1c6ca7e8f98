//! A place for each block.

use std::cmp::Reverse;

use crate::Trace;
use crate::trace::{Block, Step};

/// What all places are multiples of, in bytes: what an allocator aligns every block to.
const GRAIN: usize = 16;

/// The most that a block may be aligned to in the arena, in bytes: a page of memory.
const MAX_ALIGN: usize = 4 << 10;

/// The most steps that are planned. To place blocks takes time by the square of their number.
const MAX_STEPS: usize = 1 << 16;

/// The low bits of [`Entry::place`] that tell a step that frees a block.
const FREE: u32 = 15;

/// The high bits of [`Entry::place`] of a block that is not in the arena.
const ELSEWHERE: u32 = !(GRAIN as u32 - 1);

/// A table with a line for each step of an inference: what it is, and where the block lies.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub(crate) entries: Vec<Entry>,
    bytes: usize,
}

/// A step, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The size of the block that is allocated. 0 where one is freed.
    size: u32,
    /// Where the block begins in the arena, a multiple of 16; in the four bits that leaves, the binary logarithm of its
    /// alignment, or that it is freed.
    place: u32,
}

/// A block of the arena that has its place.
struct Placed {
    /// The steps during which it is in use.
    from: usize,
    to: usize,
    begin: usize,
    end: usize,
}

impl Plan {
    /// Finds a place for each block of `trace` that does not outlive it. Nothing is planned where the trace is not whole.
    pub fn of(trace: &Trace) -> Plan {
        let steps = trace.steps();
        let steps = if steps.len() > MAX_STEPS { &[] } else { steps };
        let (places, bytes) = place(steps);
        let entries = steps.iter().zip(&places).map(|(step, place)| match step {
            Step::Allocate(block) => Entry::allocate(block, *place),
            Step::Free(number) => Entry::free(places[*number]),
        });
        // What is not in the arena is freed without a look at the table.
        let entries = entries.filter(|entry| *entry != Entry::free(None)).collect();
        Plan { entries, bytes }
    }

    /// The size of the arena, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many blocks are allocated.
    pub fn allocations(&self) -> usize {
        self.entries.iter().filter(|entry| entry.place & FREE != FREE).count()
    }
}

impl Entry {
    /// The step that allocates `block`, at `place` in the arena or elsewhere.
    fn allocate(block: &Block, place: Option<usize>) -> Entry {
        let place = place.map_or(ELSEWHERE, |place| place as u32);
        Entry { size: block.size as u32, place: place | alignment(block.align) }
    }

    /// The step that frees the block at `place`.
    pub(crate) fn free(place: Option<usize>) -> Entry {
        Entry { size: 0, place: place.map_or(ELSEWHERE, |place| place as u32) | FREE }
    }

    /// Where the block lies that this allocates, if a block of this size and alignment is what it allocates. The place is
    /// none where it is not in the arena.
    pub(crate) fn allocates(self, size: usize, align: usize) -> Option<Option<usize>> {
        if self.size as usize != size || self.place & FREE != alignment(align) {
            return None;
        }
        let place = self.place & ELSEWHERE;
        Some((place != ELSEWHERE).then_some(place as usize))
    }
}

/// An alignment as a line of the table has it. Those that it cannot tell apart are above [`MAX_ALIGN`].
fn alignment(align: usize) -> u32 {
    align.trailing_zeros().min(FREE - 1)
}

/// A block of the arena, before it has a place: the steps during which it is in use, its size and its alignment.
struct Interval {
    from: usize,
    to: usize,
    size: usize,
    align: usize,
}

/// Gives the places of the blocks that are freed, by the steps that allocate them, and the size of the arena.
///
/// No order is the best for all: after the largest first come those first that take most space for most time, and then those
/// that are allocated first.
fn place(steps: &[Step]) -> (Vec<Option<usize>>, usize) {
    let intervals = steps.iter().enumerate().filter_map(|(from, step)| match step {
        Step::Allocate(block) if block.align <= MAX_ALIGN => Some(Interval {
            from,
            to: block.freed?,
            size: block.size.next_multiple_of(GRAIN),
            align: block.align.max(GRAIN),
        }),
        _ => None,
    });
    let mut intervals: Vec<Interval> = intervals.collect();
    let orders: [fn(&Interval) -> Reverse<u64>; 3] = [
        |block| Reverse(block.size as u64),
        |block| Reverse(block.size as u64 * (block.to - block.from) as u64),
        |block| Reverse(u64::MAX - block.from as u64),
    ];
    let mut least: Option<(Vec<Option<usize>>, usize)> = None;
    for order in orders {
        intervals.sort_by_key(order);
        let found = in_order(&intervals, steps.len());
        if least.as_ref().is_none_or(|(_, bytes)| found.1 < *bytes) {
            least = Some(found);
        }
    }
    least.unwrap_or_default()
}

/// Places one block after the other, each into the smallest gap that it fits into between those that are in use meanwhile.
fn in_order(intervals: &[Interval], steps: usize) -> (Vec<Option<usize>>, usize) {
    let mut places = vec![None; steps];
    // By where they begin.
    let mut placed: Vec<Placed> = Vec::with_capacity(intervals.len());
    let mut bytes = 0;
    for &Interval { from, to, size, align } in intervals {
        let mut best: Option<(usize, usize)> = None;
        // Where the blocks that came by now end.
        let mut end = 0_usize;
        for other in placed.iter().filter(|other| from < other.to && other.from < to) {
            let begin = end.next_multiple_of(align);
            if begin + size <= other.begin {
                let gap = other.begin - begin;
                if best.is_none_or(|(_, least)| gap < least) {
                    best = Some((begin, gap));
                }
            }
            end = end.max(other.end);
        }
        let begin = best.map_or(end.next_multiple_of(align), |(begin, _)| begin);
        let end = begin + size;
        bytes = bytes.max(end);
        let index = placed.partition_point(|other| other.begin <= begin);
        placed.insert(index, Placed { from, to, begin, end });
        places[from] = Some(begin);
    }
    (places, bytes)
}
