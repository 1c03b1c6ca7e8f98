//! What an inference allocates and frees, in its order.

/// What an inference allocates and frees, in its order. It has room for a number of steps that is fixed, so that an
/// allocator can write to it.
#[derive(Debug, Default)]
pub struct Trace {
    steps: Vec<Step>,
    /// Whether there was no room for a step.
    cut: bool,
}

/// Something that the allocator did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Allocate(Block),
    /// The block of the step with this number is freed.
    Free(usize),
}

/// A block, and when it is in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    address: usize,
    pub size: usize,
    pub align: usize,
    /// The step that frees it. None for one that outlives the inference.
    pub freed: Option<usize>,
}

impl Trace {
    /// An empty one with room for so many steps.
    pub fn with_room_for(steps: usize) -> Trace {
        Trace { steps: Vec::with_capacity(steps), cut: false }
    }

    /// A block of `size` bytes was allocated at `address`, which is a multiple of `align`. Allocates nothing.
    pub fn allocated(&mut self, address: usize, size: usize, align: usize) {
        self.push(Step::Allocate(Block { address, size, align, freed: None }));
    }

    /// The block at `address` was freed. One from before the first step does not matter. Allocates nothing.
    pub fn freed(&mut self, address: usize) {
        let here = self.steps.len();
        // Most blocks do not live long.
        let block = self.steps.iter_mut().enumerate().rev().find_map(|(number, step)| match step {
            Step::Allocate(block) if block.address == address && block.freed.is_none() => Some((number, block)),
            _ => None,
        });
        if let Some((number, block)) = block {
            block.freed = Some(here);
            self.push(Step::Free(number));
        }
    }

    fn push(&mut self, step: Step) {
        if self.steps.len() < self.steps.capacity() {
            self.steps.push(step);
        } else {
            self.cut = true;
        }
    }

    /// The most bytes in use at once, of what is allocated here. 0 where it has not all steps.
    pub fn peak(&self) -> usize {
        self.live().max().unwrap_or(0)
    }

    /// The bytes that outlive it. 0 where it has not all steps.
    pub fn left(&self) -> usize {
        self.live().last().unwrap_or(0)
    }

    /// The bytes in use after each step.
    fn live(&self) -> impl Iterator<Item = usize> {
        self.steps().iter().scan(0, |live, step| {
            match step {
                Step::Allocate(block) => *live += block.size,
                Step::Free(number) => {
                    if let Some(Step::Allocate(block)) = self.steps.get(*number) {
                        *live -= block.size;
                    }
                }
            }
            Some(*live)
        })
    }

    /// The steps. None where it has not all of them.
    pub(crate) fn steps(&self) -> &[Step] {
        if self.cut { &[] } else { &self.steps }
    }
}
