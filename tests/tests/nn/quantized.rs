//! Quantized models, run by the engine, against what ONNX Runtime makes of the same files: bytes that differ by one step at the most.

use std::path::Path;

use samara_tests::npy;
use samara_tests::onnx::{Graph, Size, Type};
use samara_tests::samara::{Run, command};
use samara_tests::tensor::Tensor;
use tempfile::tempdir;

use crate::{compile, ort_dylib};

/// Numbers from -1 to 1, each time the same.
fn numbers(seed: u32, count: i64) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(usize::try_from(count).unwrap()).collect()
}

/// Weights in bytes, from `-half` to `half` about `middle`.
fn bytes(seed: u32, count: i64, half: f32, middle: f32) -> Vec<u8> {
    numbers(seed, count).into_iter().map(|x| (x * half + middle).round() as i32 as u8).collect()
}

fn infer(component: &Path, input: &Path, directory: &Path, options: &[&str]) -> Vec<f32> {
    let output = directory.join("outputs");
    let mut command = command();
    command.arg("infer").arg(component).arg("--input").arg(format!("x={}", input.display()));
    Run::of(command.arg("--output").arg(&output).args(options)).succeeds();
    let tensor = npy::read(&output.join("y.npy"), "y");
    std::fs::remove_dir_all(&output).unwrap();
    assert_eq!(tensor.datatype, "FP32");
    tensor.data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Runs a model on both, whose input `x` has that shape, and expects outputs `y` that differ by `step` at the most.
#[track_caller]
fn check(graph: &Graph, shape: &[i64], step: f32) {
    let Some(library) = ort_dylib() else {
        println!("skipped: ONNX Runtime is not here");
        return;
    };
    let directory = tempdir().unwrap();
    let directory = directory.path();
    let onnx = graph.write(directory, "model.onnx");
    let component = directory.join("engine.wasm");
    Run::of(command().arg("compile").arg(&onnx).arg("-o").arg(&component)).succeeds();
    let on_host = compile(directory, "host", &onnx, &[]);
    let data = numbers(9, shape.iter().product()).iter().flat_map(|x| x.to_le_bytes()).collect();
    let sizes: Vec<u64> = shape.iter().map(|size| u64::try_from(*size).unwrap()).collect();
    let input = directory.join("x.npy");
    npy::write(&input, &Tensor::new("x", "FP32", &sizes, data));
    let got = infer(&component, &input, directory, &[]);
    let library = library.display().to_string();
    let options = ["--nn", "host,backend=onnxruntime,device=cpu", "--ort-dylib", &library];
    let expected = infer(&on_host, &input, directory, &options);
    assert_eq!(got.len(), expected.len());
    assert!(expected.iter().any(|x| *x != expected[0]), "outputs that say something");
    for (got, expected) in got.into_iter().zip(expected) {
        assert!((got - expected).abs() <= step * 1.001, "{got} where ONNX Runtime has {expected}");
    }
}

fn scale(graph: Graph, name: &str, scale: f32, zero_point: u8) -> Graph {
    graph.weights(&format!("{name}_scale"), &[], &[scale]).bytes(
        &format!("{name}_zero"),
        Type::Uint8,
        &[],
        &[zero_point],
    )
}

/// An image of bytes, and weights of seven bits with a scale for each channel.
fn image() -> Graph {
    let graph = Graph::new().input("x", Type::Float, &[Size(1), Size(5), Size(7), Size(11)]);
    let graph = scale(scale(graph, "x", 0.008, 120), "y", 0.03, 90);
    let scales: Vec<f32> = (0_u8..9).map(|channel| 0.004 + 0.001 * f32::from(channel)).collect();
    graph
        .bytes("w", Type::Int8, &[9, 5, 3, 3], &bytes(1, 9 * 5 * 9, 63.0, 0.0))
        .weights("w_scale", &[9], &scales)
        .bytes("w_zero", Type::Int8, &[9], &[0; 9])
        .integers("b", &[9], &[0, 100, -2000, 3000, 5, -7, 1000, -1000, 12])
}

#[test]
fn a_convolution_of_bytes_is_that_of_onnx_runtime() {
    let graph = image()
        .output("y", Type::Float, &[Size(1), Size(9), Size(4), Size(6)])
        .node("QuantizeLinear", &["x", "x_scale", "x_zero"], &["q"])
        .node("QLinearConv", &["q", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "b"], &["c"])
        .attribute("pads", &[1, 1, 1, 1])
        .attribute("strides", &[2, 2])
        .node("DequantizeLinear", &["c", "y_scale", "y_zero"], &["y"]);
    check(&graph, &[1, 5, 7, 11], 0.03);
}

#[test]
fn a_convolution_between_those_that_quantize_is_that_of_onnx_runtime() {
    let graph = image()
        .output("y", Type::Float, &[Size(1), Size(9), Size(7), Size(11)])
        .weights("bias", &[9], &numbers(3, 9))
        .node("QuantizeLinear", &["x", "x_scale", "x_zero"], &["q"])
        .node("DequantizeLinear", &["q", "x_scale", "x_zero"], &["dq"])
        .node("DequantizeLinear", &["w", "w_scale", "w_zero"], &["dw"])
        .attribute_of_one("axis", 0)
        .node("Conv", &["dq", "dw", "bias"], &["c"])
        .attribute("pads", &[1, 1, 1, 1])
        .node("Relu", &["c"], &["r"])
        .node("QuantizeLinear", &["r", "y_scale", "y_zero"], &["qr"])
        .node("DequantizeLinear", &["qr", "y_scale", "y_zero"], &["y"]);
    check(&graph, &[1, 5, 7, 11], 0.03);
}

/// Weights of eight bits with a zero point of their own, which relaxed SIMD's dot product has no room for.
#[test]
fn dense_layers_of_bytes_are_those_of_onnx_runtime() {
    let graph = Graph::new().input("x", Type::Float, &[Size(5), Size(37)]);
    let graph = scale(scale(scale(graph, "x", 0.008, 120), "w", 0.01, 131), "y", 0.05, 100);
    let graph = graph
        .output("y", Type::Float, &[Size(5), Size(19)])
        .bytes("w", Type::Uint8, &[37, 19], &bytes(1, 37 * 19, 124.0, 131.0))
        .integers("b", &[19], &[700; 19])
        .node("QuantizeLinear", &["x", "x_scale", "x_zero"], &["q"]);
    let inputs = ["q", "x_scale", "x_zero", "w", "w_scale", "w_zero"];
    let product = graph.clone().node("QLinearMatMul", &[&inputs[..], &["y_scale", "y_zero"]].concat(), &["p"]).node(
        "DequantizeLinear",
        &["p", "y_scale", "y_zero"],
        &["y"],
    );
    check(&product, &[5, 37], 0.05);
    let gemm = graph
        .node_of("com.microsoft", "QGemm", &[&inputs[..], &["b", "y_scale", "y_zero"]].concat(), &["p"])
        .node("DequantizeLinear", &["p", "y_scale", "y_zero"], &["y"]);
    check(&gemm, &[5, 37], 0.05);
}

#[test]
fn what_is_quantized_by_the_range_of_a_request_is_that_of_onnx_runtime() {
    let graph = Graph::new()
        .input("x", Type::Float, &[Size(1), Size(37)])
        .output("y", Type::Float, &[Size(1), Size(19)])
        .bytes("w", Type::Int8, &[37, 19], &bytes(1, 37 * 19, 63.0, 0.0))
        .bytes("w_zero", Type::Int8, &[], &[0])
        .weights("w_scale", &[], &[0.01])
        .node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"])
        .node("MatMulInteger", &["q", "w", "z", "w_zero"], &["p"])
        .node("Cast", &["p"], &["f"])
        .attribute_of_one("to", 1)
        .node("Mul", &["s", "w_scale"], &["both"])
        .node("Mul", &["f", "both"], &["y"]);
    // A byte of the input that is rounded the other way.
    check(&graph, &[1, 37], 0.01);
}
