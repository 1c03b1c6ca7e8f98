//! Nodes, and patterns of nodes, that one operator is for.

use super::*;
use samara_operators::forest::Forest;
use samara_operators::lines;
use samara_operators::pad::Pad;
use samara_operators::resample::{Becomes, Resample};

impl Rewriter<'_> {
    /// An order of a value's axes of which this one is the last; one that it lies in, if there is such a one.
    fn order_along(&mut self, input: OutletId, axis: usize) -> TractResult<Order> {
        let orders = self.orders(input)?;
        Ok(orders.iter().find(|order| order.last() == Some(&axis)).cloned().unwrap_or_else(|| {
            let mut order = orders[orders.len() - 1].clone();
            order.retain(|other| *other != axis);
            order.push(axis);
            order
        }))
    }

    pub(super) fn pattern(&mut self, node: &TypedNode, pattern: &Pattern) -> TractResult<()> {
        let output = OutletId::new(node.id, 0);
        match pattern {
            Pattern::Lookup { input, table } => {
                let mut names = self.natural(*input)?;
                let last = self.fact(*input)?.rank() - 1;
                names = self.helper("names", Box::new(AxisOp::Rm(last)), &[names])?;
                let op = lines::Lookup { table: Arc::clone(table) };
                let natural = self.wire(&node.name, Box::new(op), &[names])?;
                self.value(output).natural = Some(natural);
            }
            Pattern::Softmax { input, axis } => {
                let order = self.order_along(*input, *axis)?;
                let at = self.stored(*input, &order)?;
                let at = self.wire(&node.name, Box::new(lines::Softmax { nan_is_zero: true }), &[at])?;
                self.put(output, order, at);
            }
            Pattern::Normalization { input, axis, centered, epsilon, factors, summands } => {
                let order = self.order_along(*input, *axis)?;
                let at = self.stored(*input, &order)?;
                let op = lines::Normalization {
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

    pub(super) fn forest(&mut self, node: &TypedNode, op: &TreeEnsembleClassifier) -> TractResult<bool> {
        if self.fact(node.inputs[0])?.rank() != 2 {
            return Ok(false);
        }
        let Some(forest) = Forest::of(&op.ensemble)? else { return Ok(false) };
        let at = self.natural(node.inputs[0])?;
        let natural = self.wire(&node.name, Box::new(forest), &[at])?;
        self.value(node.id.into()).natural = Some(natural);
        Ok(true)
    }

    pub(super) fn pad(&mut self, node: &TypedNode, op: &array::Pad) -> TractResult<bool> {
        if !self.is_f32(node.inputs[0])? {
            return Ok(false);
        }
        let at = self.natural(node.inputs[0])?;
        let op = Pad { pads: op.pads.iter().copied().collect(), mode: op.mode.clone() };
        let natural = self.wire(&node.name, Box::new(op), &[at])?;
        self.value(node.id.into()).natural = Some(natural);
        Ok(true)
    }

    /// One axis after the other, in whatever order they lie.
    pub(super) fn resize(&mut self, node: &TypedNode, op: &Resize) -> TractResult<bool> {
        let (input, output) = (node.inputs[0], OutletId::new(node.id, 0));
        let shape = self.fact(input)?.shape.to_tvec();
        let given = |slot: Option<usize>| {
            let tensor = self.constant(*node.inputs.get(slot?)?)?;
            (tensor.len() == shape.len()).then_some(tensor)
        };
        let becomes: Vec<Option<Becomes>> = if let Some(scales) = given(op.optional_scales_input) {
            let scales = scales.cast_to::<f32>()?;
            let scales = scales.try_as_plain_ram()?.as_slice::<f32>()?;
            scales.iter().map(|scale| (*scale != 1.0).then_some(Becomes::Times(*scale))).collect()
        } else if let Some(sizes) = given(op.optional_sizes_input) {
            let sizes = sizes.cast_to::<TDim>()?;
            let sizes = sizes.try_as_plain_ram()?.as_slice::<TDim>()?;
            let changed = |(size, was): (&TDim, &TDim)| (size != was).then_some(Becomes::Size(size.clone()));
            sizes.iter().zip(&shape).map(changed).collect()
        } else {
            return Ok(false);
        };
        if !self.is_f32(input)? || self.constant(input).is_some() {
            return Ok(false);
        }
        // Axes of one place lie nowhere, and may come or go.
        let is_natural = self.axes(input)? != self.axes(output)?;
        let order = if is_natural { (0..shape.len()).collect() } else { self.orders(input)?.swap_remove(0) };
        let mut at = if is_natural { self.natural(input)? } else { self.stored(input, &order)? };
        for (position, axis) in order.iter().enumerate() {
            let Some(becomes) = &becomes[*axis] else { continue };
            let op = Resample { how: op.clone(), axis: position, becomes: becomes.clone() };
            at = self.helper(&node.name, Box::new(op), &[at])?;
        }
        if is_natural {
            self.value(output).natural = Some(at);
        } else {
            self.put(output, order, at);
        }
        Ok(true)
    }

    pub(super) fn softmax(&mut self, node: &TypedNode, op: &nn::Softmax) -> TractResult<bool> {
        let [axis] = *op.axes else { return Ok(false) };
        let input = node.inputs[0];
        if op.kind != nn::SoftmaxKind::Softmax || op.quant_output_dt.is_some() || !self.is_f32(input)? {
            return Ok(false);
        }
        let orders = self.orders(input)?;
        let Some(order) = orders.iter().find(|order| order.last() == Some(&axis)).cloned() else { return Ok(false) };
        let at = self.stored(input, &order)?;
        let at = self.wire(&node.name, Box::new(lines::Softmax { nan_is_zero: false }), &[at])?;
        self.put(node.id.into(), order, at);
        Ok(true)
    }

    pub(super) fn reduce(&mut self, node: &TypedNode, op: &Reduce) -> TractResult<bool> {
        use samara_kernels::lines::Reduction;
        let input = node.inputs[0];
        let natural = self.axes(input)?;
        let is_one = !natural.iter().any(|axis| op.axes.contains(axis));
        if is_one && self.is_f32(input)? && self.constant(input).is_none() {
            // Of one number each.
            if !matches!(op.reducer, Reducer::Sum | Reducer::Prod | Reducer::Max | Reducer::Min) {
                return Ok(false);
            }
            let (order, at, bytes) = self.lying(input)?;
            self.put_as(node.id.into(), order, at, bytes);
            return Ok(true);
        }
        let (reduction, mean) = match op.reducer {
            Reducer::Sum => (Reduction::Sum, false),
            Reducer::Max => (Reduction::Max, false),
            Reducer::Min => (Reduction::Min, false),
            Reducer::MeanOfSquares => (Reduction::SumOfSquares, true),
            _ => return Ok(false),
        };
        if !self.is_f32(input)? || is_one {
            return Ok(false);
        }
        for order in self.orders(input)? {
            let goes: Vec<bool> = order.iter().map(|axis| op.axes.contains(axis)).collect();
            let start = goes.iter().position(|goes| *goes).unwrap_or(0);
            let end = goes.iter().rposition(|goes| *goes).map_or(0, |last| last + 1);
            if goes[start..end].contains(&false) {
                continue;
            }
            let at = self.stored(input, &order)?;
            let op = lines::Reduction { reduction, over: start..end, mean };
            let at = self.wire(&node.name, Box::new(op), &[at])?;
            self.put(node.id.into(), order[..start].iter().chain(&order[end..]).copied().collect(), at);
            return Ok(true);
        }
        Ok(false)
    }
}
