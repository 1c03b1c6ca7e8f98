//! Operators as tract has them, but for dimensions whose size is not known.
//!
//! tract 0.23.9 computes with such dimensions as symbols, and makes symbols of whatever is cast to `INT64`, though they take long as the
//! elements of a tensor: `Cast` makes none here. Three other operators refuse symbols, or fail on them, for no need.

use std::sync::LazyLock;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::ops::cumsum::CumSum;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::{cast, wire_cast};
use tract_onnx::tract_core::ops::change_axes::to_axis_ops_with_tf_rules;
use tract_onnx::tract_core::ops::math::Mul;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::InferenceBinOp;

/// Puts these in the place of tract's own.
pub fn register(framework: &mut Onnx) {
    framework.op_register.insert("Cast", conversion);
    framework.op_register.insert("Flatten", flatten);
    framework.op_register.insert("Mul", multiplication);
    framework.op_register.insert("CumSum", cumulative_sum);
}

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

type Parser = fn(&ParsingContext<'_>, &NodeProto) -> Parsed;

fn conversion(context: &ParsingContext<'_>, node: &NodeProto) -> Parsed {
    static TRACTS: LazyLock<Option<Parser>> = LazyLock::new(|| Some(*tract_onnx::onnx().op_register.0.get("Cast")?));
    if node.get_attr::<DatumType>("to")? == i64::datum_type() {
        return Ok((expand(ToInteger), vec![]));
    }
    TRACTS.context("tract has no Cast")?(context, node)
}

fn flatten(_: &ParsingContext<'_>, node: &NodeProto) -> Parsed {
    Ok((expand(Flatten { axis: node.get_attr_opt("axis")?.unwrap_or(1) }), vec![]))
}

fn multiplication(_: &ParsingContext<'_>, _: &NodeProto) -> Parsed {
    Ok((expand(Multiplication(InferenceBinOp(Box::new(Mul)))), vec![]))
}

fn cumulative_sum(_: &ParsingContext<'_>, node: &NodeProto) -> Parsed {
    let is = |name| node.get_attr_opt::<i64>(name).map(|value| value == Some(1));
    Ok((expand(CumulativeSum(CumSum { reverse: is("reverse")?, exclusive: is("exclusive")? })), vec![]))
}

/// `Cast` to `INT64`: symbols stay what they are, and nothing else becomes one.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct ToInteger;

impl ToInteger {
    fn result(of: DatumType) -> DatumType {
        if of == TDim::datum_type() { of } else { i64::datum_type() }
    }
}

impl Expansion for ToInteger {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].shape, &inputs[0].shape)?;
        solver.given(&inputs[0].datum_type, move |solver, datum_type| {
            solver.equals(&outputs[0].datum_type, ToInteger::result(datum_type))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let result = ToInteger::result(model.outlet_fact(inputs[0])?.datum_type);
        model.wire_node(prefix, cast(result), &inputs[..1])
    }
}

/// `Flatten`, of any number of dynamic dimensions: tract's takes one.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Flatten {
    axis: i64,
}

impl Flatten {
    fn shape(&self, shape: &[TDim]) -> TractResult<[TDim; 2]> {
        let rank = i64::try_from(shape.len())?;
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        ensure!((0..=rank).contains(&axis), "axis {} of a tensor with {rank} dimensions", self.axis);
        let (before, after) = shape.split_at(usize::try_from(axis)?);
        Ok([before.iter().product(), after.iter().product()])
    }
}

impl Expansion for Flatten {
    fn name(&self) -> StaticName {
        "Flatten".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            solver.equals(&outputs[0].shape, ShapeFactoid::from(self.shape(&shape)?.to_vec()))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let mut wire: TVec<OutletId> = inputs.into();
        for (index, op) in to_axis_ops_with_tf_rules(&shape, &self.shape(&shape)?)?.into_iter().enumerate() {
            wire = model.wire_node(format!("{prefix}.{index}"), op, &wire)?;
        }
        Ok(wire)
    }
}

/// `Mul`, also of numbers that are not known by a dynamic dimension: tract's takes that for a number when it simplifies.
#[derive(Debug, Clone)]
struct Multiplication(InferenceBinOp);

impl Expansion for Multiplication {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn validation(&self) -> Validation {
        self.0.validation()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let facts: Vec<&TypedFact> =
            inputs.iter().map(|input| model.outlet_fact(*input)).collect::<TractResult<_>>()?;
        let symbolic = facts.iter().any(|fact| fact.konst.is_some() && fact.datum_type == TDim::datum_type());
        if !symbolic || facts.iter().all(|fact| fact.konst.is_some()) {
            return self.0.wire(prefix, model, inputs);
        }
        let numbers = wire_cast(format!("{prefix}.operands"), model, inputs, i64::datum_type())?;
        let product = self.0.wire(&format!("{prefix}.product"), model, &numbers)?;
        wire_cast(prefix, model, &product, TDim::datum_type())
    }
}

/// `CumSum`, also of integers that tract holds for dimensions.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct CumulativeSum(CumSum);

impl Expansion for CumulativeSum {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(inputs[0])?.datum_type != TDim::datum_type() {
            return self.0.wire(prefix, model, inputs);
        }
        let mut numbers = wire_cast(format!("{prefix}.operand"), model, &inputs[..1], i64::datum_type())?;
        numbers.push(inputs[1]);
        let sum = self.0.wire(&format!("{prefix}.sum"), model, &numbers)?;
        wire_cast(prefix, model, &sum, TDim::datum_type())
    }
}
