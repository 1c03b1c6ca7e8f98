use tract_onnx::tract_core::ops::konst::Const;

use super::*;

fn dequantize(zero_point: bool) -> Box<dyn InferenceOp> {
    expand(Linear { quantizes: false, zero_point, axis: 1 })
}

/// Folding what constant bytes stand for makes floats of weights, four times as large, and the engine has no bytes to compute with.
#[test]
fn weights_stay_bytes_and_a_bias_becomes_floats() -> TractResult<()> {
    let mut model = InferenceModel::default();
    let scale = model.add_const("scale", tensor0(0.5_f32))?;
    let weights = model.add_const("weights", tensor2(&[[1_i8, -2], [3, 4], [5, -6]]))?;
    let zero_point = model.add_const("zero_point", tensor0(1_i8))?;
    let weights = model.wire_node("floats", dequantize(true), &[weights, scale, zero_point])?[0];
    let bias = model.add_const("bias", tensor2(&[[10_i32, 20]]))?;
    let bias = model.wire_node("float_bias", dequantize(false), &[bias, scale])?[0];
    model.select_output_outlets(&[weights, bias])?;
    let typed = model.into_typed()?.into_decluttered()?;
    let kept = typed.nodes().iter().filter(|node| node.op_is::<Dequantize>()).count();
    assert_eq!(kept, 1, "{typed}");
    let constants = typed.nodes().iter().filter_map(|node| node.op_as::<Const>());
    let floats = constants.filter(|constant| constant.val().datum_type() == f32::datum_type());
    assert!(floats.map(|constant| constant.val().len()).all(|len| len <= 2), "{typed}");
    Ok(())
}
