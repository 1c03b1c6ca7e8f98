//! Graphs give the same after the rewrite as before, and what is to be replaced is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arithmetic;
mod convolutions;
mod other;
mod parts;
mod products;
mod quantized;

use tract_core::internal::*;

/// Numbers between -1 and 1, each time the same.
pub fn numbers(seed: u32, shape: &[usize]) -> Tensor {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let count = shape.iter().product();
    Tensor::from_shape(shape, &std::iter::repeat_with(next).take(count).collect::<Vec<_>>()).unwrap()
}

/// A graph that is being built.
#[derive(Default)]
pub struct Builder {
    /// What has been built.
    pub model: TypedModel,
    count: usize,
}

impl Builder {
    /// An input.
    pub fn source(&mut self, fact: TypedFact) -> OutletId {
        self.count += 1;
        self.model.add_source(format!("source{}", self.count), fact).unwrap()
    }

    /// An input of numbers.
    pub fn tensor(&mut self, shape: &[usize]) -> OutletId {
        self.source(f32::fact(shape))
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> OutletId {
        self.count += 1;
        self.model.add_const(format!("constant{}", self.count), tensor).unwrap()
    }

    /// A node with one output.
    pub fn node(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> OutletId {
        self.count += 1;
        self.model.wire_node(format!("node{}", self.count), op, inputs).unwrap()[0]
    }

    /// The graph with an output.
    pub fn finish(mut self, outputs: &[OutletId]) -> TypedModel {
        self.model.select_output_outlets(outputs).unwrap();
        self.model.into_decluttered().unwrap()
    }
}

/// Runs a graph before and after the rewrite on inputs, and compares. Gives the names of the operators after it.
pub fn check(model: TypedModel, inputs: &[Tensor]) -> Vec<String> {
    let rewritten = samara_rewrite::rewrite(model.clone()).unwrap();
    for (one, other) in model.outputs.iter().zip(&rewritten.outputs) {
        let (one, other) = (model.outlet_fact(*one).unwrap(), rewritten.outlet_fact(*other).unwrap());
        assert_eq!((one.datum_type, &one.shape), (other.datum_type, &other.shape));
    }
    let names = rewritten.nodes().iter().map(|node| node.op.name().to_string()).collect();
    let inputs: TVec<TValue> = inputs.iter().map(|input| input.clone().into_tvalue()).collect();
    let expected = model.into_optimized().unwrap().into_runnable().unwrap().run(inputs.clone()).unwrap();
    let plan = rewritten.into_optimized().unwrap().into_runnable().unwrap();
    // Twice: nothing of the first run is left for the second.
    plan.run(inputs.clone()).unwrap();
    let got = plan.run(inputs).unwrap();
    for (got, expected) in got.iter().zip(expected.iter()) {
        got.close_enough(expected, Approximation::Approximate).unwrap();
    }
    names
}

/// Whether an operator is among those of a graph.
pub fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other.starts_with(name))
}
