//! Where values lie, and how they come to lie elsewhere.

use super::*;
use samara_operators::layout::Relayout;

impl Rewriter<'_> {
    /// Computes what is pending of a value.
    pub(super) fn settle(&mut self, outlet: OutletId) -> TractResult<()> {
        if let Some(expression) = self.value(outlet).pending.take() {
            let name = self.source.node(outlet.node).name.clone();
            let order = expression.order.clone();
            let at = self.compute(&name, expression)?;
            self.put(outlet, order, at);
        }
        Ok(())
    }

    /// A value as the old graph has it.
    pub(super) fn natural(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        self.settle(outlet)?;
        let value = self.value(outlet);
        if let Some(natural) = value.natural {
            return Ok(natural);
        }
        if let Some(constant) = self.constant(outlet) {
            let name = self.source.node(outlet.node).name.clone();
            let natural = self.target.add_const(name, constant)?;
            self.value(outlet).natural = Some(natural);
            return Ok(natural);
        }
        if self.value(outlet).stored.is_empty()
            && let Some(bytes) = self.value(outlet).bytes.clone()
        {
            let order = bytes.stored.first().context("bytes that lie somewhere")?.0.clone();
            self.floats_in(outlet, &order)?;
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
    pub(super) fn stored(&mut self, outlet: OutletId, order: &Order) -> TractResult<OutletId> {
        self.settle(outlet)?;
        let value = self.value(outlet);
        if let Some((_, at)) = value.stored.iter().find(|(other, _)| other == order) {
            return Ok(*at);
        }
        if value.natural.is_none() && value.stored.is_empty() && value.bytes.is_some() {
            return self.floats_in(outlet, order);
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
    pub(super) fn orders(&mut self, outlet: OutletId) -> TractResult<Vec<Order>> {
        let natural = self.axes(outlet)?;
        let value = self.value(outlet);
        let pending = value.pending.iter().map(|pending| pending.order.clone());
        let mut orders: Vec<Order> = pending.chain(value.stored.iter().map(|(order, _)| order.clone())).collect();
        if orders.is_empty() {
            orders.extend(value.bytes.iter().flat_map(|bytes| bytes.stored.iter().map(|(order, _)| order.clone())));
        }
        if !orders.contains(&natural) {
            orders.push(natural);
        }
        Ok(orders)
    }

    /// Axes of size 1 that come or go change nothing.
    pub(super) fn axis(&mut self, node: &TypedNode, op: &AxisOp) -> TractResult<bool> {
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
        if let Some(bytes) = &value.bytes
            && value.is_only_bytes()
        {
            let moved = bytes.stored.iter().map(|(other, at)| Some((order(other)?, *at))).collect::<Option<Vec<_>>>();
            let Some(stored) = moved else { return Ok(false) };
            self.value(output).bytes = Some(super::quantized::Bytes { stored, ..bytes.clone() });
            return Ok(true);
        }
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
}
