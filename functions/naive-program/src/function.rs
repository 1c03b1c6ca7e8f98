//! The function: parse the model, optimise it for the shapes that came, run it.

use anyhow::{Context, Result};
use tract_onnx::prelude::*;

use crate::message;

/// The reply to a request, and how many bytes of it are JSON.
pub fn answer(model: &[u8], request: &[u8], header: usize) -> Result<(Vec<u8>, usize)> {
    let inputs = message::read(request, header)?;
    let mut model = tract_onnx::onnx().with_ignore_value_info(true).model_for_read(&mut &model[..])?;
    let names: Vec<String> = model.input_outlets()?.iter().map(|input| model.node(input.node).name.clone()).collect();
    let mut values = tvec![];
    for (index, name) in names.iter().enumerate() {
        let found = inputs.iter().find(|(given, _)| given == name);
        let (_, value) = found.with_context(|| format!("input {name} is missing"))?;
        model.set_input_fact(index, InferenceFact::dt_shape(value.datum_type(), value.shape()))?;
        values.push(value.clone().into_tvalue());
    }
    let outputs: Vec<String> = model.output_outlets()?.iter().map(|&output| name_of(&model, output)).collect();
    let results = model.into_optimized()?.into_runnable()?.run(values)?;
    message::write(outputs.into_iter().zip(results.iter().map(|value| &**value)))
}

/// What the ONNX file calls an output.
fn name_of(model: &InferenceModel, output: OutletId) -> String {
    model.outlet_label(output).map_or_else(|| model.node(output.node).name.clone(), str::to_owned)
}
