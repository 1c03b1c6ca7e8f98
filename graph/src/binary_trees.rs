//! A repair of what tract makes of tree ensembles.

use tract_nnef::internal::*;

/// Has two-class tree ensembles, whose leaves vote for one class only, pick their label from both classes.
///
/// tract 0.23.9 picks the label from the single score, before it has put the other class's beside it, and so always picks
/// the first. It is to look at both.
///
/// # Errors
///
/// tract refuses to add the edge.
pub fn repair_binary_trees(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let Some(prefix) = model.node(id).name.strip_suffix(".binary_result").map(str::to_owned) else { continue };
        let argmax = model.nodes().iter().find(|node| node.name == format!("{prefix}.argmax")).map(|node| node.id);
        if let Some(argmax) = argmax {
            model.add_edge(OutletId::new(id, 0), InletId::new(argmax, 0))?;
        }
    }
    Ok(())
}
