//! Quantization as [ONNX](https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html) defines it, as operators.
//!
//! tract has operators for it too, but no NNEF for them, wants every scale to be constant, and folds quantized weights into
//! floats before anything can compute with them.

use tract_nnef::internal::*;
use tract_nnef::ser::{invocation, numeric, string};

/// `saturate(round(x / scale) + zero_point)`, rounded half to even. Its inputs are x, in `f32`, the scale, in `f32`, and the zero
/// point, of any whole numbers; the latter two are one number each, or one for each index of an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quantize {
    /// The axis that scales and zero points go along, where there is more than one.
    pub axis: Option<usize>,
    /// What is made: `u8` or `i8`.
    pub to: DatumType,
}

/// `(x - zero_point) * scale`, in `f32`. Its inputs are x, in `u8`, `i8` or `i32`, the scale and the zero point, as for
/// [`Quantize`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dequantize {
    /// The axis that scales and zero points go along, where there is more than one.
    pub axis: Option<usize>,
}

/// Quantizes numbers to `u8` with the scale and the zero point that their own range asks for: gives all three.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DynamicQuantize;

/// A number quantized: `low` and `high` are the least and the largest there is.
pub fn quantized(x: f32, scale: f32, zero_point: i32, low: i32, high: i32) -> i32 {
    // A float that is too large becomes the largest integer.
    ((x / scale).round_ties_even() as i32).saturating_add(zero_point).clamp(low, high)
}

/// The scale and the zero point for numbers from `low` to `high`.
pub fn range(low: f32, high: f32) -> (f32, u8) {
    let (low, high) = (low.min(0.0), high.max(0.0));
    let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
    (scale, (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8)
}

/// For each number of a tensor, in order, which of the scales is its own.
fn channels(shape: &[usize], axis: Option<usize>) -> (usize, usize) {
    axis.map_or((1, 1), |axis| (shape[axis], shape[axis + 1..].iter().product()))
}

fn parameters(scale: &Tensor, zero_point: &Tensor, count: usize) -> TractResult<(Vec<f32>, Vec<i32>)> {
    let all = |from: &Tensor| -> TractResult<()> {
        ensure!(from.len() == 1 || from.len() == count, "{} parameters for {count} channels", from.len());
        Ok(())
    };
    all(scale)?;
    all(zero_point)?;
    let scales = scale.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
    let zeros = zero_point.cast_to::<i32>()?.try_as_plain_ram()?.as_slice::<i32>()?.to_vec();
    Ok((scales, zeros))
}

fn check_axis(axis: Option<usize>, inputs: &[&TypedFact]) -> TractResult<()> {
    ensure!(inputs.len() == 3, "a tensor, a scale and a zero point, not {} inputs", inputs.len());
    ensure!(axis.is_none_or(|axis| axis < inputs[0].rank()), "no axis {axis:?} of {}", inputs[0].rank());
    Ok(())
}

/// The tensor's axes stay where they are; a scale goes along one of them.
fn mapping(axis: Option<usize>, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
    let mut axes = AxesMapping::disconnected(inputs, outputs)?;
    for index in 0..inputs[0].rank() {
        axes = axes.linking((InOut::In(0), index), (InOut::Out(0), index))?;
    }
    if let Some(axis) = axis {
        for slot in [1, 2].into_iter().filter(|slot| inputs[*slot].rank() == 1) {
            axes = axes.linking((InOut::In(0), axis), (InOut::In(slot), 0))?;
        }
    }
    Ok(axes)
}

fn change(
    axis: Option<usize>,
    change: &AxisOp,
    with_axis: impl Fn(Option<usize>) -> Box<dyn TypedOp>,
) -> Option<AxisChangeConsequence> {
    let moved = match axis {
        None => None,
        Some(axis) => Some(change.transform_axis(axis)?),
    };
    let wire_changes = tvec!((InOut::In(0), change.clone()), (InOut::Out(0), change.clone()));
    Some(AxisChangeConsequence { substitute_op: Some(with_axis(moved)), wire_changes })
}

impl Quantize {
    /// The least and the largest number that can be made.
    pub fn limits(&self) -> (i32, i32) {
        if self.to == i8::datum_type() { (-128, 127) } else { (0, 255) }
    }
}

impl Op for Quantize {
    fn name(&self) -> StaticName {
        "Quantize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Quantize {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, scale, zero_point) = args_3!(inputs);
        let (count, inner) = channels(x.shape(), self.axis);
        let (scales, zeros) = parameters(&scale, &zero_point, count)?;
        let (low, high) = self.limits();
        let numbers = x.try_as_plain_ram()?.as_slice::<f32>()?.iter().enumerate().map(|(index, &x)| {
            let channel = index / inner % count;
            quantized(x, scales[channel % scales.len()], zeros[channel % zeros.len()], low, high)
        });
        let output = if self.to == i8::datum_type() {
            Tensor::from_shape(x.shape(), &numbers.map(|x| x as i8).collect::<Vec<_>>())?
        } else {
            Tensor::from_shape(x.shape(), &numbers.map(|x| x as u8).collect::<Vec<_>>())?
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Quantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        check_axis(self.axis, inputs)?;
        Ok(tvec!(self.to.fact(inputs[0].shape.clone())))
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        mapping(self.axis, inputs, outputs)
    }

    fn change_axes(
        &self,
        _: &TypedModel,
        _: &TypedNode,
        _: InOut,
        op: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        Ok(change(self.axis, op, |axis| Box::new(Quantize { axis, to: self.to })))
    }

    as_op!();
}

impl Dequantize {
    /// What `x` stands for.
    pub fn floats(&self, x: &Tensor, scale: &Tensor, zero_point: &Tensor) -> TractResult<Tensor> {
        let (count, inner) = channels(x.shape(), self.axis);
        let (scales, zeros) = parameters(scale, zero_point, count)?;
        let numbers = x.cast_to::<i32>()?;
        let numbers = numbers.try_as_plain_ram()?.as_slice::<i32>()?.iter().enumerate().map(|(index, &x)| {
            let channel = index / inner % count;
            x.wrapping_sub(zeros[channel % zeros.len()]) as f32 * scales[channel % scales.len()]
        });
        Tensor::from_shape(x.shape(), &numbers.collect::<Vec<_>>())
    }
}

impl Op for Dequantize {
    fn name(&self) -> StaticName {
        "Dequantize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Dequantize {
    /// Weights stay what they are, for the engine to compute with. Not so a bias, or a number alone.
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        if inputs[0].datum_type() != i32::datum_type() && inputs[0].len() > 1 {
            return Ok(None);
        }
        Ok(Some(EvalOp::eval(self, &EvalContext::out_of_plan(), inputs)?))
    }

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, scale, zero_point) = args_3!(inputs);
        Ok(tvec!(self.floats(&x, &scale, &zero_point)?.into_tvalue()))
    }
}

impl TypedOp for Dequantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        check_axis(self.axis, inputs)?;
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        mapping(self.axis, inputs, outputs)
    }

    fn change_axes(
        &self,
        _: &TypedModel,
        _: &TypedNode,
        _: InOut,
        op: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        Ok(change(self.axis, op, |axis| Box::new(Dequantize { axis })))
    }

    as_op!();
}

impl Op for DynamicQuantize {
    fn name(&self) -> StaticName {
        "DynamicQuantize".into()
    }

    op_as_typed_op!();
}

impl EvalOp for DynamicQuantize {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let numbers = x.try_as_plain_ram()?.as_slice::<f32>()?;
        let (low, high) = numbers.iter().fold((0.0_f32, 0.0_f32), |(low, high), x| (low.min(*x), high.max(*x)));
        let (scale, zero_point) = range(low, high);
        let bytes = numbers.iter().map(|x| quantized(*x, scale, zero_point.into(), 0, 255) as u8).collect::<Vec<_>>();
        let output = Tensor::from_shape(x.shape(), &bytes)?;
        Ok(tvec!(output.into_tvalue(), tensor0(scale).into_tvalue(), tensor0(zero_point).into_tvalue()))
    }
}

impl TypedOp for DynamicQuantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let scalar = [0_usize; 0];
        Ok(tvec!(u8::fact(inputs[0].shape.clone()), f32::fact(scalar), u8::fact(scalar)))
    }

    as_op!();
}

// === In NNEF ===

/// Registers the operators.
pub fn register(registry: &mut Registry) {
    let tensor = |name: &str| TypeName::Scalar.tensor().named(name);
    // No axis is -1.
    let axis = || TypeName::Integer.named("axis").default(-1);
    registry.register_dumper(dump_quantize);
    registry.register_dumper(dump_dequantize);
    registry.register_dumper(dump_dynamic);
    registry.register_primitive(
        "samara_quantize",
        &[tensor("input"), tensor("scale"), tensor("zero_point"), axis(), TypeName::String.named("to")],
        &[("output", TypeName::Scalar.tensor())],
        |builder, invocation| {
            let to: String = invocation.named_arg_as(builder, "to")?;
            let op = Quantize { axis: read_axis(builder, invocation)?, to: to.parse()? };
            let inputs = read_inputs(builder, invocation)?;
            builder.wire(op, &inputs)
        },
    );
    registry.register_primitive(
        "samara_dequantize",
        &[tensor("input"), tensor("scale"), tensor("zero_point"), axis()],
        &[("output", TypeName::Scalar.tensor())],
        |builder, invocation| {
            let op = Dequantize { axis: read_axis(builder, invocation)? };
            let inputs = read_inputs(builder, invocation)?;
            builder.wire(op, &inputs)
        },
    );
    registry.register_primitive(
        "samara_dynamic_quantize",
        &[tensor("input")],
        &[
            ("output", TypeName::Scalar.tensor()),
            ("scale", TypeName::Scalar.tensor()),
            ("zero_point", TypeName::Scalar.tensor()),
        ],
        |builder, invocation| {
            let input = invocation.named_arg_as(builder, "input")?;
            builder.wire(DynamicQuantize, &[input])
        },
    );
}

fn read_axis(builder: &mut ModelBuilder<'_>, invocation: &ResolvedInvocation<'_>) -> TractResult<Option<usize>> {
    let axis: i64 = invocation.named_arg_as(builder, "axis")?;
    Ok(usize::try_from(axis).ok())
}

fn read_inputs(builder: &mut ModelBuilder<'_>, invocation: &ResolvedInvocation<'_>) -> TractResult<[OutletId; 3]> {
    let mut input = |name| invocation.named_arg_as(builder, name);
    Ok([input("input")?, input("scale")?, input("zero_point")?])
}

fn positional(ast: &IntoAst<'_>, node: &TypedNode) -> TVec<Arc<RValue>> {
    node.inputs.iter().map(|input| Arc::clone(&ast.mapping[input])).collect()
}

fn written(axis: Option<usize>) -> RValue {
    axis.map_or_else(|| numeric(-1), numeric)
}

fn dump_quantize(ast: &mut IntoAst<'_>, node: &TypedNode, op: &Quantize) -> TractResult<Option<Arc<RValue>>> {
    let named = [("axis", written(op.axis)), ("to", string(format!("{:?}", op.to).to_lowercase()))];
    Ok(Some(invocation("samara_quantize", &positional(ast, node), &named)))
}

fn dump_dequantize(ast: &mut IntoAst<'_>, node: &TypedNode, op: &Dequantize) -> TractResult<Option<Arc<RValue>>> {
    Ok(Some(invocation("samara_dequantize", &positional(ast, node), &[("axis", written(op.axis))])))
}

fn dump_dynamic(ast: &mut IntoAst<'_>, node: &TypedNode, _: &DynamicQuantize) -> TractResult<Option<Arc<RValue>>> {
    Ok(Some(invocation("samara_dynamic_quantize", &positional(ast, node), &[])))
}

#[cfg(test)]
mod tests;
