use proptest::prelude::*;

use crate::{Place, Plan, Replay, Trace};

/// What a program does with memory: blocks are named by the order in which they are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Allocate { size: usize, align: usize },
    Free(usize),
}

/// An allocator without memory, which sees to it that no two blocks overlap.
struct Allocator {
    replay: Replay,
    arena: usize,
    /// The blocks in use, by their names: where they are, and how large.
    live: Vec<Option<(usize, usize)>>,
    heap: usize,
    from_heap: usize,
}

impl Allocator {
    fn new(plan: Plan) -> Allocator {
        let arena = plan.bytes();
        Allocator { replay: Replay::of(plan), arena, live: Vec::new(), heap: 1 << 40, from_heap: 0 }
    }

    /// Runs an inference, and gives whether it did what the plan says. What is not freed in it stays.
    fn run(&mut self, steps: &[Step]) -> bool {
        let first = self.live.len();
        self.replay.begin();
        for step in steps {
            match *step {
                Step::Allocate { size, align } => self.allocate(size, align),
                Step::Free(name) => self.free(first + name),
            }
        }
        self.replay.end()
    }

    fn allocate(&mut self, size: usize, align: usize) {
        let begin = match self.replay.allocate(size, align) {
            Place::Arena(place) => {
                assert!(place + size <= self.arena, "a block ends outside the arena");
                place
            }
            Place::Heap => {
                self.from_heap += 1;
                self.heap = self.heap.next_multiple_of(align) + size;
                self.heap - size
            }
        };
        assert_eq!(begin % align, 0);
        for &(other, length) in self.live.iter().flatten() {
            assert!(begin + size <= other || other + length <= begin, "two blocks at {begin} and {other}");
        }
        self.live.push(Some((begin, size)));
    }

    fn free(&mut self, name: usize) {
        let (begin, _) = self.live[name].take().unwrap();
        if begin < self.arena {
            self.replay.free(begin);
        }
    }
}

/// What the allocator of the first inference sees. It uses addresses again at once, as real ones do.
fn trace(steps: &[Step]) -> Trace {
    let mut trace = Trace::with_room_for(steps.len());
    let mut addresses: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    for step in steps {
        match *step {
            Step::Allocate { size, align } => {
                let address = free.pop().unwrap_or(4096 * (addresses.len() + 1));
                addresses.push(address);
                trace.allocated(address, size, align);
            }
            Step::Free(name) => {
                free.push(addresses[name]);
                trace.freed(addresses[name]);
            }
        }
    }
    trace
}

/// A program of up to 60 steps that frees only what is in use, whatever the numbers are.
fn program(choices: &[(bool, usize, u32)]) -> Vec<Step> {
    let mut live: Vec<usize> = Vec::new();
    let mut allocated = 0;
    let steps = choices.iter().map(|&(frees, number, align)| {
        if frees && !live.is_empty() {
            Step::Free(live.swap_remove(number % live.len()))
        } else {
            live.push(allocated);
            allocated += 1;
            Step::Allocate { size: number, align: 1 << align }
        }
    });
    steps.collect()
}

/// How many blocks a program allocates.
fn names(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Allocate { .. })).count()
}

fn programs() -> impl Strategy<Value = Vec<Step>> {
    let choice = (any::<bool>(), 1..5000_usize, 0..9_u32);
    (proptest::collection::vec(choice, 0..60), any::<bool>()).prop_map(|(choices, all)| {
        let mut steps = program(&choices);
        if all {
            let freed = |name: &usize| !steps.contains(&Step::Free(*name));
            let left: Vec<usize> = (0..names(&steps)).filter(freed).collect();
            steps.extend(left.into_iter().map(Step::Free));
        }
        steps
    })
}

/// Two programs that are the same up to some step, and afterwards alike: blocks have few sizes.
fn forks() -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> {
    let choice = || (any::<bool>(), 1..4_usize, 0..2_u32);
    let choices = move || proptest::collection::vec(choice(), 0..40);
    (choices(), choices(), choices())
        .prop_map(|(both, left, right)| (program(&[both.clone(), left].concat()), program(&[both, right].concat())))
}

fn chain(sizes: &[usize]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, &size) in sizes.iter().enumerate() {
        steps.push(Step::Allocate { size, align: 64 });
        if name > 0 {
            steps.push(Step::Free(name - 1));
        }
    }
    steps.push(Step::Free(sizes.len() - 1));
    steps
}

proptest! {
    #[test]
    fn the_same_again_takes_nothing_but_what_outlives_it_from_the_heap(steps in programs()) {
        let trace = trace(&steps);
        let plan = Plan::of(&trace);
        let allocated = |step: &Step| match step { Step::Allocate { size, .. } => *size, Step::Free(_) => 0 };
        let sum: usize = steps.iter().map(allocated).map(|size| size + 256).sum();
        prop_assert!(plan.bytes() <= sum);
        let kept = 2 * names(&steps) - steps.len();
        // All of it lies in the arena, which has to hold it.
        prop_assert!(kept > 0 || trace.peak() <= plan.bytes());
        let mut allocator = Allocator::new(plan);
        for run in 1..=3 {
            prop_assert_eq!(allocator.run(&steps), !steps.is_empty());
            prop_assert_eq!(allocator.from_heap, run * kept);
        }
    }

    /// Whatever an inference does, and wherever it leaves the plan; and those after it.
    #[test]
    fn no_two_blocks_ever_overlap((planned, other) in forks(), more in programs()) {
        let mut allocator = Allocator::new(Plan::of(&trace(&planned)));
        for steps in [&planned, &other, &planned, &more, &planned] {
            allocator.run(steps);
        }
    }
}

#[test]
fn blocks_that_are_not_in_use_at_once_share_their_place() {
    let trace = trace(&chain(&[600, 200, 100, 700, 50, 64]));
    let plan = Plan::of(&trace);
    assert_eq!((trace.peak(), plan.allocations()), (800, 6));
    // The largest and the one before it, wherever that may begin.
    assert!(plan.bytes() <= 800 + 3 * 64, "{}", plan.bytes());
}

/// A network with skips, as MobileNets have them: what one block gives is added to what the next gives.
#[test]
fn a_network_takes_little_more_than_its_peak() {
    let mut steps = Vec::new();
    let mut names = 0;
    let allocate = |steps: &mut Vec<Step>, names: &mut usize, size: usize| {
        steps.push(Step::Allocate { size, align: 64 });
        *names += 1;
        *names - 1
    };
    let mut skip = allocate(&mut steps, &mut names, 64 << 10);
    for block in 0..16 {
        let size = (64 << 10) >> (block / 4);
        let wide = allocate(&mut steps, &mut names, 6 * size);
        let deep = allocate(&mut steps, &mut names, 6 * size);
        steps.push(Step::Free(wide));
        let narrow = allocate(&mut steps, &mut names, size);
        steps.extend([Step::Free(deep), Step::Free(skip)]);
        skip = narrow;
    }
    steps.push(Step::Free(skip));
    let trace = trace(&steps);
    let bytes = Plan::of(&trace).bytes();
    assert!(bytes <= trace.peak() * 14 / 13, "{bytes} for {}", trace.peak());
}

#[test]
fn another_size_another_alignment_and_another_order_leave_the_plan() {
    let steps = [
        Step::Allocate { size: 100, align: 8 },
        Step::Allocate { size: 200, align: 8 },
        Step::Free(0),
        Step::Free(1),
        Step::Allocate { size: 300, align: 8 },
        Step::Free(2),
    ];
    let others: [(usize, Step, usize); 3] = [
        (1, Step::Allocate { size: 201, align: 8 }, 2),
        (4, Step::Allocate { size: 300, align: 16 }, 1),
        (0, Step::Allocate { size: 99, align: 8 }, 3),
    ];
    let mut allocator = Allocator::new(Plan::of(&trace(&steps)));
    assert!(allocator.run(&steps));
    for (index, step, from_heap) in others {
        let mut changed = steps;
        changed[index] = step;
        allocator.from_heap = 0;
        assert!(!allocator.run(&changed));
        assert_eq!(allocator.from_heap, from_heap, "{step:?}");
        allocator.from_heap = 0;
        assert!(allocator.run(&steps), "the plan is left for good");
        assert_eq!(allocator.from_heap, 0);
    }
    let mut changed = steps;
    changed.swap(2, 3);
    assert!(!allocator.run(&changed));
    assert_eq!(allocator.from_heap, 1);
    assert!(!allocator.run(&steps[..4]), "it stopped early");
}

/// A block that the plan has freed, but the inference has not: nothing may take its place.
#[test]
fn as_long_as_a_block_of_the_arena_is_in_use_no_inference_follows_the_plan() {
    let steps = chain(&[100, 200, 300]);
    let mut allocator = Allocator::new(Plan::of(&trace(&steps)));
    let kept = [steps[0], steps[1]];
    assert!(!allocator.run(&kept));
    assert!(!allocator.run(&steps));
    assert_eq!(allocator.from_heap, 3);
    allocator.free(0);
    allocator.free(1);
    assert!(allocator.run(&steps));
    assert_eq!(allocator.from_heap, 3);
}

#[test]
fn what_there_is_no_room_for_is_not_planned() {
    let mut trace = Trace::with_room_for(1);
    trace.allocated(64, 100, 8);
    trace.freed(64);
    let plan = Plan::of(&trace);
    assert_eq!((plan.bytes(), plan.allocations()), (0, 0));
    let mut replay = Replay::of(plan);
    replay.begin();
    assert_eq!(replay.allocate(100, 8), Place::Heap);
    assert!(!replay.end());
}

#[test]
fn what_was_there_before_is_freed_without_a_step() {
    let mut trace = Trace::with_room_for(4);
    trace.freed(32);
    trace.allocated(64, 100, 8);
    trace.freed(64);
    let mut replay = Replay::of(Plan::of(&trace));
    replay.begin();
    assert_eq!(replay.allocate(100, 8), Place::Arena(0));
    replay.free(0);
    assert!(replay.end());
}
