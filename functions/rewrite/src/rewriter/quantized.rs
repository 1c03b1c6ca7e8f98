//! What goes on in bytes: weights and values that stand for floats, and what is computed with both.

use samara_graph::quantization::{Dequantize, DynamicQuantize, Quantize};
use samara_kernels::quantized::{Kind, Quantization};

use super::*;
use samara_operators::layout::Relayout;
use samara_operators::quantized::{Convert, Over, ToBytesOfRange, kind};

/// A value of the old graph that stands for floats, in the new one.
#[derive(Clone)]
pub(super) struct Bytes {
    /// In orders of its axes.
    pub stored: Vec<(Order, OutletId)>,
    pub scale: OutletId,
    pub zero_point: OutletId,
    /// Where it does not change.
    pub constant_scale: Option<f32>,
    /// Where neither of both does.
    pub constant: Option<Quantization>,
}

/// Constant bytes that stand for floats.
pub(super) struct QuantizedConstant {
    op: Dequantize,
    bytes: Arc<Tensor>,
    scale: Arc<Tensor>,
    zero_point: Arc<Tensor>,
    /// Axes that have been moved since.
    moves: Vec<AxisOp>,
}

/// Weights for a product of bytes: for each step, and of that for each column, the weight; and the scale of each column.
pub(super) struct ByteWeights {
    weights: Vec<i16>,
    scales: Vec<f32>,
}

impl QuantizedConstant {
    fn moved(&self, mut tensor: Tensor) -> TractResult<Tensor> {
        for op in &self.moves {
            op.change_tensor(&mut tensor, false)?;
        }
        Ok(tensor)
    }

    /// What the bytes stand for.
    pub fn floats(&self) -> TractResult<Tensor> {
        self.moved(self.op.floats(&self.bytes, &self.scale, &self.zero_point)?)
    }

    /// The bytes less their zero points, and the scale of each.
    fn numbers(&self) -> TractResult<(Tensor, Tensor)> {
        let ones = Tensor::zero::<i32>(self.bytes.shape())?;
        let whole = self.op.floats(&self.bytes, &tensor0(1_f32), &self.zero_point)?;
        let scales = self.op.floats(&ones, &self.scale, &tensor0(-1_i32))?;
        Ok((self.moved(whole)?, self.moved(scales)?))
    }

    /// The weights at some places; none where a column has more than one scale, or zero points that leave it no byte's range.
    pub fn weights(
        &self,
        steps: usize,
        columns: usize,
        place: impl Fn(usize, usize) -> usize,
    ) -> TractResult<Option<ByteWeights>> {
        let (whole, scales) = self.numbers()?;
        let (Some(whole), Some(of_each)) = (numbers(&whole), numbers(&scales)) else { return Ok(None) };
        let scales: Vec<f32> = (0..columns).map(|column| of_each[place(0, column)]).collect();
        let mut weights = Vec::with_capacity(steps * columns);
        let mut ranges = vec![(0.0_f32, 0.0_f32); columns];
        for step in 0..steps {
            for (column, scale) in scales.iter().enumerate() {
                let at = place(step, column);
                let (low, high) = &mut ranges[column];
                (*low, *high) = (low.min(whole[at]), high.max(whole[at]));
                if of_each[at] != *scale || *high - *low > 255.0 {
                    return Ok(None);
                }
                weights.push(whole[at] as i16);
            }
        }
        Ok(Some(ByteWeights { weights, scales }))
    }
}

impl Rewriter<'_> {
    /// Which bytes a value is of, if it is one of bytes.
    pub(super) fn kind(&self, outlet: OutletId) -> TractResult<Option<Kind>> {
        let fact = self.fact(outlet)?;
        Ok(if fact.is_exotic() { None } else { kind(fact.datum_type) })
    }

    pub(super) fn number<T: Datum + Copy>(&self, outlet: OutletId) -> TractResult<Option<T>> {
        let Some(tensor) = self.constant(outlet).filter(|tensor| tensor.len() == 1) else { return Ok(None) };
        // A size that is not known yet is no number.
        let Ok(tensor) = tensor.cast_to::<T>() else { return Ok(None) };
        Ok(tensor.try_as_plain_ram()?.as_slice::<T>()?.first().copied())
    }

    /// Replaces a node that has to do with bytes, where it can be.
    pub(super) fn quantized(&mut self, node: &TypedNode) -> TractResult<bool> {
        if let Some(op) = node.op_as::<Dequantize>() {
            return self.dequantize(node, op);
        }
        if let Some(op) = node.op_as::<Quantize>() {
            return self.quantize(node, op);
        }
        if node.op_is::<DynamicQuantize>() {
            let input = node.inputs[0];
            let order = self.orders(input)?.swap_remove(0);
            let at = self.stored(input, &order)?;
            let made = self.target.wire_node(&node.name, ToBytesOfRange, &[at])?;
            self.put(OutletId::new(node.id, 0), order, made[0]);
            for slot in [1, 2] {
                self.value(OutletId::new(node.id, slot)).natural = Some(made[slot]);
            }
            return Ok(true);
        }
        match node.op_as::<AxisOp>() {
            Some(op) if self.kind(node.id.into())?.is_some() => self.axis(node, op),
            Some(op) => {
                let Some(constant) = self.bytes.get(&node.inputs[0]) else { return Ok(false) };
                let moves = constant.moves.iter().cloned().chain([op.clone()]).collect();
                let moved = QuantizedConstant {
                    op: constant.op.clone(),
                    bytes: Arc::clone(&constant.bytes),
                    scale: Arc::clone(&constant.scale),
                    zero_point: Arc::clone(&constant.zero_point),
                    moves,
                };
                self.bytes.insert(node.id.into(), moved);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn dequantize(&mut self, node: &TypedNode, op: &Dequantize) -> TractResult<bool> {
        let output = OutletId::new(node.id, 0);
        let [input, scale, zero_point] = *node.inputs else { return Ok(false) };
        if let Some(bytes) = self.constant(input) {
            let (Some(scale), Some(zero_point)) = (self.constant(scale), self.constant(zero_point)) else {
                return Ok(false);
            };
            let constant = QuantizedConstant { op: op.clone(), bytes, scale, zero_point, moves: vec![] };
            self.bytes.insert(output, constant);
            return Ok(true);
        }
        let Some(kind) = self.kind(input)?.filter(|_| op.axis.is_none()) else { return Ok(false) };
        let order = self.orders(input)?.swap_remove(0);
        self.stored(input, &order)?;
        let stored = self.value(input).stored.clone();
        let constant_scale = self.number::<f32>(scale)?;
        let constant = constant_scale.zip(self.number::<i32>(zero_point)?).map(|(scale, zero_point)| Quantization {
            kind,
            scale,
            zero_point,
        });
        let bytes = Bytes {
            stored,
            scale: self.natural(scale)?,
            zero_point: self.natural(zero_point)?,
            constant_scale,
            constant,
        };
        self.value(output).bytes = Some(bytes);
        Ok(true)
    }

    fn quantize(&mut self, node: &TypedNode, op: &Quantize) -> TractResult<bool> {
        let output = OutletId::new(node.id, 0);
        let [input, scale, zero_point] = *node.inputs else { return Ok(false) };
        let Some(kind) = kind(op.to).filter(|_| op.axis.is_none() && self.constant(input).is_none()) else {
            return Ok(false);
        };
        let order = self.orders(input)?.swap_remove(0);
        let constants = (self.number::<f32>(scale)?, self.number::<i32>(zero_point)?);
        if let (Some(scale), Some(zero_point)) = constants {
            // Bytes of floats that bytes made in the same way stand for.
            let same = Quantization { kind, scale, zero_point };
            if let Some((at, _)) =
                self.bytes_of_floats(input, &order)?.filter(|(_, of)| *of == same && scale.is_normal())
            {
                self.put(output, order, at);
                return Ok(true);
            }
            let expression = self.expression(input, &order)?;
            let makes_bytes = expression.root.as_ref().map_or(!expression.steps.is_empty(), Root::makes_bytes);
            if makes_bytes
                && let Some(at) =
                    self.compute_bytes(&node.name, expression, Quantization { kind, scale, zero_point })?
            {
                self.put(output, order, at);
                return Ok(true);
            }
        }
        let inputs = [self.stored(input, &order)?, self.natural(scale)?, self.natural(zero_point)?];
        let at = self.wire(&node.name, Box::new(Convert { to: Some(kind) }), &inputs)?;
        self.put(output, order, at);
        Ok(true)
    }

    /// Whether a node makes bytes of its input in a way that does not change.
    pub(super) fn is_quantization(&self, node: &TypedNode) -> bool {
        let constant = |slot: usize| node.inputs.get(slot).is_some_and(|input| self.constant(*input).is_some());
        node.op_as::<Quantize>().is_some_and(|op| op.axis.is_none()) && constant(1) && constant(2)
    }

    /// A value that stands for floats, in bytes, in an order of its axes.
    pub(super) fn bytes_in(&mut self, outlet: OutletId, order: &Order) -> TractResult<OutletId> {
        let bytes = self.value(outlet).bytes.clone().context("a value in bytes")?;
        if let Some((_, at)) = bytes.stored.iter().find(|(other, _)| other == order) {
            return Ok(*at);
        }
        let (other, at) = bytes.stored.first().context("bytes that lie somewhere")?;
        let take = order.iter().map(|axis| other.iter().position(|other| other == axis).unwrap_or(0)).collect();
        let op = Relayout { take, rank: order.len(), put: (0..order.len()).collect() };
        let at = self.helper("bytes", Box::new(op), &[*at])?;
        if let Some(bytes) = &mut self.value(outlet).bytes {
            bytes.stored.push((order.clone(), at));
        }
        Ok(at)
    }

    /// The floats of a value in bytes, in an order of its axes.
    pub(super) fn floats_in(&mut self, outlet: OutletId, order: &Order) -> TractResult<OutletId> {
        let at = self.bytes_in(outlet, order)?;
        let bytes = self.value(outlet).bytes.clone().context("a value in bytes")?;
        let at = self.helper("floats", Box::new(Convert { to: None }), &[at, bytes.scale, bytes.zero_point])?;
        self.put(outlet, order.clone(), at);
        Ok(at)
    }

    /// A value in bytes that stand for floats, in an order of its axes, and what for; none where floats have been made of it already,
    /// or where that may change.
    pub(super) fn bytes_of_floats(
        &mut self,
        outlet: OutletId,
        order: &Order,
    ) -> TractResult<Option<(OutletId, Quantization)>> {
        let value = self.value(outlet);
        let constant = value.bytes.as_ref().and_then(|bytes| bytes.constant);
        let Some(quantization) = constant.filter(|_| value.is_only_bytes()) else { return Ok(None) };
        Ok(Some((self.bytes_in(outlet, order)?, quantization)))
    }

    /// The floats that bytes stand for.
    pub(super) fn floats_of(&mut self, outlet: OutletId, quantization: Quantization) -> TractResult<OutletId> {
        self.helpers += 1;
        let name = format!("samara.scale.{}", self.helpers);
        let scale = self.target.add_const(&name, tensor0(quantization.scale))?;
        let zero_point = self.target.add_const(format!("{name}.zero"), tensor0(quantization.zero_point))?;
        self.helper("floats", Box::new(Convert { to: None }), &[outlet, scale, zero_point])
    }

    /// The scale of a value, and constant bytes that stand for another, where a product of the two can be one of bytes.
    pub(super) fn both_bytes(&self, input: OutletId, constant: OutletId) -> Option<(f32, &QuantizedConstant)> {
        let scale = self.values.get(&input)?.bytes.as_ref()?.constant_scale?;
        Some((scale, self.bytes.get(&constant)?))
    }

    /// The root of a product of a value in bytes, and weights in bytes.
    pub(super) fn byte_root(
        &mut self,
        [output, input]: [OutletId; 2],
        order: &Order,
        over: Over,
        scale: f32,
        weights: ByteWeights,
        summands: Vec<f32>,
    ) -> TractResult<Root> {
        let at = self.bytes_in(input, order)?;
        let zero_point = self.value(input).bytes.as_ref().context("a value in bytes")?.zero_point;
        Ok(Root {
            outlet: output,
            kind: RootKind::Quantized { over, weights: Arc::new(weights.weights), zero_point },
            input: at,
            weights: Arc::new(vec![]),
            columns: weights.scales.len(),
            factors: weights.scales.iter().map(|of_column| of_column * scale).collect(),
            summands,
            activation: Activation::NONE,
        })
    }
}
