//! Arithmetic on whole tensors, several operations at a time: each block of numbers goes through all of them before the next.

use std::mem::MaybeUninit;

use crate::activation::Gate;
use crate::functions;
use crate::vector::F32x4;

mod spread;

pub use spread::{Rows, Source, Spread};

/// Vectors of a block.
const BLOCK: usize = 64;

/// Intermediate results that there is room for.
pub const SLOTS: usize = 8;

/// An operation on one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// x / (1 + e^-x).
    Silu,
    /// The hyperbolic tangent.
    Tanh,
    /// The error function.
    Erf,
    /// x times the share of a normal distribution below x.
    Gelu,
    /// x * x.
    Square,
    /// x * x * x.
    Cube,
    /// The square root.
    Sqrt,
    /// 1 / sqrt(x).
    Rsqrt,
    /// 1 / x.
    Recip,
    /// -x.
    Neg,
}

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// The sum.
    Add,
    /// The difference.
    Sub,
    /// The product.
    Mul,
    /// The quotient.
    Div,
    /// The smaller: NaN where one is NaN.
    Min,
    /// The larger: NaN where one is NaN.
    Max,
}

/// What an operation is done on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    /// An intermediate result.
    Slot(usize),
    /// A tensor that is given.
    Source(usize),
    /// A number.
    Number(f32),
}

/// An operation on operands: in a program, where they are; elsewhere, whatever stands for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation<T = Operand> {
    /// Of one number.
    Unary(Unary, T),
    /// Of two numbers.
    Binary(Binary, T, T),
    /// The first number, but no less than the second and no more than the third.
    Clamp(T, f32, f32),
    /// The number times one that is made of it.
    Gate(T, Gate),
    /// The first number times the second plus the third.
    Affine(T, f32, f32),
}

impl<T> Operation<T> {
    /// What it is done on, one or two.
    pub fn operands(self) -> impl Iterator<Item = T> {
        let (one, other) = match self {
            Operation::Binary(_, left, right) => (left, Some(right)),
            Operation::Unary(_, of)
            | Operation::Clamp(of, ..)
            | Operation::Gate(of, ..)
            | Operation::Affine(of, ..) => (of, None),
        };
        std::iter::once(one).chain(other)
    }

    /// The same on other operands; none where there is none for one.
    pub fn on<U>(self, mut operand: impl FnMut(T) -> Option<U>) -> Option<Operation<U>> {
        Some(match self {
            Operation::Unary(operation, of) => Operation::Unary(operation, operand(of)?),
            Operation::Binary(operation, left, right) => Operation::Binary(operation, operand(left)?, operand(right)?),
            Operation::Clamp(of, low, high) => Operation::Clamp(operand(of)?, low, high),
            Operation::Gate(of, gate) => Operation::Gate(operand(of)?, gate),
            Operation::Affine(of, factor, summand) => Operation::Affine(operand(of)?, factor, summand),
        })
    }
}

/// An operation, and the slot of its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instruction {
    /// What is done.
    pub operation: Operation,
    /// Where the result goes. The last instruction's is the result of all.
    pub slot: usize,
}

/// Instructions, one after the other.
#[derive(Clone, PartialEq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

/// Short: all of them would be kilobytes of code.
impl std::fmt::Debug for Program {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Program of {}", self.len())
    }
}

/// A vector for each vector of a block, or the same for all.
#[derive(Clone, Copy)]
struct Reader {
    from: *const F32x4,
    step: usize,
}

impl Reader {
    #[inline(always)]
    unsafe fn read(&self, index: usize) -> F32x4 {
        // SAFETY: as the caller says.
        unsafe { F32x4::load(self.from.add(index * self.step).cast()) }
    }
}

impl Program {
    /// A program. None that has no instruction, or that reads a slot which nothing was written to, or one that is not there.
    pub fn new(instructions: Vec<Instruction>) -> Option<Program> {
        let mut written = [false; SLOTS];
        for Instruction { operation, slot } in &instructions {
            for operand in operation.operands() {
                if let Operand::Slot(slot) = operand {
                    written.get(slot).filter(|written| **written)?;
                }
            }
            *written.get_mut(*slot)? = true;
        }
        if instructions.is_empty() { None } else { Some(Program { instructions }) }
    }

    /// How many instructions there are.
    pub fn len(&self) -> usize {
        self.instructions.len()
    }

    /// Whether there is no instruction.
    pub fn is_empty(&self) -> bool {
        self.instructions.is_empty()
    }

    /// Runs the program for each of `rows` by `columns` numbers at `to`, where a source may be too.
    ///
    /// # Safety
    ///
    /// Each source has as many numbers as its spread needs, no source that an instruction names is missing, and there is
    /// room for all results at `to`.
    pub unsafe fn run(&self, rows: usize, columns: usize, sources: &[Source<'_>], to: *mut f32) {
        let count = rows * columns;
        let mut room = Room::of(&self.instructions, count, sources.len());
        let mut first = 0;
        while first < count {
            // A segment ends where a row does, unless no source minds.
            let row = first / columns;
            let alike = sources.iter().map(|source| source.rows_alike(row)).min().unwrap_or(usize::MAX);
            let length = alike.saturating_mul(columns).min(count - first);
            let mut at = 0;
            while at < length {
                let numbers = (length - at).min(4 * room.block);
                // Behind the last whole vector, a copy of what is left is long enough for one.
                let numbers = if numbers >= 4 { numbers / 4 * 4 } else { numbers };
                // SAFETY: as the caller says; the numbers are within the segment.
                unsafe { self.block(&mut room, sources, row, at, first + at, numbers, to) };
                at += numbers;
            }
            first += length;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "where the block is")]
    unsafe fn block(
        &self,
        room: &mut Room,
        sources: &[Source<'_>],
        row: usize,
        column: usize,
        at: usize,
        numbers: usize,
        to: *mut f32,
    ) {
        let vectors = numbers.div_ceil(4);
        let last = self.instructions.len() - 1;
        let (slots, block) = (room.vectors.as_mut_ptr().cast::<F32x4>(), room.block);
        let at_slot = |slot: usize| slots.wrapping_add(slot * block);
        let tails = at_slot(room.slots);
        // SAFETY: as the caller says.
        unsafe {
            for (index, &Instruction { operation, slot }) in self.instructions.iter().enumerate() {
                let result = at_slot(slot);
                let result = if index == last && numbers >= 4 { to.add(at).cast() } else { result };
                let reader = |operand: Operand, number: usize| match operand {
                    Operand::Slot(slot) => Reader { from: at_slot(slot), step: 1 },
                    Operand::Number(x) => {
                        let tail = tails.add(sources.len() + number);
                        tail.write(F32x4::splat(x));
                        Reader { from: tail, step: 0 }
                    }
                    Operand::Source(index) => {
                        let source = &sources[index];
                        let tail = tails.add(index);
                        let from = source.at(row, column);
                        if !source.spread().columns {
                            tail.write(F32x4::splat(*from));
                            return Reader { from: tail, step: 0 };
                        }
                        if numbers >= 4 {
                            return Reader { from: from.cast(), step: 1 };
                        }
                        tail.cast::<f32>().copy_from_nonoverlapping(from, numbers);
                        Reader { from: tail, step: 1 }
                    }
                };
                match operation {
                    Operation::Unary(operation, of) => unary(operation, reader(of, 0), vectors, result),
                    Operation::Binary(operation, left, right) => {
                        binary(operation, reader(left, 0), reader(right, 1), vectors, result);
                    }
                    Operation::Clamp(of, low, high) => {
                        let (low, high) = (F32x4::splat(low), F32x4::splat(high));
                        each(reader(of, 0), vectors, result, |x| x.at_least(low).at_most(high));
                    }
                    Operation::Gate(of, gate) => each(reader(of, 0), vectors, result, |x| gate.of(x)),
                    Operation::Affine(of, factor, summand) => {
                        let (factor, summand) = (F32x4::splat(factor), F32x4::splat(summand));
                        each(reader(of, 0), vectors, result, |x| x.mul_add(factor, summand));
                    }
                }
                if index == last && numbers < 4 {
                    to.add(at).copy_from_nonoverlapping(at_slot(slot).cast(), numbers);
                }
            }
        }
    }
}

/// What a program needs while it runs: not on the stack, of which few pages are in use else.
struct Room {
    /// Vectors of a slot.
    block: usize,
    /// How many slots there are.
    slots: usize,
    /// The slots, which are written to before they are read: a program is nothing else. Behind them a vector for what is left of
    /// each source behind the last whole vector, and for two numbers.
    vectors: Box<[MaybeUninit<F32x4>]>,
}

impl Room {
    /// For these instructions, on so many numbers in a row at the most, of so many sources.
    fn of(instructions: &[Instruction], numbers: usize, sources: usize) -> Room {
        let block = numbers.div_ceil(4).clamp(1, BLOCK);
        let slots = instructions.iter().map(|instruction| instruction.slot + 1).max().unwrap_or(0);
        let mut vectors = Box::new_uninit_slice(slots * block + sources + 2);
        for tail in &mut vectors[slots * block..] {
            tail.write(F32x4::ZERO);
        }
        Room { block, slots, vectors }
    }
}

#[inline(always)]
unsafe fn each(of: Reader, vectors: usize, to: *mut F32x4, function: impl Fn(F32x4) -> F32x4) {
    // SAFETY: as the caller says.
    unsafe {
        let mut index = 0;
        while index + 4 <= vectors {
            for index in index..index + 4 {
                function(of.read(index)).store(to.add(index).cast());
            }
            index += 4;
        }
        for index in index..vectors {
            function(of.read(index)).store(to.add(index).cast());
        }
    }
}

#[inline(always)]
unsafe fn pairs(left: Reader, right: Reader, vectors: usize, to: *mut F32x4, function: impl Fn(F32x4, F32x4) -> F32x4) {
    // SAFETY: as the caller says.
    unsafe {
        let mut index = 0;
        while index + 4 <= vectors {
            for index in index..index + 4 {
                function(left.read(index), right.read(index)).store(to.add(index).cast());
            }
            index += 4;
        }
        for index in index..vectors {
            function(left.read(index), right.read(index)).store(to.add(index).cast());
        }
    }
}

unsafe fn unary(operation: Unary, of: Reader, vectors: usize, to: *mut F32x4) {
    // SAFETY: as the caller says.
    unsafe {
        match operation {
            Unary::Sigmoid => each(of, vectors, to, functions::sigmoid),
            Unary::Silu => each(of, vectors, to, |x| x * functions::sigmoid(x)),
            Unary::Tanh => each(of, vectors, to, functions::tanh),
            Unary::Erf => each(of, vectors, to, functions::erf),
            Unary::Gelu => each(of, vectors, to, functions::gelu),
            Unary::Square => each(of, vectors, to, |x| x * x),
            Unary::Cube => each(of, vectors, to, |x| x * x * x),
            Unary::Sqrt => each(of, vectors, to, F32x4::sqrt),
            Unary::Rsqrt => each(of, vectors, to, |x| F32x4::splat(1.0) / x.sqrt()),
            Unary::Recip => each(of, vectors, to, |x| F32x4::splat(1.0) / x),
            Unary::Neg => each(of, vectors, to, |x| F32x4::ZERO - x),
        }
    }
}

unsafe fn binary(operation: Binary, left: Reader, right: Reader, vectors: usize, to: *mut F32x4) {
    // SAFETY: as the caller says.
    unsafe {
        match operation {
            Binary::Add => pairs(left, right, vectors, to, |x, y| x + y),
            Binary::Sub => pairs(left, right, vectors, to, |x, y| x - y),
            Binary::Mul => pairs(left, right, vectors, to, |x, y| x * y),
            Binary::Div => pairs(left, right, vectors, to, |x, y| x / y),
            Binary::Min => pairs(left, right, vectors, to, F32x4::min),
            Binary::Max => pairs(left, right, vectors, to, F32x4::max),
        }
    }
}

#[cfg(test)]
mod tests;
