//! Arithmetic on elements.

use super::*;

impl Rewriter<'_> {
    /// Whether what uses a value comes together again, so that it is best computed together with that.
    pub(super) fn converges(&self, outlet: OutletId) -> TractResult<bool> {
        let mut known = vec![outlet.node];
        for _ in 0..STEPS {
            let mut open: Vec<usize> = vec![];
            for &node in &known {
                if self.source.outputs.iter().any(|output| output.node == node) {
                    return Ok(false);
                }
                let used = self.source.node(node).outputs.iter().flat_map(|output| &output.successors);
                open.extend(used.map(|inlet| inlet.node).filter(|user| !known.contains(user)));
            }
            open.sort_unstable();
            open.dedup();
            if open.is_empty() || open.iter().any(|node| !self.is_arithmetic(*node)) {
                return Ok(false);
            }
            if let [_] = *open {
                return Ok(true);
            }
            // The next is one whose operands are known, or do not come from here.
            let next = open.iter().copied().find(|node| {
                let inputs = &self.source.node(*node).inputs;
                inputs.iter().all(|input| known.contains(&input.node) || self.is_computed(*input))
            });
            let Some(next) = next else { return Ok(false) };
            known.push(next);
        }
        Ok(false)
    }

    fn is_computed(&self, outlet: OutletId) -> bool {
        self.constant(outlet).is_some() || self.values.contains_key(&outlet)
    }

    fn is_arithmetic(&self, node: usize) -> bool {
        let node = self.source.node(node);
        if self.is_quantization(node) {
            return true;
        }
        let known = match (node.op_as::<TypedBinOp>(), node.op_as::<ElementWiseOp>()) {
            (Some(op), _) => binary(op).is_some(),
            (_, Some(op)) => unary(op).is_some(),
            _ => false,
        };
        known && node.outputs[0].fact.datum_type == f32::datum_type()
    }

    /// A value as an expression, in one of the orders that it lies in.
    pub(super) fn expression(&mut self, outlet: OutletId, order: &Order) -> TractResult<Expression> {
        if let Some(pending) = &self.value(outlet).pending
            && pending.order == *order
        {
            return Ok(pending.clone());
        }
        if let Some((at, quantization)) = self.bytes_of_floats(outlet, order)? {
            let read = Read::Bytes(at, quantization);
            return Ok(Expression::leaf(order.clone(), self.shape(outlet, order)?, read));
        }
        let at = self.stored(outlet, order)?;
        Ok(Expression::leaf(order.clone(), self.shape(outlet, order)?, Read::Outlet(at)))
    }

    pub(super) fn unary(&mut self, node: &TypedNode, op: &ElementWiseOp) -> TractResult<bool> {
        let input = node.inputs[0];
        let Some(deeds) = unary(op).filter(|_| op.1.is_none()) else { return Ok(false) };
        if !self.is_f32(input)? || self.constant(input).is_some() {
            return Ok(false);
        }
        let output = OutletId::new(node.id, 0);
        let order = self.orders(input)?.swap_remove(0);
        let mut expression = self.expression(input, &order)?;
        match deeds {
            Deeds::One(operation) => expression.push(output, Deed::Unary(operation, expression.value)),
            Deeds::HardSwish => {
                let gate = Gate { summand: 3.0, low: 0.0, high: 6.0, factor: 1.0 / 6.0, offset: -0.0 };
                expression.push(output, Deed::Gate(expression.value, gate));
            }
        }
        self.pend(output, expression)?;
        Ok(true)
    }

    pub(super) fn binary(&mut self, node: &TypedNode, op: &TypedBinOp) -> TractResult<bool> {
        let Some((operation, reversed)) = binary(op).filter(|_| op.1.is_none()) else { return Ok(false) };
        let output = OutletId::new(node.id, 0);
        let [left, right] = *node.inputs else { return Ok(false) };
        let [left, right] = if reversed { [right, left] } else { [left, right] };
        if !self.is_f32(left)? || !self.is_f32(right)? {
            return Ok(false);
        }
        let all = self.axes(output)?;
        // A product of a row and a column has an order of its own; else it is that of an operand which is as large.
        let mut order = all.clone();
        let mut rooted = false;
        for operand in [left, right] {
            if self.constant(operand).is_none() && self.axes(operand)? == all {
                let has_root = self.value(operand).pending.as_ref().is_some_and(|pending| pending.root.is_some());
                if order == all || has_root && !rooted {
                    order = self.orders(operand)?.swap_remove(0);
                    rooted = has_root;
                }
            }
        }
        if order.is_empty() && (self.constant(left).is_some() && self.constant(right).is_some()) {
            return Ok(false);
        }
        let shape = self.shape(output, &order)?;
        let mut expression = Expression {
            order: order.clone(),
            shape,
            root: None,
            reads: vec![],
            steps: vec![],
            value: Term::Number(0.0),
        };
        let mut terms = vec![];
        for operand in [left, right] {
            let Some(term) = self.term(operand, &mut expression)? else { return Ok(false) };
            terms.push(term);
        }
        if terms.iter().all(|term| matches!(term, Term::Number(_))) {
            return Ok(false);
        }
        expression.push(output, Deed::Binary(operation, terms[0], terms[1]));
        // Only of a tensor as large the result takes a size that is not known before.
        let is_sized = expression.root.is_some()
            || expression.reads.iter().any(|(_, spread)| *spread == Spread::FULL)
            || expression.shape.iter().all(|size| size.to_usize().is_ok());
        if !is_sized {
            return Ok(false);
        }
        let mut trial = expression.clone();
        trial.simplify();
        if trial.steps.len() > STEPS || !trial.steps.is_empty() && trial.program().is_none() {
            return Ok(false);
        }
        self.pend(output, expression)?;
        Ok(true)
    }

    /// What an operand is in an expression. None where it is spread in a way that there is no name for.
    fn term(&mut self, operand: OutletId, expression: &mut Expression) -> TractResult<Option<Term>> {
        let order = expression.order.clone();
        let own = self.axes(operand)?;
        let Some(spread) = spread(&own, &order) else { return Ok(None) };
        // Sizes that do not go together are for tract to refuse.
        let fact = self.fact(operand)?;
        let fits = order
            .iter()
            .zip(&expression.shape)
            .all(|(axis, size)| fact.shape[*axis].is_one() || fact.shape[*axis] == *size);
        if !fits {
            return Ok(None);
        }
        if let Some(tensor) = self.constant(operand) {
            let Some(numbers) = numbers(&tensor) else { return Ok(None) };
            let Some(&first) = numbers.first() else { return Ok(None) };
            if numbers.iter().all(|x| x.to_bits() == first.to_bits()) {
                return Ok(Some(Term::Number(first)));
            }
            if spread == Spread::COLUMNS {
                let read = Read::Numbers(numbers.into());
                return Ok(Some(expression.read(read, spread)));
            }
        }
        if spread == Spread::FULL {
            let other = self.expression(operand, &order)?;
            let Some(term) = expression.merge(&other) else {
                // Two roots: one is computed by itself.
                let at = self.stored(operand, &order)?;
                return Ok(Some(expression.read(Read::Outlet(at), Spread::FULL)));
            };
            return Ok(Some(term));
        }
        let lies: Order = order.iter().copied().filter(|axis| own.contains(axis)).collect();
        let at = self.stored(operand, &lies)?;
        Ok(Some(expression.read(Read::Outlet(at), spread)))
    }
}

/// How a tensor of these axes is spread over a result of the others, which lies in their order. None where it takes more than rows and
/// columns to tell.
fn spread(own: &[usize], order: &[usize]) -> Option<Spread> {
    // Also where there is one number.
    if own.len() == order.len() {
        return Some(Spread::FULL);
    }
    let (last, before) = order.split_last()?;
    let columns = own.contains(last);
    let has = |axis: &usize| own.contains(axis);
    let count = own.len() - usize::from(columns);
    let first = before.iter().take_while(|axis| has(axis)).count();
    let behind = before.iter().rev().take_while(|axis| has(axis)).count();
    let rows = if count == 0 {
        Rows::One
    } else if count > before.len() {
        return None;
    } else if first == before.len() {
        Rows::Each
    } else if first == count {
        Rows::Groups
    } else if behind == count {
        Rows::Again
    } else if first + behind == count {
        Rows::Around(behind)
    } else {
        let ahead = before.iter().take_while(|axis| !has(axis)).count();
        if first > 0 || behind > 0 || !before.get(ahead..ahead + count)?.iter().all(has) {
            return None;
        }
        Rows::Between(before.len() - ahead - count)
    };
    Some(Spread { rows, columns })
}

enum Deeds {
    One(Unary),
    HardSwish,
}

fn unary(op: &ElementWiseOp) -> Option<Deeds> {
    let op = &op.0;
    let operation = if op.is::<nn::Sigmoid>() {
        Unary::Sigmoid
    } else if op.is::<nn::Silu>() {
        Unary::Silu
    } else if op.is::<nn::GeluExact>() {
        Unary::Gelu
    } else if op.is::<math::Tanh>() {
        Unary::Tanh
    } else if op.is::<math::Erf>() {
        Unary::Erf
    } else if op.is::<math::Square>() {
        Unary::Square
    } else if op.downcast_ref::<math::PowConst>().is_some_and(|power| power.exponent == 3.0) {
        Unary::Cube
    } else if op.is::<math::Sqrt>() {
        Unary::Sqrt
    } else if op.is::<math::Rsqrt>() {
        Unary::Rsqrt
    } else if op.is::<math::Recip>() {
        Unary::Recip
    } else if op.is::<math::Neg>() {
        Unary::Neg
    } else if op.is::<nn::HardSwish>() {
        return Some(Deeds::HardSwish);
    } else {
        return None;
    };
    Some(Deeds::One(operation))
}

/// The operation, and whether its operands are to be swapped.
fn binary(op: &TypedBinOp) -> Option<(Binary, bool)> {
    let op = &op.0;
    Some(if op.is::<math::Add>() {
        (Binary::Add, false)
    } else if op.is::<math::Sub>() {
        (Binary::Sub, false)
    } else if op.is::<math::SubF>() {
        (Binary::Sub, true)
    } else if op.is::<math::Mul>() {
        (Binary::Mul, false)
    } else if op.is::<math::Div>() {
        (Binary::Div, false)
    } else if op.is::<math::Min>() {
        (Binary::Min, false)
    } else if op.is::<math::Max>() {
        (Binary::Max, false)
    } else {
        return None;
    })
}
