//! Batches of any size, at full speed.
//!
//! tract chooses its fast convolutions by the whole shape of their input. While the batch's size is open it falls back to
//! slow ones: EfficientNet-Lite0 takes four times as long. Where the items of a batch have nothing to do with each other,
//! the graph is compiled for one of them, and the engine runs it once for each.

use std::collections::HashMap;

use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, MaxPool, SumPool};
use tract_onnx::tract_hir::internal::*;

/// The graph for one item of a batch, if the graph is better off that way and its items are independent.
pub fn single_item(model: &TypedModel) -> TractResult<Option<TypedModel>> {
    let Some(batch) = batch_symbol(model)? else { return Ok(None) };
    if !has_spatial_operators(model) || !items_are_independent(model)? {
        return Ok(None);
    }
    let mut single = model.set_symbols(&HashMap::from([(batch, TDim::from(1))]))?;
    samara_graph::simplify(&mut single)?;
    Ok(Some(single))
}

/// The symbol that is the first dimension of every input and output, and occurs in no other.
fn batch_symbol(model: &TypedModel) -> TractResult<Option<Symbol>> {
    let mut batch: Option<Symbol> = None;
    for &outlet in model.inputs.iter().chain(&model.outputs) {
        let shape = &model.outlet_fact(outlet)?.shape;
        let Some(TDim::Sym(symbol)) = shape.first() else { return Ok(None) };
        if batch.get_or_insert_with(|| symbol.clone()) != symbol
            || shape.iter().skip(1).any(|dimension| dimension.symbols().contains(symbol))
        {
            return Ok(None);
        }
    }
    Ok(batch)
}

fn has_spatial_operators(model: &TypedModel) -> bool {
    model.nodes().iter().any(|node| {
        node.op_is::<Conv>() || node.op_is::<Deconv>() || node.op_is::<MaxPool>() || node.op_is::<SumPool>()
    })
}

/// Whether the first dimension goes from every input to every output untouched: no operator mixes what has different
/// positions along it.
fn items_are_independent(model: &TypedModel) -> TractResult<bool> {
    let axes = model.axes_mapping()?;
    for input in 0..model.inputs.len() {
        for output in 0..model.outputs.len() {
            if axes.track_axis((InOut::In(input), 0), InOut::Out(output))? != Some(0) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
