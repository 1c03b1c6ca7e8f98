//! Dimensions of any size, served at several.

use samara_tests::models;
use samara_tests::onnx::{Graph, Named, Size, Type, Unknown};
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, binary_request, json_request, outputs};
use serde_json::json;

use super::duo;

#[test]
fn a_batch_of_any_size() {
    let server = duo();
    for rows in [1, 2, 7, 64, 1000, 3, 1] {
        let count = 2 * rows as usize;
        let a: Vec<f32> = (0..count).map(|index| index as f32).collect();
        let b = vec![0.5; count];
        let sum: Vec<f32> = a.iter().map(|a| a + 0.5).collect();
        let input = [Tensor::fp32("a", &[rows, 2], &a), Tensor::fp32("b", &[rows, 2], &b)];
        for request in [json_request("duo", &input), binary_request("duo", &input)] {
            assert_eq!(outputs(&server.send(&request))[0], Tensor::fp32("sum", &[rows, 2], &sum));
        }
    }
}

/// Dimensions of one name have one size, and the model says so if they have not.
#[test]
fn sizes_that_do_not_go_together_are_refused() {
    let server = duo();
    let input = [Tensor::fp32("a", &[2, 2], &[1.0; 4]), Tensor::fp32("b", &[3, 2], &[1.0; 6])];
    let reply = server.send(&json_request("duo", &input));
    assert_eq!(reply.status, 400, "{:?}", reply.body);
    reply.error();
}

#[test]
fn every_dimension_may_be_dynamic() {
    let shape = &[Named("N"), Named("C"), Unknown];
    let graph =
        Graph::new().input("x", Type::Float, shape).output("y", Type::Float, shape).node("Relu", &["x"], &["y"]);
    let server = Serve::new([models::compiled_graph("relu", &graph, &[])]).start();
    assert_eq!(server.get("/v2/models/relu").json()["inputs"][0]["shape"], json!([-1, -1, -1]));
    for shape in [[1, 1, 1], [2, 3, 4], [5, 1, 7]] {
        let count: u64 = shape.iter().product();
        let x: Vec<f32> = (0..count).map(|index| index as f32 - 3.0).collect();
        let y: Vec<f32> = x.iter().map(|x| x.max(0.0)).collect();
        let reply = server.infer("relu", &[Tensor::fp32("x", &shape, &x)]);
        assert_eq!(outputs(&reply), [Tensor::fp32("y", &shape, &y)]);
    }
    let reply = server.infer("relu", &[Tensor::fp32("x", &[2, 3], &[0.0; 6])]).expect(400);
    assert_says(&reply.error(), &["`x`", "[-1,-1,-1]", "[2,3]"]);
}

/// A dimension that was fixed when the model was compiled is fixed.
#[test]
fn a_fixed_dimension_takes_one_size() {
    let graph = samara_tests::onnx::twice();
    let server = Serve::new([models::compiled_graph("twice", &graph, &["--input", "x=5"])]).start();
    let reply = server.infer("twice", &[Tensor::fp32("x", &[5], &[1.0; 5])]);
    assert_eq!(outputs(&reply), [Tensor::fp32("y", &[5], &[2.0; 5])]);
    let reply = server.infer("twice", &[Tensor::fp32("x", &[4], &[1.0; 4])]).expect(400);
    assert_says(&reply.error(), &["`x`", "[5]", "[4]"]);
}

#[test]
fn a_scalar_has_a_shape_of_no_dimensions() {
    let graph = Graph::new()
        .input("x", Type::Float, &[])
        .input("v", Type::Float, &[Size(2)])
        .output("y", Type::Float, &[Size(2)])
        .node("Mul", &["x", "v"], &["y"]);
    let server = Serve::new([models::compiled_graph("scale", &graph, &[])]).start();
    let input = [Tensor::fp32("x", &[], &[3.0]), Tensor::fp32("v", &[2], &[1.0, -2.0])];
    for request in [json_request("scale", &input), binary_request("scale", &input)] {
        assert_eq!(outputs(&server.send(&request)), [Tensor::fp32("y", &[2], &[3.0, -6.0])]);
    }
}
