//! Products with a constant, and of two tensors.

use super::*;
use samara_operators::batch::BatchProduct;
use samara_operators::quantized::Over;

impl Rewriter<'_> {
    pub(super) fn einsum(&mut self, node: &TypedNode, op: &EinSum) -> TractResult<bool> {
        let output = OutletId::new(node.id, 0);
        let [left, right] = *node.inputs else { return Ok(false) };
        if op.q_params.is_some()
            || op.operating_dt != f32::datum_type()
            || !self.is_f32(left)?
            || !self.is_f32(right)?
        {
            return Ok(false);
        }
        let (input, constant, slot) = match (self.constant(left), self.constant(right)) {
            (None, Some(constant)) => (left, constant, 0),
            (Some(constant), None) => (right, constant, 1),
            (None, None) => return self.batch(node, op),
            _ => return Ok(false),
        };
        let Some(weights) = numbers(&constant) else { return Ok(false) };
        let strides = strides(constant.shape());
        // Which axes of the input tell a row, and which are summed over, each with its stride in the constant.
        let (mut rows, mut depth) = (vec![], vec![]);
        let mut to_output = HashMap::new();
        for axis in self.axes(input)? {
            let letter = op.axes.axis((InOut::In(slot), axis))?;
            let (of_input, of_constant) = (&letter.inputs[slot], &letter.inputs[1 - slot]);
            if of_input.len() != 1 {
                return Ok(false);
            }
            match (&**of_constant, &*letter.outputs[0]) {
                ([], [output]) => {
                    rows.push(axis);
                    to_output.insert(axis, *output);
                }
                ([in_constant], []) if constant.shape()[*in_constant] > 1 => depth.push((axis, strides[*in_constant])),
                _ => return Ok(false),
            }
        }
        // Which axes of the constant are columns: all others.
        let mut columns = vec![];
        for (axis, &size) in constant.shape().iter().enumerate().filter(|(_, size)| **size > 1) {
            let letter = op.axes.axis((InOut::In(1 - slot), axis))?;
            match (&*letter.inputs[slot], &*letter.outputs[0]) {
                (_, []) => {
                    let [in_input] = *letter.inputs[slot] else { return Ok(false) };
                    if !depth.iter().any(|(axis, _)| *axis == in_input) {
                        return Ok(false);
                    }
                }
                (of_input, [output]) if of_input.iter().all(|axis| !rows.contains(axis)) => {
                    columns.push((*output, size, strides[axis]));
                }
                _ => return Ok(false),
            }
        }
        let count: usize = columns.iter().map(|(_, size, _)| size).product();
        let steps: Vec<TDim> =
            depth.iter().map(|(axis, _)| Ok(self.fact(input)?.shape[*axis].clone())).collect::<TractResult<_>>()?;
        let steps: Option<Vec<usize>> = steps.iter().map(|size| size.to_usize().ok()).collect();
        let Some(steps) = steps else { return Ok(false) };
        if count == 0 || steps.contains(&0) {
            return Ok(false);
        }
        // The rows' axes come first, in whichever order.
        let fits = |order: &Order| order[..rows.len()].iter().all(|axis| rows.contains(axis));
        let orders = self.orders(input)?;
        let order: Order = match orders.iter().find(|order| fits(order)) {
            Some(order) => order.clone(),
            None => rows.iter().copied().chain(depth.iter().map(|(axis, _)| *axis)).collect(),
        };
        // Steps and columns as they lie: where each is in the constant.
        let step_axes = order[rows.len()..].iter().map(|axis| {
            let place = depth.iter().position(|(other, _)| other == axis).unwrap_or(0);
            (steps[place], depth[place].1)
        });
        let step_places = places(&step_axes.collect::<Vec<_>>());
        let column_places = places(&columns.iter().map(|(_, size, stride)| (*size, *stride)).collect::<Vec<_>>());
        let result: Order = order[..rows.len()]
            .iter()
            .map(|axis| to_output[axis])
            .chain(columns.iter().map(|(output, ..)| *output))
            .collect();
        let shape = self.shape(output, &result)?;
        let sizes: TVec<usize> = columns.iter().map(|(_, size, _)| *size).collect();
        if let Some((scale, constant)) = self.both_bytes(input, node.inputs[1 - slot])
            && let Some(weights) =
                constant.weights(step_places.len(), count, |step, column| step_places[step] + column_places[column])?
        {
            let over = Over::Rows(rows.len(), sizes);
            let root = self.byte_root([output, input], &order, over, scale, weights, vec![0.0; count])?;
            self.pend(output, Expression::root(result, shape, root))?;
            return Ok(true);
        }
        let at = self.stored(input, &order)?;
        let mut packed = Vec::with_capacity(step_places.len() * count);
        for step in &step_places {
            packed.extend(column_places.iter().map(|column| weights[step + column]));
        }
        let root = Root {
            outlet: output,
            kind: RootKind::Product { rows: rows.len(), columns: sizes },
            input: at,
            weights: Arc::new(packed),
            columns: count,
            factors: vec![1.0; count],
            summands: vec![0.0; count],
            activation: Activation::NONE,
        };
        self.pend(output, Expression::root(result, shape, root))?;
        Ok(true)
    }
}

impl Rewriter<'_> {
    /// The products of matrices that both come with the request.
    fn batch(&mut self, node: &TypedNode, op: &EinSum) -> TractResult<bool> {
        let output = OutletId::new(node.id, 0);
        let [left, right] = *node.inputs else { return Ok(false) };
        // Of each input, which of its axes is which.
        let (mut batch, mut rows, mut columns, mut depth) = (vec![], vec![], vec![], vec![]);
        for slot in [0, 1] {
            for axis in self.axes(node.inputs[slot])? {
                let letter = op.axes.axis((InOut::In(slot), axis))?;
                let other = letter.inputs[1 - slot].first().copied();
                let other_is_one = other
                    .is_none_or(|other| self.fact(node.inputs[1 - slot]).is_ok_and(|fact| fact.shape[other].is_one()));
                let single = letter.inputs[slot].len() == 1 && letter.inputs[1 - slot].len() <= 1;
                match (&*letter.outputs[0], other.filter(|_| !other_is_one)) {
                    _ if !single => return Ok(false),
                    ([output], Some(other)) => {
                        if slot == 0 {
                            batch.push((axis, other, *output));
                        }
                    }
                    ([], Some(other)) => {
                        if slot == 0 {
                            depth.push((axis, other));
                        }
                    }
                    ([output], None) if slot == 0 => rows.push((axis, *output)),
                    ([output], None) => columns.push((axis, *output)),
                    _ => return Ok(false),
                }
            }
        }
        let ([row], [column], [(left_depth, right_depth)]) = (&*rows, &*columns, &*depth) else { return Ok(false) };
        // Steps lie together on the left, steps or columns on the right.
        let order = |orders: Vec<Order>, last: &[usize], natural: Order| {
            let fits = |order: &&Order| order.last().is_some_and(|axis| last.contains(axis));
            orders.iter().find(fits).cloned().unwrap_or_else(|| {
                let mut order = natural;
                order.retain(|axis| *axis != last[0]);
                order.push(last[0]);
                order
            })
        };
        let left_order = order(self.orders(left)?, &[*left_depth], self.axes(left)?);
        let right_order = order(self.orders(right)?, &[column.0, *right_depth], self.axes(right)?);
        let natural = self.axes(output)?;
        let result: Order = if natural.last() == Some(&column.1) {
            natural
        } else {
            batch.iter().map(|(.., output)| *output).chain([row.1, column.1]).collect()
        };
        let place = |order: &Order, axis: usize| order.iter().position(|other| *other == axis).unwrap_or(0);
        let of_batch = batch.iter().map(|&(left, right, output)| {
            [place(&left_order, left), place(&right_order, right), place(&result, output)]
        });
        let op = BatchProduct {
            batch: of_batch.collect(),
            rows: [place(&left_order, row.0), place(&result, row.1)],
            columns: [place(&right_order, column.0), place(&result, column.1)],
            depth: [place(&left_order, *left_depth), place(&right_order, *right_depth)],
        };
        let inputs = [self.stored(left, &left_order)?, self.stored(right, &right_order)?];
        let at = self.wire(&node.name, Box::new(op), &inputs)?;
        self.put(output, result, at);
        Ok(true)
    }
}

fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// Where the numbers are whose axes have such sizes and strides, the last axis innermost.
fn places(axes: &[(usize, usize)]) -> Vec<usize> {
    axes.iter().fold(vec![0], |places, &(size, stride)| {
        places.iter().flat_map(|place| (0..size).map(move |index| place + index * stride)).collect()
    })
}
