//! Operators that are one after the other, and better done together.

use samara_operators::chain::{Chain, ROOM};
use samara_operators::depthwise::Depthwise;
use samara_operators::product::Product;
use tract_core::internal::*;

/// Chains the operators of a graph that can be. Those that are in a chain stay behind, unused.
pub fn chain(model: &mut TypedModel) -> TractResult<()> {
    let nodes: Vec<usize> = model.nodes().iter().map(|node| node.id).collect();
    for id in nodes {
        let Some(depthwise) = model.node(id).op_as::<Depthwise>() else { continue };
        if depthwise.bytes.is_some() || depthwise.quantization.is_some() {
            continue;
        }
        let is_between = |id: usize| {
            model.node(id).outputs[0].successors.len() == 1 && !model.outputs.contains(&OutletId::new(id, 0))
        };
        let source = model.node(id).inputs[0].node;
        let before = model.node(source).op_as::<Product>().filter(|_| is_between(source));
        let next = model.node(id).outputs[0].successors.first().filter(|next| is_between(id) && next.slot == 0);
        let after = next.and_then(|next| Some((next.node, model.node(next.node).op_as::<Product>()?)));
        // Its rows are places, and what it sums over are the channels.
        let channels = depthwise.geometry.channels;
        let after = after.filter(|(_, product)| product.weights.depth() == channels);
        let before = before.filter(|product| product.columns[..] == [channels]);
        if before.is_none() && after.is_none() {
            continue;
        }
        let chain = Chain {
            before: before.cloned(),
            depthwise: depthwise.clone(),
            after: after.map(|(_, product)| product.clone()),
            room: ROOM,
        };
        let last = after.map_or(id, |(last, _)| last);
        let parts = before.map(|_| source).into_iter().chain([id]).chain(after.map(|(last, _)| last));
        let mut inputs: TVec<OutletId> = tvec!();
        for part in parts {
            let skipped = usize::from(!inputs.is_empty());
            inputs.extend_from_slice(&model.node(part).inputs[skipped..]);
        }
        // In place: a patch would be much code for the same.
        model.node_mut(last).op = Box::new(chain);
        for (slot, input) in inputs.into_iter().enumerate() {
            model.add_edge(input, InletId::new(last, slot))?;
        }
    }
    Ok(())
}
