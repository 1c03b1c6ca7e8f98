//! Parts of values, and values put together: where they lie, without a detour through the old graph's order.

use std::ops::Range;

use super::*;
use samara_operators::gather::Gather;
use samara_operators::parts::{Downsample, Join, Part};
use tract_core::ops::downsample;

/// A value that several of the new graph make up, along an axis.
#[derive(Clone)]
pub(super) struct Joined {
    pub axis: usize,
    pub order: Order,
    /// Where each begins.
    pub parts: Vec<(usize, OutletId)>,
}

impl Rewriter<'_> {
    /// Whether a value is of numbers that this crate's operators move.
    fn moves(&self, outlet: OutletId) -> TractResult<bool> {
        Ok(self.constant(outlet).is_none() && (self.is_f32(outlet)? || self.kind(outlet)?.is_some()))
    }

    pub(super) fn slice(&mut self, node: &TypedNode, op: &array::Slice) -> TractResult<bool> {
        let (Some(start), Some(end)) = (op.start.as_usize(), op.end.as_usize()) else { return Ok(false) };
        self.part(node, op.axis, start..end, &|axis| axis)
    }

    /// Every second row, say, as a convolution of one step needs them.
    pub(super) fn downsample(&mut self, node: &TypedNode, op: &downsample::Downsample) -> TractResult<bool> {
        let (input, output) = (node.inputs[0], OutletId::new(node.id, 0));
        let Ok(stride) = usize::try_from(op.stride) else { return Ok(false) };
        if self.fact(output)?.shape[op.axis].is_one() {
            return self.part(node, op.axis, op.modulo..op.modulo + 1, &|axis| axis);
        }
        if !self.moves(input)? || stride == 0 {
            return Ok(false);
        }
        let (order, at, bytes) = self.lying(input)?;
        let Some(axis) = order.iter().position(|axis| *axis == op.axis) else { return Ok(false) };
        let at = self.wire(&node.name, Box::new(Downsample { axis, first: op.modulo, stride }), &[at])?;
        self.put_as(output, order, at, bytes);
        Ok(true)
    }

    /// A lookup, whose indices are held against the axis.
    pub(super) fn gather(&mut self, node: &TypedNode, op: &array::Gather) -> TractResult<bool> {
        let [input, _] = *node.inputs else { return Ok(false) };
        let fact = self.fact(input)?;
        let is_of_numbers = fact.is_plain() && fact.datum_type.is_number() && op.output_type.is_none();
        if self.gather_one(node, op)? {
            return Ok(true);
        }
        if !is_of_numbers {
            return Ok(false);
        }
        self.keep_as(node, Box::new(Gather { lookup: op.clone() }))?;
        Ok(true)
    }

    /// A lookup of one constant index is a part.
    fn gather_one(&mut self, node: &TypedNode, op: &array::Gather) -> TractResult<bool> {
        let [input, index] = *node.inputs else { return Ok(false) };
        let Some(size) = self.fact(input)?.shape[op.axis].as_usize() else { return Ok(false) };
        let rank = self.fact(index)?.rank();
        let Some(index) = self.number::<i64>(index)?.filter(|_| op.output_type.is_none()) else { return Ok(false) };
        let index = if index < 0 { index + size as i64 } else { index };
        let Some(index) = usize::try_from(index).ok().filter(|index| *index < size) else { return Ok(false) };
        self.part(node, op.axis, index..index + 1, &|axis| if axis > op.axis { axis + rank - 1 } else { axis })
    }

    /// What is in a range of an axis of a node's first input, of which `moved` tells what the other axes become.
    fn part(
        &mut self,
        node: &TypedNode,
        axis: usize,
        range: Range<usize>,
        moved: &dyn Fn(usize) -> usize,
    ) -> TractResult<bool> {
        let (input, output) = (node.inputs[0], OutletId::new(node.id, 0));
        if !self.moves(input)? || range.is_empty() {
            return Ok(false);
        }
        if let Some(joined) = self.value(input).joined.clone().filter(|joined| joined.axis == axis) {
            let ends =
                joined.parts[1..].iter().map(|(first, _)| *first).chain(self.fact(input)?.shape[axis].as_usize());
            let found = joined.parts.iter().zip(ends).find(|((first, _), end)| (*first..*end) == range);
            if let (Some(((_, at), _)), true) = (found, range.len() > 1) {
                let order = joined.order.iter().map(|axis| moved(*axis)).collect();
                self.put(output, order, *at);
                return Ok(true);
            }
        }
        let (order, at, bytes) = self.lying(input)?;
        let order_of_part = order.iter().filter(|other| range.len() != 1 || **other != axis);
        let order_of_part = order_of_part.map(|axis| moved(*axis)).collect();
        let at = match order.iter().position(|other| *other == axis) {
            Some(axis) => self.wire(&node.name, Box::new(Part { axis, range }), &[at])?,
            // All of an axis of size 1.
            None => at,
        };
        self.put_as(output, order_of_part, at, bytes);
        Ok(true)
    }

    pub(super) fn concat(&mut self, node: &TypedNode, op: &array::TypedConcat) -> TractResult<bool> {
        let output = OutletId::new(node.id, 0);
        let all = self.axes(output)?;
        if !all.contains(&op.axis) {
            return Ok(false);
        }
        let mut order: Option<Order> = None;
        for input in &node.inputs {
            if !self.moves(*input)? {
                return Ok(false);
            }
            // That of one which does not lie as the old graph has it, if there is one.
            if self.axes(*input)? == all && order.as_ref().is_none_or(|order| *order == all) {
                order = Some(self.orders(*input)?.swap_remove(0));
            }
        }
        let order = match order {
            Some(order) => order,
            None => std::iter::once(op.axis).chain(self.orders(node.inputs[0])?.swap_remove(0)).collect(),
        };
        // Bytes that all stand for the same floats.
        let first = self.value(node.inputs[0]).bytes.as_ref().and_then(|bytes| bytes.constant);
        let mut as_bytes = first.is_some();
        for input in &node.inputs {
            let value = self.value(*input);
            as_bytes &= value.is_only_bytes() && value.bytes.as_ref().and_then(|bytes| bytes.constant) == first;
        }
        let (mut inputs, mut has_axis) = (vec![], tvec!());
        for input in &node.inputs {
            let own = self.axes(*input)?;
            let order: Order = order.iter().copied().filter(|axis| own.contains(axis)).collect();
            has_axis.push(own.contains(&op.axis));
            inputs.push(if as_bytes { self.bytes_in(*input, &order)? } else { self.stored(*input, &order)? });
        }
        let bytes = if as_bytes { self.value(node.inputs[0]).bytes.clone() } else { None };
        let axis = order.iter().position(|axis| *axis == op.axis).context("the axis is in the order")?;
        let at = self.wire(&node.name, Box::new(Join { axis, has_axis }), &inputs)?;
        self.put_as(output, order, at, bytes);
        Ok(true)
    }

    /// A value as it lies already, and what it stands for where it is bytes that stand for floats.
    pub(super) fn lying(&mut self, outlet: OutletId) -> TractResult<(Order, OutletId, Option<quantized::Bytes>)> {
        let order = self.orders(outlet)?.swap_remove(0);
        if self.value(outlet).is_only_bytes() {
            let at = self.bytes_in(outlet, &order)?;
            return Ok((order, at, self.value(outlet).bytes.clone()));
        }
        let at = self.stored(outlet, &order)?;
        Ok((order, at, None))
    }

    /// Notes where a value lies, as what the bytes of another stand for where there are some.
    pub(super) fn put_as(&mut self, outlet: OutletId, order: Order, at: OutletId, bytes: Option<quantized::Bytes>) {
        match bytes {
            Some(bytes) => {
                self.value(outlet).bytes = Some(quantized::Bytes { stored: vec![(order, at)], ..bytes });
            }
            None => self.put(outlet, order, at),
        }
    }
}
