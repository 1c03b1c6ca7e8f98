//! From tract's operators to ours, node by node.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use samara_kernels::activation::{Activation, Gate};
use samara_kernels::program::{Binary, Rows, Spread, Unary};
use samara_kernels::quantized::Quantization;
use samara_operators::cell::LstmCell;
use samara_operators::fused::Fused;
use samara_operators::geometry::Geometry;
use samara_operators::layout::{Order, axes};
use samara_operators::map::Map;
use samara_operators::pool::{Kind, Pool};
use tract_core::internal::*;
use tract_core::ops::array;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cnn::{Conv, MaxPool, PoolSpec, SumPool};
use tract_core::ops::downsample::Downsample;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::konst::Const;
use tract_core::ops::lstm_cell::LstmEpilogue;
use tract_core::ops::math;
use tract_core::ops::nn::resize::Resize;
use tract_core::ops::nn::{self, Reduce, Reducer};
use tract_core::ops::scan::Scan;
use tract_onnx_opl::ml::tree_ensemble_classifier::TreeEnsembleClassifier;

use crate::attention::attention;
use crate::chain::chain;
use crate::expression::{Deed, Expression, Read, Root, RootKind, STEPS, Term};
use crate::pattern::{Pattern, Patterns};

mod convolution;
mod einsum;
mod elementwise;
mod layout;
mod parts;
mod quantized;
mod single;

/// A graph that computes the same, with operators of crate samara-operators for what they can do. It is to be simplified before, and
/// optimised after. Each constant is dropped when it has been packed, so that there is room for the next.
pub fn rewrite(mut source: TypedModel) -> TractResult<TypedModel> {
    let patterns = Patterns::find(&source)?;
    let constants = take_constants(&mut source)?;
    let bodies = take_bodies(&mut source);
    let source = &source;
    let mut rewriter = Rewriter {
        source,
        target: TypedModel { symbols: source.symbols.clone(), ..TypedModel::default() },
        values: HashMap::new(),
        constants,
        bodies,
        bytes: HashMap::new(),
        helpers: 0,
        done: HashSet::new(),
    };
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
        rewriter.forget(node);
    }
    let inputs = source.inputs.iter().map(|input| rewriter.natural(*input)).collect::<TractResult<Vec<_>>>()?;
    let outputs = source.outputs.iter().map(|output| rewriter.natural(*output)).collect::<TractResult<Vec<_>>>()?;
    rewriter.target.inputs = inputs;
    rewriter.target.select_output_outlets(&outputs)?;
    attention(&mut rewriter.target)?;
    chain(&mut rewriter.target)?;
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
    /// As bytes that stand for it.
    bytes: Option<quantized::Bytes>,
    /// As what it is made up of.
    joined: Option<parts::Joined>,
}

impl Value {
    /// Whether there are bytes that stand for it, and nobody has made floats of them.
    fn is_only_bytes(&self) -> bool {
        self.bytes.is_some() && self.natural.is_none() && self.stored.is_empty() && self.pending.is_none()
    }
}

/// Takes the constants out of a graph. What they are is left.
fn take_constants(model: &mut TypedModel) -> TractResult<HashMap<OutletId, Arc<Tensor>>> {
    let nothing = Arc::new(Tensor::zero::<f32>(&[0])?);
    let mut constants = HashMap::new();
    for id in 0..model.nodes().len() {
        let node = model.node_mut(id);
        if let Some(constant) = node.op_as::<Const>() {
            constants.insert(id.into(), Arc::clone(constant.val()));
            node.op = Box::new(Const::new(Arc::clone(&nothing))?);
            node.outputs[0].fact.konst = None;
        }
    }
    Ok(constants)
}

/// Takes the bodies out of a graph's loops, as their constants are theirs alone.
fn take_bodies(model: &mut TypedModel) -> HashMap<usize, TypedModel> {
    let nodes = model.nodes_mut().iter_mut();
    nodes.filter_map(|node| Some((node.id, std::mem::take(&mut node.op_as_mut::<Scan>()?.body)))).collect()
}

struct Rewriter<'a> {
    source: &'a TypedModel,
    target: TypedModel,
    /// The constants that are still needed.
    constants: HashMap<OutletId, Arc<Tensor>>,
    /// Those of them that are floats and given as bytes.
    bytes: HashMap<OutletId, quantized::QuantizedConstant>,
    /// What is done in the loops that are still to come, by their nodes.
    bodies: HashMap<usize, TypedModel>,
    values: HashMap<OutletId, Value>,
    /// How many nodes there are that the old graph has none for.
    helpers: usize,
    /// The nodes of the old graph that are in the new one.
    done: HashSet<usize>,
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

    fn constant(&self, outlet: OutletId) -> Option<Arc<Tensor>> {
        let constant = self.constants.get(&outlet).cloned();
        constant.or_else(|| self.bytes.get(&outlet)?.floats().ok().map(Tensor::into_arc_tensor))
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

    /// Computes an expression.
    fn compute(&mut self, name: &str, expression: Expression) -> TractResult<OutletId> {
        self.compute_as(name, expression, None)
    }

    /// Computes an expression that has no root, or one which makes bytes, and makes bytes of it. None where arithmetic comes between
    /// that is no part of the product.
    fn compute_bytes(
        &mut self,
        name: &str,
        expression: Expression,
        quantization: Quantization,
    ) -> TractResult<Option<OutletId>> {
        let spreads = || expression.reads.iter().map(|(_, spread)| *spread);
        if expression.root.as_ref().is_some_and(|root| spreads().any(|spread| comes_after(root, spread))) {
            return Ok(None);
        }
        self.compute_as(name, expression, Some(quantization)).map(Some)
    }

    fn compute_as(
        &mut self,
        name: &str,
        mut expression: Expression,
        quantization: Option<Quantization>,
    ) -> TractResult<OutletId> {
        expression.simplify();
        let program = if expression.steps.is_empty() { None } else { expression.program() };
        if !expression.steps.is_empty() && program.is_none() {
            bail!("{name}: an expression of {} steps has no room for its results", expression.steps.len());
        }
        let (program, reads) = program.map_or((None, vec![]), |(program, reads)| (Some(program), reads));
        let mut inputs = vec![];
        let mut spreads = vec![];
        let mut bytes = vec![];
        for read in reads {
            let (read, spread) = expression.reads[read].clone();
            let quantization = match read {
                Read::Bytes(_, quantization) if expression.root.is_none() => Some(quantization),
                _ => None,
            };
            bytes.push(quantization);
            inputs.push(match read {
                Read::Outlet(outlet) => outlet,
                Read::Bytes(outlet, _) if quantization.is_some() => outlet,
                Read::Bytes(outlet, quantization) => self.floats_of(outlet, quantization)?,
                Read::Numbers(numbers) => {
                    self.helpers += 1;
                    self.target.add_const(format!("samara.numbers.{}", self.helpers), tensor1(&numbers))?
                }
            });
            spreads.push(spread);
        }
        let op: Box<dyn TypedOp> = match (expression.root, program) {
            (Some(root), Some(program)) if spreads.iter().any(|spread| comes_after(&root, *spread)) => {
                let (own_inputs, shape) = (root.inputs(), expression.shape);
                let own = self.helper("root", root.operator(&shape, None, None), &own_inputs)?;
                inputs.insert(0, own);
                spreads.insert(0, Spread::FULL);
                bytes.insert(0, None);
                Box::new(Map { program, spreads, bytes, shape, quantization: None })
            }
            (Some(root), program) => {
                inputs = root.inputs().into_iter().chain(inputs).collect();
                root.operator(&expression.shape, program.map(|program| Fused { program, spreads }), quantization)
            }
            (None, Some(program)) => Box::new(Map { program, spreads, bytes, shape: expression.shape, quantization }),
            (None, None) => match expression.reads.first() {
                Some((Read::Outlet(outlet), Spread::FULL)) => return Ok(*outlet),
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

    /// Drops constants, and what is pending of values, that no other node needs: both hold weights.
    fn forget(&mut self, node: &TypedNode) {
        self.done.insert(node.id);
        for input in &node.inputs {
            let users = &self.source.node(input.node).outputs[input.slot].successors;
            let is_output = self.source.outputs.contains(input);
            if !is_output && users.iter().all(|user| self.done.contains(&user.node)) {
                self.value(*input).pending = None;
                self.constants.remove(input);
                self.bytes.remove(input);
            }
        }
    }

    /// Takes over a node as it is.
    fn keep(&mut self, node: &TypedNode) -> TractResult<()> {
        self.keep_as(node, node.op.clone())
    }

    /// Takes over a node with another operator.
    fn keep_as(&mut self, node: &TypedNode, op: Box<dyn TypedOp>) -> TractResult<()> {
        let inputs = node.inputs.iter().map(|input| self.natural(*input)).collect::<TractResult<TVec<_>>>()?;
        let outlets = self.target.wire_node(&node.name, op, &inputs)?;
        for (slot, natural) in outlets.into_iter().enumerate() {
            self.value(OutletId::new(node.id, slot)).natural = Some(natural);
        }
        Ok(())
    }

    /// A loop over steps, as recurrent layers are: what is done in each is a graph by itself.
    fn scan(&mut self, node: &TypedNode, op: &Scan) -> TractResult<bool> {
        let body = self.bodies.remove(&node.id).with_context(|| format!("{}: a loop without a body", node.name))?;
        self.keep_as(node, Box::new(Scan { body: rewrite(body)?, ..op.clone() }))?;
        Ok(true)
    }

    /// Replaces a node, where it can be.
    fn node(&mut self, node: &TypedNode) -> TractResult<bool> {
        if self.quantized(node)? {
            return Ok(true);
        }
        if let Some(op) = node.op_as::<Scan>() {
            return self.scan(node, op);
        }
        if let Some(&LstmEpilogue { hidden }) = node.op_as::<LstmEpilogue>()
            && self.is_f32(node.inputs[0])?
        {
            self.keep_as(node, Box::new(LstmCell { hidden }))?;
            return Ok(true);
        }
        if let Some(op) = node.op_as::<MaxPool>() {
            let kind = if op.with_index_outputs.is_none() { Some(Kind::Max) } else { None };
            return self.pool(node, &op.pool_spec, kind);
        }
        if let Some(op) = node.op_as::<array::Slice>() {
            return self.slice(node, op);
        }
        if let Some(op) = node.op_as::<Downsample>() {
            return self.downsample(node, op);
        }
        if let Some(op) = node.op_as::<array::Gather>() {
            return self.gather(node, op);
        }
        if let Some(op) = node.op_as::<array::TypedConcat>() {
            return self.concat(node, op);
        }
        if node.outputs.len() != 1 || !self.is_f32(node.id.into())? {
            return Ok(false);
        }
        if let Some(op) = node.op_as::<EinSum>() {
            return self.einsum(node, op);
        }
        if let Some(op) = node.op_as::<Conv>() {
            return self.convolution(node, op);
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
        if let Some(op) = node.op_as::<Resize>() {
            return self.resize(node, op);
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
}

/// Whether arithmetic with a tensor that is spread so cannot be part of a root's operator, which knows how many rows its result has,
/// and some of them what a column is, but not its shape.
fn comes_after(root: &Root, spread: Spread) -> bool {
    spread.is_by_shape() || spread.is_by_axis() && !root.has_columns()
}

/// The numbers of a constant.
fn numbers(tensor: &Tensor) -> Option<&[f32]> {
    tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()
}
