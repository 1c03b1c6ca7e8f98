//! Attention: a softmax between two products of matrices, which is better done together with them.

use samara_kernels::program::Spread;
use samara_operators::attention::Attention;
use samara_operators::batch::BatchProduct;
use samara_operators::fused::Fused;
use samara_operators::lines::Softmax;
use samara_operators::map::Map;
use tract_core::internal::*;

/// Puts together what attention is made of. What is in it stays behind, unused.
pub fn attention(model: &mut TypedModel) -> TractResult<()> {
    let nodes: Vec<usize> = model.nodes().iter().map(|node| node.id).collect();
    for id in nodes {
        let Some((last, attention, inputs)) = at(model, id) else { continue };
        // In place: a patch would be much code for the same.
        model.node_mut(last).op = Box::new(attention);
        for (slot, input) in inputs.into_iter().enumerate() {
            model.add_edge(input, InletId::new(last, slot))?;
        }
    }
    Ok(())
}

/// The attention that a node is the softmax of, its last node, and what it takes.
fn at(model: &TypedModel, softmax: usize) -> Option<(usize, Attention, Vec<OutletId>)> {
    let node = model.node(softmax);
    let softmax = node.op_as::<Softmax>()?;
    let is_between =
        |node: &TypedNode| node.outputs[0].successors.len() == 1 && !model.outputs.contains(&OutletId::new(node.id, 0));
    let mut before = model.node(node.inputs[0].node);
    let mut fused = None;
    let mut others = &[][..];
    if let Some(map) = before.op_as::<Map>().filter(|_| is_between(before)) {
        let is_plain = map.quantization.is_none() && map.bytes.iter().all(Option::is_none);
        let (own, spreads) = map.spreads.split_first()?;
        if !is_plain || *own != Spread::FULL || spreads.iter().any(|spread| spread.is_by_shape()) {
            return None;
        }
        fused = Some(Fused { program: map.program.clone(), spreads: spreads.to_vec() });
        others = &before.inputs[1..];
        before = model.node(before.inputs[0].node);
    }
    let scores = before.op_as::<BatchProduct>()?;
    let next = node.outputs[0].successors.first()?;
    let after = model.node(next.node);
    let values = after.op_as::<BatchProduct>()?;
    // The scores' rows and columns are last, and are the second product's rows and steps.
    let rank = scores.batch.len() + 2;
    let [row, column] = [rank - 2, rank - 1];
    let fits = [scores.rows[1], values.rows[0]] == [row; 2] && [scores.columns[1], values.depth[0]] == [column; 2];
    if !is_between(before) || !is_between(node) || next.slot != 0 || !fits || values.batch.len() + 2 != rank {
        return None;
    }
    let inputs = before.inputs.iter().chain(others).chain(&after.inputs[1..]).copied().collect();
    Some((
        after.id,
        Attention { scores: scores.clone(), fused, softmax: softmax.clone(), values: values.clone() },
        inputs,
    ))
}
