//! Where the time of an inference goes: what `samara bench --profile` calls.
//!
//! An instance has no clock, and a component made of the engine has no way to ask for one. Whoever holds the core module by
//! itself can grant it one for as long as it measures: [`samara_clock`] tells which entry of the module's function table,
//! which is exported, is the clock. It stands for a function that tells no time; the host puts one that does in its place.
//!
//! 1. [`samara_clock`] tells the clock's place in the table.
//! 2. `samara-buffer` gives a buffer, into which the host writes the inputs.
//! 3. [`samara_profile`] runs the model on them, and takes the time of each operator.
//! 4. `samara-reply` tells where the reply is.

use std::hint::black_box;

use samara_protocol::Datatype;
use serde::{Deserialize, Serialize};
use tract_nnef::internal::*;
use tract_nnef::tract_core::ops::matmul::optimized::OptMatMul;

use crate::graph::Graph;
use crate::session::evaluate;
use crate::{loader, tensor};

/// Nanoseconds since some moment.
type Clock = extern "C" fn() -> u64;

/// An input, in the order of the model: its datatype and its shape. The data of all inputs follow one after the other.
#[derive(Deserialize)]
struct Input {
    datatype: Datatype,
    shape: Vec<u64>,
}

/// What is to be run: the head of the argument of [`samara_profile`], in JSON.
#[derive(Deserialize)]
struct Request {
    inputs: Vec<Input>,
    /// How often to run after a first time, which describes the operators; the least time of each counts.
    runs: usize,
}

/// An operator of the optimised graph, in the order in which they run.
#[derive(Serialize)]
struct Operator {
    name: String,
    /// What kind of operator it is.
    kind: String,
    /// The kernels that it may run, where it is a product of matrices.
    kernels: Vec<String>,
    nanoseconds: u64,
    /// Floating-point operations, where the operator tells: two for each multiply-add.
    flops: u64,
    /// Bytes of inputs and outputs.
    bytes: u64,
    /// Bytes of what is packed for a kernel, as weights are, where the operator tells.
    weight_bytes: u64,
    outputs: Vec<Vec<usize>>,
}

/// The reply of [`samara_profile`], in JSON.
#[derive(Serialize)]
struct Report {
    operators: Vec<Operator>,
    /// The fastest run, with all that is between the operators.
    nanoseconds: u64,
    /// The most memory that the inference had in use at once for which the model was compiled, in bytes.
    peak_bytes: usize,
    /// The memory in which that was planned, in bytes.
    arena_bytes: usize,
    /// Whether the inference does what was planned.
    planned: bool,
}

extern "C" fn no_clock() -> u64 {
    0
}

fn now() -> u64 {
    // Behind `black_box`, so that the compiler does not know which function it is.
    let clock: Clock = black_box(no_clock);
    clock()
}

/// The place of the clock in the function table.
#[unsafe(export_name = "samara-clock")]
extern "C" fn samara_clock() -> usize {
    black_box(no_clock as Clock) as usize
}

/// Multiply-adds of four numbers each, at the rate that this CPU has for them: the measure for all operators. Gives how
/// many operations on numbers that was.
#[unsafe(export_name = "samara-peak")]
extern "C" fn samara_peak(rounds: usize) -> u64 {
    samara_kernels::peak(black_box(rounds))
}

/// Profiles `graph`; where it takes the items of a batch one by one, on the first of them.
///
/// `argument` is the length of its head as a little-endian `u32`, the head, and the data.
pub fn profile(graph: &Graph, loaded: &loader::Report, argument: &[u8]) -> TractResult<Vec<u8>> {
    let (length, rest) = argument.split_first_chunk::<4>().context("there is no head")?;
    let (head, mut data) =
        rest.split_at_checked(u32::from_le_bytes(*length) as usize).context("the head is cut off")?;
    let Request { inputs, runs } = serde_json::from_slice(head)?;
    let inputs = inputs.iter().map(|input| {
        let elements: u64 = input.shape.iter().product();
        let size = input.datatype.size().context("strings cannot be profiled")?;
        let (bytes, rest) = data.split_at_checked(elements as usize * size).context("the data is cut off")?;
        data = rest;
        Ok(samara_model::Input { datatype: input.datatype, shape: &input.shape, data: bytes })
    });
    let inputs = inputs.collect::<TractResult<Vec<_>>>()?;
    let values = inputs.iter().enumerate().map(|(index, input)| {
        graph.first_item(graph.adapt(index, tensor::from_bytes(input.datatype, input.shape, input.data)?)?)
    });
    let values = values.collect::<TractResult<TVec<TValue>>>()?;
    let planned = samara_model::with(|model| graph.is_planned(&model.context("there is no model")?.metadata, &inputs))?;
    let (peak_bytes, arena_bytes) = (loaded.peak_bytes, loaded.arena_bytes);
    let mut report = Report { operators: Vec::new(), nanoseconds: u64::MAX, peak_bytes, arena_bytes, planned };
    for run in 0..=runs.max(1) {
        let mut position = 0;
        let start = now();
        graph.session().run_with(values.clone(), |context, op_state, node, inputs| {
            // Told before, since operators may take their inputs apart.
            let described = if run == 0 { Some(describe(graph, context, node, &inputs)?) } else { None };
            let start = now();
            let outputs = evaluate(context, op_state, node, inputs)?;
            let nanoseconds = now() - start;
            match described {
                Some(operator) => report.operators.push(Operator {
                    nanoseconds,
                    bytes: operator.bytes + outputs.iter().map(|output| bytes(output)).sum::<u64>(),
                    outputs: outputs.iter().map(|output| output.shape().to_vec()).collect(),
                    ..operator
                }),
                None => {
                    let least = &mut report.operators[position].nanoseconds;
                    *least = nanoseconds.min(*least);
                }
            }
            position += 1;
            TractResult::Ok(outputs)
        })?;
        if run > 0 {
            report.nanoseconds = report.nanoseconds.min(now() - start);
        }
    }
    report.operators.retain(|operator| operator.kind != "Const" && operator.kind != "Source");
    Ok(serde_json::to_vec(&report)?)
}

fn describe(graph: &Graph, context: &EvalContext<'_>, node: &TypedNode, inputs: &[TValue]) -> TractResult<Operator> {
    let facts = graph.plan().model().node_input_facts(node.id)?;
    let (mut flops, mut weight_bytes) = (0, 0);
    for (cost, count) in node.op.cost(&facts)? {
        let count = count.eval(context.symbols).to_i64().unwrap_or(0).unsigned_abs();
        flops += match cost {
            Cost::FMA(_) => 2 * count,
            Cost::Div(_) => count,
            _ => 0,
        };
        if let Cost::Params(datatype) = cost {
            weight_bytes += count * datatype.size_of() as u64;
        }
    }
    Ok(Operator {
        name: node.name.clone(),
        kind: node.op.name().into_owned(),
        kernels: match node.op_as::<OptMatMul>() {
            Some(product) => product.mmm.iter().map(|kernel| kernel.name().to_owned()).collect(),
            None => Vec::new(),
        },
        nanoseconds: 0,
        flops,
        bytes: inputs.iter().map(|input| bytes(input)).sum(),
        weight_bytes,
        outputs: Vec::new(),
    })
}

/// The bytes of a tensor's elements.
fn bytes(tensor: &Tensor) -> u64 {
    (tensor.volume() * tensor.datum_type().size_of()) as u64
}
