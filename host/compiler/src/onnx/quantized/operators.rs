//! The operators that quantize, as those of crate samara-graph.

use samara_graph::quantization::{Dequantize, DynamicQuantize, Quantize};
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

/// Puts these in the place of tract's own.
pub fn register(framework: &mut Onnx) {
    framework.op_register.insert("QuantizeLinear", |_, node| parse(node, true));
    framework.op_register.insert("DequantizeLinear", |_, node| parse(node, false));
    framework.op_register.insert("DynamicQuantizeLinear", dynamic);
}

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

fn parse(node: &NodeProto, quantizes: bool) -> Parsed {
    ensure!(
        node.get_attr_opt::<i64>("block_size")?.unwrap_or(0) == 0,
        "{}: quantization in blocks is not supported",
        node.op_type
    );
    let zero_point = node.input.get(2).is_some_and(|name| !name.is_empty());
    Ok((expand(Linear { quantizes, zero_point, axis: node.get_attr_opt("axis")?.unwrap_or(1) }), vec![]))
}

fn dynamic(_: &ParsingContext<'_>, _: &NodeProto) -> Parsed {
    Ok((expand(Dynamic), vec![]))
}

/// `QuantizeLinear` or `DequantizeLinear`.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Linear {
    quantizes: bool,
    /// Whether there is a zero point.
    zero_point: bool,
    axis: i64,
}

impl Expansion for Linear {
    /// What weights stand for is not computed while shapes are inferred: that would make floats of them. What may be folded
    /// is, by [`Dequantize`] itself, when the graph has types.
    fn runs_out_of_plan(&self) -> bool {
        self.quantizes
    }

    fn name(&self) -> StaticName {
        if self.quantizes { "QuantizeLinear".into() } else { "DequantizeLinear".into() }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, 2 + usize::from(self.zero_point))?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[1].datum_type, f32::datum_type())?;
        let (floats, bytes) = if self.quantizes { (&inputs[0], &outputs[0]) } else { (&outputs[0], &inputs[0]) };
        solver.equals(&floats.datum_type, f32::datum_type())?;
        if self.zero_point {
            solver.equals(&bytes.datum_type, &inputs[2].datum_type)?;
        } else if self.quantizes {
            solver.equals(&bytes.datum_type, u8::datum_type())?;
        }
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, target: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = target.outlet_fact(inputs[0])?.clone();
        let zero_point = match inputs.get(2) {
            Some(zero_point) => *zero_point,
            None => target.add_const(format!("{prefix}.zero_point"), tensor0(0_u8))?,
        };
        let one = |target: &TypedModel, outlet: OutletId| -> TractResult<bool> {
            Ok(target.outlet_fact(outlet)?.shape.volume().is_one())
        };
        let axis = if one(target, inputs[1])? && one(target, zero_point)? {
            None
        } else {
            let rank = fact.rank() as i64;
            let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
            ensure!((0..rank).contains(&axis), "{prefix}: there is no axis {} to quantize along", self.axis);
            Some(axis as usize)
        };
        let op: Box<dyn TypedOp> = if self.quantizes {
            let to = target.outlet_fact(zero_point)?.datum_type;
            ensure!(
                to == u8::datum_type() || to == i8::datum_type(),
                "{prefix}: quantization to {to:?} is not supported, only to U8 and I8"
            );
            Box::new(Quantize { axis, to })
        } else {
            let from = fact.datum_type;
            ensure!(
                [u8::datum_type(), i8::datum_type(), i32::datum_type()].contains(&from),
                "{prefix}: quantization from {from:?} is not supported, only from U8, I8 and I32"
            );
            Box::new(Dequantize { axis })
        };
        let zero_point = target.wire_node(format!("{prefix}.zero"), cast(i32::datum_type()), &[zero_point])?[0];
        target.wire_node(prefix, op, &[inputs[0], inputs[1], zero_point])
    }
}

/// `DynamicQuantizeLinear`.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Dynamic;

impl Expansion for Dynamic {
    fn name(&self) -> StaticName {
        "DynamicQuantizeLinear".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(3)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 3)?;
        solver.equals(&inputs[0].datum_type, f32::datum_type())?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        solver.equals(&outputs[0].datum_type, u8::datum_type())?;
        solver.equals(&outputs[1].datum_type, f32::datum_type())?;
        solver.equals(&outputs[1].rank, 0)?;
        solver.equals(&outputs[2].datum_type, u8::datum_type())?;
        solver.equals(&outputs[2].rank, 0)
    }

    fn wire(&self, prefix: &str, target: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        target.wire_node(prefix, DynamicQuantize, &inputs[..1])
    }
}

#[cfg(test)]
mod tests;
