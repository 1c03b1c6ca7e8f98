//! What tract does to a graph before it is run, but for a pass that changes what some graphs compute.

use tract_nnef::internal::*;
use tract_nnef::tract_core::optim::Optimizer;

/// The pass that is left out.
///
/// tract 0.23.9 cuts an operator in two where a condition on places, such as that of a causal mask, is true for the first of them and
/// false for the others. It puts the halves together as if they were as large as the whole, also where each has one element that is
/// broadcast; and where the condition compares two axes, it cuts one at a place of the other, which is no number. Masks of decoders
/// (`Range`, compared with itself, in a conjunction) have two rows then.
const CUT: &str = "FoldUniformMask";

/// Simplifies a graph.
///
/// # Errors
///
/// tract finds something in the graph that cannot be.
pub fn simplify(model: &mut TypedModel) -> TractResult<()> {
    optimizer().optimize(model)
}

/// Simplifies a graph, and takes the operators that run it fastest.
///
/// # Errors
///
/// tract finds something in the graph that cannot be.
pub fn optimize(model: &mut TypedModel) -> TractResult<()> {
    simplify(model)?;
    model.optimize()
}

fn optimizer() -> Optimizer {
    let mut optimizer = Optimizer::declutter();
    // Passes are known by nothing but how they are shown.
    optimizer.passes.retain(|pass| !format!("{pass:?}").starts_with(CUT));
    optimizer
}

#[cfg(test)]
mod tests {
    use tract_nnef::tract_core::ops::array::Range;
    use tract_nnef::tract_core::ops::binary::TypedBinOp;
    use tract_nnef::tract_core::ops::cast::cast;
    use tract_nnef::tract_core::ops::logic::{And, comp_lte};
    use tract_nnef::tract_core::ops::math;

    use super::*;

    #[test]
    fn one_pass_is_left_out() {
        assert_eq!(optimizer().passes.len() + 1, Optimizer::declutter().passes.len());
    }

    /// As decoders have it: a place may see those before it, and itself.
    #[test]
    fn a_causal_mask_stays() {
        let mut model = TypedModel::default();
        let places = model.symbols.sym("places").to_dim();
        let x = model.add_source("x", f32::fact([places.clone()])).expect("source");
        let [first, last, step] = [("first", 0.to_dim()), ("last", places.clone()), ("step", 1.to_dim())]
            .map(|(name, value)| model.add_const(name, tensor0(value)).expect("constant"));
        let truth = model.add_const("truth", tensor2(&[[true]])).expect("constant");
        let mut wire = |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
            model.wire_node(name, op, inputs).expect("wired")[0]
        };
        let place = wire("place", Box::new(Range::new(places)), &[first, last, step]);
        let row = wire("row", Box::new(AxisOp::Add(0)), &[place]);
        let column = wire("column", Box::new(AxisOp::Add(1)), &[place]);
        let before = wire("before", Box::new(TypedBinOp(comp_lte(), None)), &[row, column]);
        let mask = wire("mask", Box::new(TypedBinOp(Box::new(And), None)), &[truth, before]);
        let number = wire("number", Box::new(cast(f32::datum_type())), &[mask]);
        let x = wire("x.row", Box::new(AxisOp::Add(0)), &[x]);
        let y = wire("y", Box::new(math::mul()), &[x, number]);
        model.select_output_outlets(&[y]).expect("outputs");
        simplify(&mut model).expect("simplified");
        let x = tensor1(&[1_f32, 2.0, 3.0]).into_tvalue();
        let y = model.into_runnable().expect("plan").run(tvec!(x)).expect("run");
        let expected = tensor2(&[[1_f32, 0.0, 0.0], [1.0, 2.0, 0.0], [1.0, 2.0, 3.0]]);
        assert_eq!(*y[0], expected);
    }
}
