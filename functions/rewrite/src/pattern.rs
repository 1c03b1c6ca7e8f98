//! Several nodes of a graph that are one operator: layer normalization, a softmax without NaN, a lookup.

use std::collections::HashSet;
use std::sync::Arc;

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::konst::Const;
use tract_core::ops::logic::Iff;
use tract_core::ops::math::{Add, IsNan, Mul, Sub};
use tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind};

/// What several nodes are together.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// A normalization over an axis, and the factors and summands that follow it.
    Normalization { input: OutletId, axis: usize, centered: bool, epsilon: f32, factors: Vec<f32>, summands: Vec<f32> },
    /// A softmax over an axis, with 0 in place of what is not a number.
    Softmax { input: OutletId, axis: usize },
    /// The rows of a table.
    Lookup { input: OutletId, table: Arc<Tensor> },
}

/// The patterns of a graph, each by the last of its nodes, and the nodes that are part of one and not its last.
#[derive(Default)]
pub struct Patterns {
    pub by_last: HashMap<usize, Pattern>,
    pub parts: HashSet<usize>,
}

impl Patterns {
    /// Finds the patterns of a graph.
    pub fn find(model: &TypedModel) -> TractResult<Patterns> {
        let mut patterns = Patterns::default();
        for node in model.eval_order()? {
            let node = model.node(node);
            let found = match (node.op_as::<RmsNorm>(), node.op_as::<Softmax>()) {
                (Some(norm), _) => normalization(model, node, norm)?,
                (_, Some(softmax)) => softmax_without_nan(model, node, softmax)?,
                _ => lookup(model, node)?,
            };
            if let Some((last, parts, pattern)) = found {
                patterns.by_last.insert(last, pattern);
                patterns.parts.extend(parts);
            }
        }
        Ok(patterns)
    }
}

type Found = Option<(usize, Vec<usize>, Pattern)>;

/// The node that alone uses another's only output.
fn user<'a>(model: &'a TypedModel, node: &TypedNode) -> Option<&'a TypedNode> {
    let [output] = &*node.outputs else { return None };
    let is_output = model.outputs.iter().any(|outlet| outlet.node == node.id);
    match &*output.successors {
        [inlet] if !is_output => Some(model.node(inlet.node)),
        _ => None,
    }
}

fn is<T: tract_core::ops::binary::BinMiniOp>(node: &TypedNode) -> bool {
    node.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<T>())
}

/// A constant, and what else a node with two inputs takes.
pub fn constant<'a>(model: &'a TypedModel, node: &TypedNode) -> Option<(&'a Arc<Tensor>, OutletId)> {
    let [left, right] = *node.inputs else { return None };
    let value = |outlet: OutletId| model.node(outlet.node).op_as::<Const>().map(Const::val);
    match (value(left), value(right)) {
        (None, Some(value)) => Some((value, left)),
        (Some(value), None) => Some((value, right)),
        _ => None,
    }
}

/// The numbers of a constant that has one for each index of an axis.
fn of_axis(tensor: &Tensor, axis: usize, size: usize) -> Option<Vec<f32>> {
    let alone = tensor.shape().iter().enumerate().all(|(index, &length)| length == 1 || index == axis);
    let numbers = tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?;
    (alone && numbers.len() == size && tensor.shape().get(axis) == Some(&size)).then(|| numbers.to_vec())
}

fn normalization(model: &TypedModel, node: &TypedNode, norm: &RmsNorm) -> TractResult<Found> {
    let fact = model.outlet_fact(node.inputs[0])?;
    let (axis, mut parts) = (norm.axis, vec![]);
    let Some(size) = fact.shape[axis].as_i64().filter(|size| *size > 1) else { return Ok(None) };
    if fact.datum_type != f32::datum_type() {
        return Ok(None);
    }
    let size = size as usize;
    let epsilon = norm.eps.cast_to_scalar::<f32>()?;
    let mut input = node.inputs[0];
    let centered = centered_input(model, model.node(input.node), axis, size)?;
    if let Some((of, of_parts)) = &centered {
        input = *of;
        parts.extend(of_parts);
    }
    let (mut last, mut factors, mut summands) = (node, vec![1.0; size], vec![0.0; size]);
    for next in 0..2 {
        let Some(after) = user(model, last) else { break };
        let fits = if next == 0 { is::<Mul>(after) } else { is::<Add>(after) };
        if !fits {
            continue;
        }
        let Some((value, _)) = constant(model, after) else { break };
        let Some(numbers) = of_axis(value, axis, size) else { break };
        if next == 0 {
            factors = numbers
        } else {
            summands = numbers
        }
        parts.push(last.id);
        last = after;
    }
    let pattern = Pattern::Normalization { input, axis, centered: centered.is_some(), epsilon, factors, summands };
    Ok(Some((last.id, parts, pattern)))
}

/// `Where(IsNaN(x), 0, x)` of a softmax: PyTorch has it in attention, for rows of which all is masked.
fn softmax_without_nan(model: &TypedModel, node: &TypedNode, softmax: &Softmax) -> TractResult<Found> {
    let [axis] = *softmax.axes else { return Ok(None) };
    let fact = model.outlet_fact(node.inputs[0])?;
    let is_plain = softmax.kind == SoftmaxKind::Softmax && softmax.quant_output_dt.is_none();
    let [one, other] = *node.outputs[0].successors else { return Ok(None) };
    if !is_plain || fact.datum_type != f32::datum_type() || fact.shape[axis].is_one() {
        return Ok(None);
    }
    for (test, choice) in [(one, other), (other, one)] {
        let [is_nan, last] = [test, choice].map(|inlet| model.node(inlet.node));
        let tests = is_nan.op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<IsNan>());
        let is_output = model.outputs.iter().any(|outlet| outlet.node == node.id);
        if !tests || is_output || user(model, is_nan).is_none_or(|user| user.id != last.id) || !last.op_is::<Iff>() {
            continue;
        }
        let [condition, zero, of] = *last.inputs else { continue };
        let zero = model.node(zero.node).op_as::<Const>().map(Const::val);
        let is_zero = zero.is_some_and(|zero| {
            let numbers = zero.try_as_plain_ram().and_then(|plain| plain.as_slice::<f32>());
            numbers.is_ok_and(|numbers| numbers.iter().all(|x| *x == 0.0))
        });
        let fits = condition.node == is_nan.id && of.node == node.id && last.outputs[0].fact.shape == fact.shape;
        if is_zero && fits {
            let pattern = Pattern::Softmax { input: node.inputs[0], axis };
            return Ok(Some((last.id, vec![node.id, is_nan.id], pattern)));
        }
    }
    Ok(None)
}

/// What the mean was taken off, where it was, and the nodes that did it.
fn centered_input(
    model: &TypedModel,
    node: &TypedNode,
    axis: usize,
    size: usize,
) -> TractResult<Option<(OutletId, Vec<usize>)>> {
    if !is::<Sub>(node) || user(model, node).is_none() {
        return Ok(None);
    }
    let (input, mean) = (node.inputs[0], model.node(node.inputs[1].node));
    let Some((factor, sum)) = constant(model, mean).filter(|_| is::<Mul>(mean) && user(model, mean).is_some()) else {
        return Ok(None);
    };
    let sum = model.node(sum.node);
    let sums = sum.op_as::<Reduce>().is_some_and(|op| op.reducer == Reducer::Sum && *op.axes == [axis]);
    let factor = factor.cast_to::<f32>()?;
    let is_mean = factor.len() == 1 && {
        let factor = factor.try_as_plain_ram()?.as_slice::<f32>()?[0];
        (factor * size as f32 - 1.0).abs() < 1e-6
    };
    if !sums || !is_mean || user(model, sum).is_none() || sum.inputs[0] != input {
        return Ok(None);
    }
    Ok(Some((input, vec![sum.id, mean.id, node.id])))
}

/// The product of a table with what is 1 where a number equals the row's.
fn lookup(model: &TypedModel, node: &TypedNode) -> TractResult<Found> {
    let Some(op) = node.op_as::<EinSum>() else { return Ok(None) };
    let [hot, table] = *node.inputs else { return Ok(None) };
    let (cast, Some(table)) = (model.node(hot.node), model.node(table.node).op_as::<Const>()) else { return Ok(None) };
    if cast.op_as::<Cast>().is_none_or(|cast| cast.to != f32::datum_type()) || user(model, cast).is_none() {
        return Ok(None);
    }
    let equal = model.node(cast.inputs[0].node);
    if equal.op.name() != "Eq" || user(model, equal).is_none() {
        return Ok(None);
    }
    let Some((rows, names)) = constant(model, equal) else { return Ok(None) };
    let table = table.val();
    let Some((&count, ones)) = rows.shape().split_last() else { return Ok(None) };
    let [depth, _] = *table.shape() else { return Ok(None) };
    let counts = count == depth && ones.iter().all(|size| *size == 1) && {
        let rows = rows.cast_to::<i64>()?;
        rows.try_as_plain_ram()?.as_slice::<i64>()?.iter().enumerate().all(|(index, &row)| row == index as i64)
    };
    let names_fact = model.outlet_fact(names)?;
    let whole = names_fact.datum_type.is_integer() && rows.datum_type().is_integer();
    let equal_fact = &equal.outputs[0].fact;
    let output = &node.outputs[0].fact;
    // The last axis alone is what is looked up and summed over, and what the table has in its place.
    let rank = equal_fact.rank();
    let last_alone = names_fact.rank() == rank && names_fact.shape[rank - 1].is_one();
    let (inputs, outputs) = op.axes.to_strs();
    let letters: Vec<Vec<char>> = inputs.iter().chain(&outputs).map(|letters| letters.chars().collect()).collect();
    let [of_hot, of_table, of_output] = &*letters else { return Ok(None) };
    let plain = op.q_params.is_none()
        && of_hot[rank - 1] == of_table[0]
        && of_output[..] == [&of_hot[..rank - 1], &of_table[1..]].concat()
        && output.datum_type == f32::datum_type()
        && table.datum_type() == f32::datum_type();
    if !(counts && whole && last_alone && plain) {
        return Ok(None);
    }
    let pattern = Pattern::Lookup { input: names, table: Arc::clone(table) };
    Ok(Some((node.id, vec![equal.id, cast.id], pattern)))
}
