use super::*;
use crate::framework;

fn run(model: &TypedModel, input: &Tensor) -> TVec<TValue> {
    model.clone().into_runnable().expect("plan").run(tvec!(input.clone().into_tvalue())).expect("run")
}

fn round_trip(model: &TypedModel) -> TypedModel {
    let framework = framework();
    let archive = framework.write_to_tar_with_config(model, Vec::new(), false, true).expect("written");
    framework.model_for_read(&mut archive.as_slice()).expect("read").into_decluttered().expect("simplified")
}

#[test]
fn halves_go_to_the_even_number_and_what_is_too_large_stays_within_the_type() {
    let rounded = [0.5_f32, 1.5, 2.5, -0.5, -1.5, f32::INFINITY, -1e30, f32::NAN].map(|x| quantized(x, 1.0, 3, 0, 255));
    assert_eq!(rounded, [3, 5, 5, 3, 1, 255, 0, 3]);
    assert_eq!(quantized(-1e30, 1.0, -5, -128, 127), -128);
}

#[test]
fn a_range_is_the_one_of_the_onnx_documentation() {
    assert_eq!(range(-3.0, 2.0), (5.0 / 255.0, 153));
    assert_eq!(range(-4.0, -1.0), (4.0 / 255.0, 255));
    assert_eq!(range(1.0, 4.0), (4.0 / 255.0, 0));
    assert_eq!(range(0.0, 0.0), (1.0, 0));
}

#[test]
fn what_is_written_is_read_with_the_weights_in_bytes() {
    let mut model = TypedModel::default();
    let input = model.add_source("input", f32::fact([2, 3])).expect("source");
    let mut constant = |name: &str, tensor: Tensor| model.add_const(name, tensor).expect("constant");
    let scale = constant("scale", tensor0(0.1_f32));
    let zero_point = constant("zero_point", tensor0(7_u8));
    let weights = constant("weights", tensor2(&[[1_i8, -2, 3], [-128, 127, 0]]));
    let scales = constant("scales", tensor1(&[0.5_f32, 0.25]));
    let zeros = constant("zeros", tensor1(&[0_i8, 3]));
    let mut node =
        |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| model.wire_node(name, op, inputs).expect("node");
    let bytes = node("q", Box::new(Quantize { axis: None, to: u8::datum_type() }), &[input, scale, zero_point])[0];
    let floats = node("dq", Box::new(Dequantize { axis: None }), &[bytes, scale, zero_point])[0];
    let weights = node("dqw", Box::new(Dequantize { axis: Some(0) }), &[weights, scales, zeros])[0];
    let sum = node("sum", Box::new(tract_nnef::tract_core::ops::math::add()), &[floats, weights])[0];
    let dynamic = node("dynamic", Box::new(DynamicQuantize), &[sum]);
    model.select_output_outlets(&[sum, dynamic[0], dynamic[1], dynamic[2]]).expect("outputs");

    let read = round_trip(&model);
    let input = tensor2(&[[1.0_f32, 2.04, -3.0], [0.05, 100.0, -0.7]]);
    assert_eq!(run(&model, &input), run(&read, &input));
    let kept = read.nodes().iter().any(|node| {
        node.outputs[0]
            .fact
            .konst
            .as_ref()
            .is_some_and(|tensor| tensor.datum_type() == i8::datum_type() && tensor.len() == 6)
    });
    assert!(kept, "the weights are still bytes: {read}");
}
