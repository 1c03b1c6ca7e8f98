//! From tract's operators to ours.

use std::collections::HashMap;
use std::sync::Arc;

use samara_kernels::program::{Binary, Spread, Unary};
use tract_core::internal::*;
use tract_core::ops::array;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cnn::{Conv, MaxPool, PoolSpec, SumPool};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::konst::Const;
use tract_core::ops::math;
use tract_core::ops::nn::{self, Reduce, Reducer};
use tract_onnx_opl::ml::tree_ensemble_classifier::TreeEnsembleClassifier;

use crate::expression::{Deed, Expression, Read, Root, RootKind, STEPS, Term};
use crate::forest::Forest;
use crate::fused::Fused;
use crate::geometry::Geometry;
use crate::layout::{Order, Relayout, axes};
use crate::lines;
use crate::map::Map;
use crate::pad::Pad;
use crate::pattern::{Pattern, Patterns};
use crate::pool::{Kind, Pool};

mod convolution;
mod einsum;
mod elementwise;

/// A graph that computes the same, with this crate's operators for what they can do. It is to be simplified before, and
/// optimised after.
pub fn rewrite(source: &TypedModel) -> TractResult<TypedModel> {
    let mut rewriter = Rewriter {
        source,
        target: TypedModel { symbols: source.symbols.clone(), ..TypedModel::default() },
        values: HashMap::new(),
        helpers: 0,
    };
    let patterns = Patterns::find(source)?;
    // Also those that nothing depends on.
    for input in &source.inputs {
        rewriter.input(*input)?;
    }
    for node in source.eval_order()? {
        let is_part = patterns.parts.contains(&node);
        let node = source.node(node);
        // Constants come when they are asked for.
        if is_part || node.op_is::<Const>() || source.inputs.contains(&node.id.into()) {
            continue;
        }
        let done = match patterns.by_last.get(&node.id) {
            Some(pattern) => {
                rewriter.pattern(node, pattern)?;
                true
            }
            None => rewriter.node(node)?,
        };
        if !done {
            rewriter.keep(node)?;
        }
    }
    let inputs = source.inputs.iter().map(|input| rewriter.natural(*input)).collect::<TractResult<Vec<_>>>()?;
    let outputs = source.outputs.iter().map(|output| rewriter.natural(*output)).collect::<TractResult<Vec<_>>>()?;
    rewriter.target.inputs = inputs;
    rewriter.target.select_output_outlets(&outputs)?;
    Ok(rewriter.target)
}

/// A value of the old graph in the new one.
#[derive(Clone, Default)]
struct Value {
    /// As the old graph has it.
    natural: Option<OutletId>,
    /// In orders of its axes.
    stored: Vec<(Order, OutletId)>,
    /// As what is still to be computed.
    pending: Option<Expression>,
}

struct Rewriter<'a> {
    source: &'a TypedModel,
    target: TypedModel,
    values: HashMap<OutletId, Value>,
    /// How many nodes there are that the old graph has none for.
    helpers: usize,
}

impl<'a> Rewriter<'a> {
    fn fact(&self, outlet: OutletId) -> TractResult<&'a TypedFact> {
        self.source.outlet_fact(outlet)
    }

    /// The shape of a value in an order of its axes.
    fn shape(&self, outlet: OutletId, order: &[usize]) -> TractResult<TVec<TDim>> {
        let fact = self.fact(outlet)?;
        Ok(order.iter().map(|&axis| fact.shape[axis].clone()).collect())
    }

    fn axes(&self, outlet: OutletId) -> TractResult<Order> {
        Ok(axes(&self.fact(outlet)?.shape.to_tvec()))
    }

    fn constant(&self, outlet: OutletId) -> Option<&'a Arc<Tensor>> {
        self.source.node(outlet.node).op_as::<Const>().map(Const::val)
    }

    fn is_f32(&self, outlet: OutletId) -> TractResult<bool> {
        let fact = self.fact(outlet)?;
        Ok(fact.datum_type == f32::datum_type() && !fact.is_exotic())
    }

    /// Adds a node with one output. The operator comes in a box, as this code would be compiled for each operator else.
    fn wire(&mut self, name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]) -> TractResult<OutletId> {
        Ok(self.target.wire_node(name, op, inputs)?[0])
    }

    /// Adds a node that the old graph has none for.
    fn helper(&mut self, what: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]) -> TractResult<OutletId> {
        self.helpers += 1;
        self.wire(&format!("samara.{what}.{}", self.helpers), op, inputs)
    }

    fn value(&mut self, outlet: OutletId) -> &mut Value {
        self.values.entry(outlet).or_default()
    }

    /// Notes where a value lies in an order of its axes.
    fn put(&mut self, outlet: OutletId, order: Order, at: OutletId) {
        self.value(outlet).stored.push((order, at));
    }

    // === Where values lie ===

    /// Computes what is pending of a value.
    fn settle(&mut self, outlet: OutletId) -> TractResult<()> {
        if let Some(expression) = self.value(outlet).pending.take() {
            let name = self.source.node(outlet.node).name.clone();
            let order = expression.order.clone();
            let at = self.compute(&name, expression)?;
            self.put(outlet, order, at);
        }
        Ok(())
    }

    /// A value as the old graph has it.
    fn natural(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        self.settle(outlet)?;
        let value = self.value(outlet);
        if let Some(natural) = value.natural {
            return Ok(natural);
        }
        if let Some(constant) = self.constant(outlet) {
            let name = self.source.node(outlet.node).name.clone();
            let natural = self.target.add_const(name, Arc::clone(constant))?;
            self.value(outlet).natural = Some(natural);
            return Ok(natural);
        }
        let all = self.axes(outlet)?;
        let fact = self.fact(outlet)?;
        let stored = &self.value(outlet).stored;
        let best = stored.iter().find(|(order, _)| *order == all).or(stored.first());
        let (order, at) = best.cloned().with_context(|| format!("{outlet:?} has not been computed"))?;
        let natural = if order == all && all.len() == fact.rank() {
            at
        } else {
            let take = all.iter().map(|axis| order.iter().position(|other| other == axis).unwrap_or(0)).collect();
            self.helper("natural", Box::new(Relayout { take, rank: fact.rank(), put: all }), &[at])?
        };
        self.value(outlet).natural = Some(natural);
        Ok(natural)
    }

    /// A value in an order of its axes.
    fn stored(&mut self, outlet: OutletId, order: &Order) -> TractResult<OutletId> {
        self.settle(outlet)?;
        let value = self.value(outlet);
        if let Some((_, at)) = value.stored.iter().find(|(other, _)| other == order) {
            return Ok(*at);
        }
        let rank = order.len();
        let put = (0..rank).collect();
        let at = if value.natural.is_none()
            && let Some((other, at)) = value.stored.first().cloned()
        {
            let take = order.iter().map(|axis| other.iter().position(|other| other == axis).unwrap_or(0)).collect();
            self.helper("stored", Box::new(Relayout { take, rank, put }), &[at])?
        } else {
            let natural = self.natural(outlet)?;
            if order.len() == self.fact(outlet)?.rank() && *order == self.axes(outlet)? {
                natural
            } else {
                self.helper("stored", Box::new(Relayout { take: order.clone(), rank, put }), &[natural])?
            }
        };
        self.put(outlet, order.clone(), at);
        Ok(at)
    }

    /// The orders in which a value lies already, the most useful first.
    fn orders(&mut self, outlet: OutletId) -> TractResult<Vec<Order>> {
        let natural = self.axes(outlet)?;
        let value = self.value(outlet);
        let pending = value.pending.iter().map(|pending| pending.order.clone());
        let mut orders: Vec<Order> = pending.chain(value.stored.iter().map(|(order, _)| order.clone())).collect();
        if !orders.contains(&natural) {
            orders.push(natural);
        }
        Ok(orders)
    }

    /// Computes an expression.
    fn compute(&mut self, name: &str, mut expression: Expression) -> TractResult<OutletId> {
        expression.simplify();
        let program = if expression.steps.is_empty() { None } else { expression.program() };
        if !expression.steps.is_empty() && program.is_none() {
            bail!("{name}: an expression of {} steps has no room for its results", expression.steps.len());
        }
        let (program, reads) = program.map_or((None, vec![]), |(program, reads)| (Some(program), reads));
        let mut inputs = vec![];
        let mut spreads = vec![];
        for read in reads {
            let (read, spread) = expression.reads[read].clone();
            inputs.push(match read {
                Read::Outlet(outlet) => outlet,
                Read::Numbers(numbers) => {
                    self.helpers += 1;
                    self.target.add_const(format!("samara.numbers.{}", self.helpers), tensor1(&numbers))?
                }
            });
            spreads.push(spread);
        }
        let op: Box<dyn TypedOp> = match (expression.root, program) {
            (Some(root), Some(program)) if !root.has_columns() && spreads.iter().any(|spread| spread.is_by_axis()) => {
                // The operator would not know what a column is: the arithmetic comes after it.
                let (input, shape) = (root.input, expression.shape);
                let own = self.helper("root", root.operator(&shape, None), &[input])?;
                inputs.insert(0, own);
                spreads.insert(0, Spread::Full);
                Box::new(Map { program, spreads, shape })
            }
            (Some(root), program) => {
                inputs.insert(0, root.input);
                root.operator(&expression.shape, program.map(|program| Fused { program, spreads }))
            }
            (None, Some(program)) => Box::new(Map { program, spreads, shape: expression.shape }),
            (None, None) => match expression.reads.first() {
                Some((Read::Outlet(outlet), Spread::Full)) => return Ok(*outlet),
                _ => bail!("{name}: an expression of nothing"),
            },
        };
        self.helpers += 1;
        self.wire(&format!("{name}.{}", self.helpers), op, &inputs)
    }

    /// Notes an expression as the value of an outlet, to be computed together with what follows where that can be.
    fn pend(&mut self, outlet: OutletId, expression: Expression) -> TractResult<()> {
        let waits = expression.steps.len() < STEPS && self.converges(outlet)?;
        self.value(outlet).pending = Some(expression);
        if !waits { self.settle(outlet) } else { Ok(()) }
    }

    // === Nodes ===

    fn input(&mut self, input: OutletId) -> TractResult<()> {
        let node = self.source.node(input.node);
        let natural = self.target.add_source(node.name.clone(), node.outputs[input.slot].fact.clone())?;
        self.value(input).natural = Some(natural);
        Ok(())
    }

    /// Takes over a node as it is.
    fn keep(&mut self, node: &TypedNode) -> TractResult<()> {
        let inputs = node.inputs.iter().map(|input| self.natural(*input)).collect::<TractResult<TVec<_>>>()?;
        let outlets = self.target.wire_node(&node.name, node.op.clone(), &inputs)?;
        for (slot, natural) in outlets.into_iter().enumerate() {
            self.value(OutletId::new(node.id, slot)).natural = Some(natural);
        }
        Ok(())
    }

    /// Replaces a node, where it can be.
    fn node(&mut self, node: &TypedNode) -> TractResult<bool> {
        if node.outputs.len() != 1 || !self.is_f32(node.id.into())? {
            return Ok(false);
        }
        if let Some(op) = node.op_as::<EinSum>() {
            return self.einsum(node, op);
        }
        if let Some(op) = node.op_as::<Conv>() {
            return self.convolution(node, op);
        }
        if let Some(op) = node.op_as::<MaxPool>() {
            let kind = if op.with_index_outputs.is_none() { Some(Kind::Max) } else { None };
            return self.pool(node, &op.pool_spec, kind);
        }
        if let Some(op) = node.op_as::<SumPool>() {
            let unpadded = op.pool_spec.padding == tract_core::ops::cnn::PaddingSpec::Valid;
            let kind = match (op.normalize, op.count_include_pad || unpadded) {
                (false, _) => Some(Kind::Sum),
                (true, true) if unpadded => Some(Kind::Mean),
                (true, false) => Some(Kind::MeanInside),
                _ => None,
            };
            return self.pool(node, &op.pool_spec, kind);
        }
        if let Some(op) = node.op_as::<Reduce>() {
            return self.reduce(node, op);
        }
        if let Some(op) = node.op_as::<nn::Softmax>() {
            return self.softmax(node, op);
        }
        if let Some(op) = node.op_as::<array::Pad>() {
            return self.pad(node, op);
        }
        if let Some(op) = node.op_as::<TreeEnsembleClassifier>() {
            return self.forest(node, op);
        }
        if let Some(op) = node.op_as::<AxisOp>() {
            return self.axis(node, op);
        }
        if let Some(op) = node.op_as::<TypedBinOp>() {
            return self.binary(node, op);
        }
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            return self.unary(node, op);
        }
        Ok(false)
    }

    /// Axes of size 1 that come or go change nothing.
    fn axis(&mut self, node: &TypedNode, op: &AxisOp) -> TractResult<bool> {
        let input = node.inputs[0];
        let moved = |axis: usize| match *op {
            AxisOp::Add(added) => Some(axis + usize::from(axis >= added)),
            AxisOp::Rm(removed) if axis != removed => Some(axis - usize::from(axis > removed)),
            AxisOp::Move(from, to) => Some(match axis {
                axis if axis == from => to,
                axis if from < axis && axis <= to => axis - 1,
                axis if to <= axis && axis < from => axis + 1,
                axis => axis,
            }),
            _ => None,
        };
        if self.constant(input).is_some() || matches!(op, AxisOp::Reshape(..)) {
            return Ok(false);
        }
        let order = |order: &Order| order.iter().map(|&axis| moved(axis)).collect::<Option<Order>>();
        let natural = self.axes(input)?;
        let output = OutletId::new(node.id, 0);
        let value = self.value(input).clone();
        let mut stored = vec![];
        for (other, at) in &value.stored {
            let Some(order) = order(other) else { return Ok(false) };
            stored.push((order, *at));
        }
        if let Some(pending) = &value.pending {
            let Some(order) = order(&pending.order) else { return Ok(false) };
            if stored.is_empty() {
                let expression = Expression { order, ..pending.clone() };
                self.pend(output, expression)?;
                return Ok(true);
            }
        }
        if stored.is_empty() {
            let Some(order) = order(&natural) else { return Ok(false) };
            let at = self.stored(input, &natural)?;
            stored.push((order, at));
        }
        self.value(output).stored = stored;
        Ok(true)
    }

    fn pattern(&mut self, node: &TypedNode, pattern: &Pattern) -> TractResult<()> {
        let output = OutletId::new(node.id, 0);
        match pattern {
            Pattern::Lookup { input, table } => {
                let mut names = self.natural(*input)?;
                let last = self.fact(*input)?.rank() - 1;
                names = self.helper("names", Box::new(AxisOp::Rm(last)), &[names])?;
                let op = crate::lines::Lookup { table: Arc::clone(table) };
                let natural = self.wire(&node.name, Box::new(op), &[names])?;
                self.value(output).natural = Some(natural);
            }
            Pattern::Normalization { input, axis, centered, epsilon, factors, summands } => {
                let orders = self.orders(*input)?;
                let order = orders.iter().find(|order| order.last() == Some(axis)).cloned().unwrap_or_else(|| {
                    let mut order = orders[orders.len() - 1].clone();
                    order.retain(|other| other != axis);
                    order.push(*axis);
                    order
                });
                let at = self.stored(*input, &order)?;
                let op = crate::lines::Normalization {
                    normalization: samara_kernels::lines::Normalization { centered: *centered, epsilon: *epsilon },
                    factors: factors.clone().into(),
                    summands: summands.clone().into(),
                };
                let at = self.wire(&node.name, Box::new(op), &[at])?;
                self.put(output, order, at);
            }
        }
        Ok(())
    }

    fn forest(&mut self, node: &TypedNode, op: &TreeEnsembleClassifier) -> TractResult<bool> {
        if self.fact(node.inputs[0])?.rank() != 2 {
            return Ok(false);
        }
        let Some(forest) = Forest::of(&op.ensemble)? else { return Ok(false) };
        let at = self.natural(node.inputs[0])?;
        let natural = self.wire(&node.name, Box::new(forest), &[at])?;
        self.value(node.id.into()).natural = Some(natural);
        Ok(true)
    }

    fn pad(&mut self, node: &TypedNode, op: &array::Pad) -> TractResult<bool> {
        if !self.is_f32(node.inputs[0])? {
            return Ok(false);
        }
        let at = self.natural(node.inputs[0])?;
        let op = Pad { pads: op.pads.iter().copied().collect(), mode: op.mode.clone() };
        let natural = self.wire(&node.name, Box::new(op), &[at])?;
        self.value(node.id.into()).natural = Some(natural);
        Ok(true)
    }

    fn softmax(&mut self, node: &TypedNode, op: &nn::Softmax) -> TractResult<bool> {
        let [axis] = *op.axes else { return Ok(false) };
        let input = node.inputs[0];
        if op.kind != nn::SoftmaxKind::Softmax || op.quant_output_dt.is_some() || !self.is_f32(input)? {
            return Ok(false);
        }
        let orders = self.orders(input)?;
        let Some(order) = orders.iter().find(|order| order.last() == Some(&axis)).cloned() else { return Ok(false) };
        let at = self.stored(input, &order)?;
        let at = self.wire(&node.name, Box::new(lines::Softmax), &[at])?;
        self.put(node.id.into(), order, at);
        Ok(true)
    }

    fn reduce(&mut self, node: &TypedNode, op: &Reduce) -> TractResult<bool> {
        use samara_kernels::lines::Reduction;
        let input = node.inputs[0];
        let (reduction, mean) = match op.reducer {
            Reducer::Sum => (Reduction::Sum, false),
            Reducer::Max => (Reduction::Max, false),
            Reducer::Min => (Reduction::Min, false),
            Reducer::MeanOfSquares => (Reduction::SumOfSquares, true),
            _ => return Ok(false),
        };
        let natural = self.axes(input)?;
        if !self.is_f32(input)? || !natural.iter().any(|axis| op.axes.contains(axis)) {
            return Ok(false);
        }
        for order in self.orders(input)? {
            let goes: Vec<bool> = order.iter().map(|axis| op.axes.contains(axis)).collect();
            let over_columns = goes.last() == Some(&true);
            let rows = goes.iter().position(|goes| *goes == over_columns).unwrap_or(0);
            if goes[rows..].contains(&!over_columns) {
                continue;
            }
            let at = self.stored(input, &order)?;
            let op = lines::Reduction { reduction, rows, over_columns, mean };
            let at = self.wire(&node.name, Box::new(op), &[at])?;
            let stays = if over_columns { &order[..rows] } else { &order[rows..] };
            self.put(node.id.into(), stays.into(), at);
            return Ok(true);
        }
        Ok(false)
    }
}

/// The numbers of a constant.
fn numbers(tensor: &Tensor) -> Option<&[f32]> {
    tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()
}
