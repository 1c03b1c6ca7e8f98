//! Arithmetic that has been read from a graph and is not yet an operator.

use std::sync::Arc;

use samara_kernels::activation::{Activation, Bounds, Gate};
use samara_kernels::places::{Depthwise as DepthwiseWeights, Shallow};
use samara_kernels::program::{Binary, Instruction, Operand, Operation, Program, SLOTS, Spread};
use samara_kernels::quantized::{Quantization, Weights as ByteWeights};
use samara_kernels::rows::Weights;
use tract_core::internal::*;

use samara_operators::convolution::Convolution;
use samara_operators::depthwise::Depthwise;
use samara_operators::fused::Fused;
use samara_operators::geometry::Geometry;
use samara_operators::grouped::GroupedConvolution;
use samara_operators::layout::Order;
use samara_operators::product::Product;
use samara_operators::quantized::{Over, QuantizedProduct};
use samara_operators::winograd::{Points, Winograd};

/// The most steps of an expression.
pub const STEPS: usize = 24;

/// What an expression reads.
#[derive(Clone, Debug)]
pub enum Read {
    /// A tensor of the new graph.
    Outlet(OutletId),
    /// Floats that a tensor of bytes stands for.
    Bytes(OutletId, Quantization),
    /// Numbers that do not change.
    Numbers(Arc<[f32]>),
}

impl PartialEq for Read {
    fn eq(&self, other: &Read) -> bool {
        match (self, other) {
            (Read::Outlet(one), Read::Outlet(other)) => one == other,
            (Read::Bytes(one, as_one), Read::Bytes(other, as_other)) => (one, as_one) == (other, as_other),
            (Read::Numbers(one), Read::Numbers(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// What a step is done on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// The root's result.
    Root,
    /// The result of an earlier step.
    Step(usize),
    /// What is read.
    Read(usize),
    /// A number.
    Number(f32),
}

/// What a step does.
pub type Deed = Operation<Term>;

/// A step, and the outlet of the old graph whose value it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub outlet: OutletId,
    pub deed: Deed,
}

/// A product or a convolution whose weights are not packed yet.
#[derive(Clone, Debug)]
pub struct Root {
    /// The outlet of the old graph whose value it is.
    pub outlet: OutletId,
    pub kind: RootKind,
    /// The tensor of the new graph that it is computed from.
    pub input: OutletId,
    /// For each step of the product or the window, a number for each column or channel.
    pub weights: Arc<Vec<f32>>,
    pub columns: usize,
    /// For each column.
    pub factors: Vec<f32>,
    pub summands: Vec<f32>,
    pub activation: Activation,
}

#[derive(Clone, Debug)]
pub enum RootKind {
    Product {
        rows: usize,
        columns: TVec<usize>,
    },
    Convolution(Geometry),
    /// In so many groups.
    Grouped(Geometry, usize),
    /// Of floats, or of bytes that stand for some.
    Depthwise(Geometry, Option<Quantization>),
    /// Of bytes: the weights, as those of floats lie, and where the new graph has the bytes' zero point.
    Quantized {
        over: Over,
        weights: Arc<Vec<i16>>,
        zero_point: OutletId,
    },
}

/// Arithmetic on the result of a root, or on tensors.
#[derive(Clone, Debug)]
pub struct Expression {
    /// The axes of the value in the order in which it lies.
    pub order: Order,
    /// Its shape, in that order.
    pub shape: TVec<TDim>,
    pub root: Option<Root>,
    pub reads: Vec<(Read, Spread)>,
    pub steps: Vec<Step>,
    pub value: Term,
}

impl Expression {
    /// What `read` gives, as it is.
    pub fn leaf(order: Order, shape: TVec<TDim>, read: Read) -> Expression {
        Expression { order, shape, root: None, reads: vec![(read, Spread::FULL)], steps: vec![], value: Term::Read(0) }
    }

    /// What a root gives, as it is.
    pub fn root(order: Order, shape: TVec<TDim>, root: Root) -> Expression {
        Expression { order, shape, root: Some(root), reads: vec![], steps: vec![], value: Term::Root }
    }

    /// The term that reads a tensor.
    pub fn read(&mut self, read: Read, spread: Spread) -> Term {
        let known = self.reads.iter().position(|known| *known == (read.clone(), spread));
        Term::Read(known.unwrap_or_else(|| {
            self.reads.push((read, spread));
            self.reads.len() - 1
        }))
    }

    /// Makes the value that of a step on what it was.
    pub fn push(&mut self, outlet: OutletId, deed: Deed) {
        let known = self.steps.iter().position(|step| step.outlet == outlet);
        self.value = Term::Step(known.unwrap_or_else(|| {
            self.steps.push(Step { outlet, deed });
            self.steps.len() - 1
        }));
    }

    /// Takes in another expression that lies the same way. The term of its value, unless each has a root of its own.
    pub fn merge(&mut self, other: &Expression) -> Option<Term> {
        match (&self.root, &other.root) {
            (Some(one), Some(other)) if one.outlet != other.outlet => return None,
            (None, Some(root)) => self.root = Some(root.clone()),
            _ => {}
        }
        let mut places = Vec::with_capacity(other.steps.len());
        let reads: Vec<Term> = other.reads.iter().map(|(read, spread)| self.read(read.clone(), *spread)).collect();
        let term = |term: Term, places: &[usize]| match term {
            Term::Read(index) => reads[index],
            Term::Step(index) => Term::Step(places[index]),
            same => same,
        };
        for step in &other.steps {
            let known = self.steps.iter().position(|known| known.outlet == step.outlet);
            places.push(known.unwrap_or_else(|| {
                self.steps.push(step.map(|operand| term(operand, &places)));
                self.steps.len() - 1
            }));
        }
        Some(term(other.value, &places))
    }
}

impl Step {
    /// The same on other terms.
    fn map(self, term: impl Fn(Term) -> Term) -> Step {
        Step { deed: self.deed.on(|operand| Some(term(operand))).unwrap_or(self.deed), ..self }
    }

    /// Whether it is done on a term.
    fn is_on(&self, term: Term) -> bool {
        self.deed.operands().any(|operand| operand == term)
    }
}

// === What makes an expression cheaper ===

impl Expression {
    /// How often a term is used, the value counted, by steps that are used themselves.
    fn uses(&self, term: Term) -> usize {
        let mut uses = vec![0; self.steps.len()];
        let mut of_term = 0;
        let mut count = |used: Term, uses: &mut [usize]| {
            of_term += usize::from(used == term);
            if let Term::Step(index) = used {
                uses[index] += 1;
            }
        };
        count(self.value, &mut uses);
        for (index, step) in self.steps.iter().enumerate().rev() {
            if uses[index] > 0 {
                step.deed.operands().for_each(|used| count(used, &mut uses));
            }
        }
        of_term
    }

    /// The step of a term that nothing else uses.
    fn only(&self, term: Term) -> Option<Deed> {
        match term {
            Term::Step(index) if self.uses(term) == 1 => Some(self.steps[index].deed),
            _ => None,
        }
    }

    /// Puts into the root's weights, bias and activation what can be, and several steps into one.
    pub fn simplify(&mut self) {
        for index in 0..self.steps.len() {
            self.steps[index].deed = self.simpler(self.steps[index].deed);
        }
        self.sweep();
        while let Some(root) = &mut self.root {
            let Some(first) = self.steps.first().copied() else { break };
            if self.steps[1..].iter().any(|step| step.is_on(Term::Root))
                || self.value == Term::Root
                || !root.absorb(first.deed, &self.reads)
            {
                break;
            }
            let shift = |term: Term| match term {
                Term::Step(0) => Term::Root,
                Term::Step(index) => Term::Step(index - 1),
                same => same,
            };
            self.steps.remove(0);
            for step in &mut self.steps {
                *step = step.map(shift);
            }
            self.value = shift(self.value);
        }
        self.sweep();
    }

    fn simpler(&self, deed: Deed) -> Deed {
        use Binary::{Add, Div, Max, Min, Mul, Sub};
        let (operation, of, number) = match deed {
            Deed::Binary(Mul, left, right) => {
                // x * clamp(x + c).
                for (x, gate) in [(left, right), (right, left)] {
                    if let Some(Deed::Clamp(inner, low, high)) = self.only(gate)
                        && let Some(Deed::Affine(of, 1.0, summand)) = self.only(inner)
                        && of == x
                    {
                        return Deed::Gate(x, Gate { summand, low, high, factor: 1.0, offset: -0.0 });
                    }
                }
                match (left, right) {
                    (of, Term::Number(number)) | (Term::Number(number), of) => (Mul, of, number),
                    _ => return deed,
                }
            }
            Deed::Binary(operation @ (Add | Max | Min), Term::Number(number), of) => (operation, of, number),
            Deed::Binary(operation, of, Term::Number(number)) => (operation, of, number),
            _ => return deed,
        };
        let before = self.only(of);
        match operation {
            Add | Sub => {
                let number = if operation == Add { number } else { -number };
                match before {
                    // Two summands are not one: a large one that is taken off again rounds.
                    Some(Deed::Affine(of, factor, 0.0)) => Deed::Affine(of, factor, number),
                    Some(Deed::Gate(of, gate)) if gate.offset == 0.0 => Deed::Gate(of, Gate { offset: number, ..gate }),
                    _ => Deed::Affine(of, 1.0, number),
                }
            }
            Mul => match before {
                Some(Deed::Affine(of, factor, 0.0)) if (factor * number).is_normal() => {
                    Deed::Affine(of, factor * number, 0.0)
                }
                Some(Deed::Gate(of, gate)) if gate.offset == 0.0 && (gate.factor * number).is_normal() => {
                    Deed::Gate(of, Gate { factor: gate.factor * number, ..gate })
                }
                _ => Deed::Affine(of, number, 0.0),
            },
            Div => deed,
            Max => match before {
                Some(Deed::Clamp(of, low, high)) if number <= high => Deed::Clamp(of, low.max(number), high),
                _ => Deed::Clamp(of, number, f32::INFINITY),
            },
            Min => match before {
                Some(Deed::Clamp(of, low, high)) if number >= low => Deed::Clamp(of, low, high.min(number)),
                _ => Deed::Clamp(of, f32::NEG_INFINITY, number),
            },
        }
    }

    /// Drops the steps that nothing uses.
    fn sweep(&mut self) {
        let mut index = self.steps.len();
        while index > 0 {
            index -= 1;
            if self.uses(Term::Step(index)) == 0 {
                self.steps.remove(index);
                let shift = |term: Term| match term {
                    Term::Step(later) if later > index => Term::Step(later - 1),
                    same => same,
                };
                for step in &mut self.steps {
                    *step = step.map(shift);
                }
                self.value = shift(self.value);
            }
        }
    }

    /// The steps as a program whose first source is the root, where there is one, and the reads that it needs, in order. None
    /// where it has no room for all results.
    pub fn program(&self) -> Option<(Program, Vec<usize>)> {
        let mut reads: Vec<usize> = vec![];
        let first = usize::from(self.root.is_some());
        let mut slots: Vec<Option<usize>> = vec![None; SLOTS];
        let mut instructions = Vec::with_capacity(self.steps.len());
        let mut operand = |term: Term, slots: &[Option<usize>]| match term {
            Term::Root => Some(Operand::Source(0)),
            Term::Number(x) => Some(Operand::Number(x)),
            Term::Step(index) => slots.iter().position(|slot| *slot == Some(index)).map(Operand::Slot),
            Term::Read(index) => {
                let place = reads.iter().position(|read| *read == index).unwrap_or_else(|| {
                    reads.push(index);
                    reads.len() - 1
                });
                Some(Operand::Source(first + place))
            }
        };
        for (index, step) in self.steps.iter().enumerate() {
            let operation = step.deed.on(|term| operand(term, &slots))?;
            for slot in &mut slots {
                let needed = |step: &Step| slot.is_some_and(|held| step.is_on(Term::Step(held)));
                if !self.steps[index + 1..].iter().any(needed) {
                    *slot = None;
                }
            }
            let slot = slots.iter().position(Option::is_none)?;
            slots[slot] = Some(index);
            instructions.push(Instruction { operation, slot });
        }
        Some((Program::new(instructions)?, reads))
    }
}

impl Root {
    /// Takes in a step on the root's result: a factor or a summand, bounds, or a gate. Whether it could.
    fn absorb(&mut self, deed: Deed, reads: &[(Read, Spread)]) -> bool {
        let plain = self.activation == Activation::NONE;
        let numbers = |term: Term| match term {
            Term::Read(index) => match &reads[index] {
                (Read::Numbers(numbers), Spread::COLUMNS) => Some(Arc::clone(numbers)),
                _ => None,
            },
            _ => None,
        };
        match deed {
            Deed::Clamp(Term::Root, low, high) => {
                let Activation::Clip(bounds) = self.activation else { return false };
                if low > bounds.high || high < bounds.low {
                    return false;
                }
                self.activation = Activation::Clip(Bounds { low: bounds.low.max(low), high: bounds.high.min(high) });
                true
            }
            Deed::Gate(Term::Root, gate) if plain && !matches!(self.kind, RootKind::Quantized { .. }) => {
                self.activation = Activation::Gate(gate);
                true
            }
            Deed::Affine(Term::Root, factor, summand) if plain => {
                self.factors.iter_mut().for_each(|x| *x *= factor);
                self.summands.iter_mut().for_each(|x| *x = *x * factor + summand);
                true
            }
            Deed::Binary(operation, left, right) if plain => {
                let (numbers, left_is_root) = match (left, right) {
                    (Term::Root, other) => (numbers(other), true),
                    (other, Term::Root) => (numbers(other), false),
                    _ => return false,
                };
                let Some(numbers) = numbers.filter(|numbers| numbers.len() == self.columns) else { return false };
                let pairs = self.factors.iter_mut().zip(&mut self.summands).zip(numbers.iter());
                match (operation, left_is_root) {
                    (Binary::Add, _) => pairs.for_each(|((_, summand), x)| *summand += x),
                    (Binary::Sub, true) => pairs.for_each(|((_, summand), x)| *summand -= x),
                    (Binary::Mul, _) => pairs.for_each(|((factor, summand), x)| {
                        *factor *= x;
                        *summand *= x;
                    }),
                    _ => return false,
                }
                true
            }
            _ => false,
        }
    }

    /// Whether the last axis of the result is that of its columns or channels.
    pub fn has_columns(&self) -> bool {
        match &self.kind {
            RootKind::Product { columns, .. } => columns.len() == 1,
            RootKind::Convolution(geometry) | RootKind::Grouped(geometry, _) | RootKind::Depthwise(geometry, _) => {
                geometry.output[3]
            }
            RootKind::Quantized { over: Over::Rows(_, columns), .. } => columns.len() == 1,
            RootKind::Quantized { over: Over::Windows(geometry), .. } => geometry.output[3],
        }
    }

    /// What the operator takes before what its arithmetic reads.
    pub fn inputs(&self) -> TVec<OutletId> {
        match self.kind {
            RootKind::Quantized { zero_point, .. } => tvec!(self.input, zero_point),
            _ => tvec!(self.input),
        }
    }

    /// Whether the operator can make bytes.
    pub fn makes_bytes(&self) -> bool {
        matches!(self.kind, RootKind::Quantized { .. } | RootKind::Depthwise(..))
    }

    /// The operator, with its weights packed, for a result of a shape. Only a product of bytes and a depthwise
    /// convolution make bytes.
    pub fn operator(
        self,
        shape: &[TDim],
        fused: Option<Fused>,
        quantization: Option<Quantization>,
    ) -> Box<dyn TypedOp> {
        let Root { weights, columns, factors, summands, activation, .. } = self;
        let depth = weights.len() / columns;
        let weight = |step: usize, column: usize| weights[step * columns + column] * factors[column];
        let bias = |column: usize| summands[column];
        match self.kind {
            RootKind::Product { rows, columns: axes } => {
                let weights = Arc::new(Weights::pack(depth, columns, weight, bias));
                Box::new(Product { weights, rows, columns: axes, activation, fused })
            }
            RootKind::Convolution(geometry) => {
                if let Some(points) = Points::of(&geometry, shape, depth, weight, bias) {
                    return Box::new(Winograd { geometry, points: Arc::new(points), activation, fused });
                }
                let [rows, length] = geometry.kernel;
                let size = [rows, depth / rows];
                let shallow = (geometry.dilation[1] == 1 || length == 1)
                    .then(|| Shallow::pack(size, columns, weight, bias))
                    .flatten();
                let weights = Arc::new(Weights::pack(depth, columns, weight, bias));
                Box::new(Convolution { geometry, weights, shallow: shallow.map(Arc::new), activation, fused })
            }
            RootKind::Grouped(geometry, groups) => {
                let of_group = columns / groups;
                let weights = (0..columns).step_by(of_group).map(|first| {
                    Weights::pack(
                        depth,
                        of_group,
                        |step, column| weight(step, first + column),
                        |column| bias(first + column),
                    )
                });
                Box::new(GroupedConvolution { geometry, weights: weights.collect(), activation, fused })
            }
            RootKind::Quantized { over, weights, .. } => {
                let weight = |step: usize, column: usize| i32::from(weights[step * columns + column]);
                let weights =
                    ByteWeights::pack(weights.len() / columns, columns, weight, |column| factors[column], bias);
                debug_assert!(matches!(activation, Activation::Clip(_)), "products of bytes take no gate");
                let bounds = activation.bounds();
                Box::new(QuantizedProduct { over, weights: Arc::new(weights), bounds, fused, quantization })
            }
            RootKind::Depthwise(geometry, bytes) => {
                let weights = Arc::new(DepthwiseWeights::pack(depth, columns, weight, bias));
                Box::new(Depthwise { geometry, bytes, weights, activation, fused, quantization })
            }
        }
    }
}
