//! An inference, held against the plan.

use crate::Plan;
use crate::plan::Entry;

/// An inference, held against the plan: what an allocator asks at each step.
#[derive(Debug, Default)]
pub struct Replay {
    entries: &'static [Entry],
    /// The next line. At the end where no inference runs, or where one does not do what the plan says.
    next: usize,
    /// How many blocks of the arena are in use.
    live: usize,
    /// Whether an inference runs that has done what the plan says, so far.
    follows: bool,
}

/// Where a block is to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This many bytes behind the beginning of the arena.
    Arena(usize),
    /// Anywhere else.
    Heap,
}

impl Replay {
    /// No inference runs, and none is planned.
    pub const fn new() -> Replay {
        Replay { entries: &[], next: 0, live: 0, follows: false }
    }

    /// Inferences are held against `plan` from now on, which stays for as long as the process does.
    pub fn of(plan: Plan) -> Replay {
        let entries: &'static [Entry] = Vec::leak(plan.entries);
        Replay { entries, next: entries.len(), live: 0, follows: false }
    }

    /// An inference begins. Where a block of an earlier one is in use still, because that one did not do what the plan says,
    /// all of this one's blocks come from the heap.
    pub fn begin(&mut self) {
        if self.live == 0 && !self.entries.is_empty() {
            self.next = 0;
            self.follows = true;
        }
    }

    /// The inference ends. Gives whether it did all that the plan says and nothing else.
    pub fn end(&mut self) -> bool {
        let whole = self.follows && self.next == self.entries.len();
        self.depart();
        whole
    }

    /// Whether an inference runs that has done what the plan says, so far.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// A block is wanted.
    pub fn allocate(&mut self, size: usize, align: usize) -> Place {
        let Some(entry) = self.entries.get(self.next) else {
            self.follows = false;
            return Place::Heap;
        };
        match entry.allocates(size, align) {
            Some(place) => {
                self.next += 1;
                match place {
                    Some(place) => {
                        self.live += 1;
                        Place::Arena(place)
                    }
                    None => Place::Heap,
                }
            }
            None => {
                self.depart();
                Place::Heap
            }
        }
    }

    /// The block that lies so many bytes behind the beginning of the arena is in use no more.
    pub fn free(&mut self, place: usize) {
        self.live = self.live.saturating_sub(1);
        if self.entries.get(self.next) == Some(&Entry::free(Some(place))) {
            self.next += 1;
        } else {
            self.depart();
        }
    }

    /// From here on the inference takes what it wants from the heap.
    fn depart(&mut self) {
        self.next = self.entries.len();
        self.follows = false;
    }
}
