//! One instance for several requests, as `samara bench` has them: where in memory one has put its tensors is no matter to another.

use std::path::Path;

use samara_protocol::{Datatype, InputTensor};
use samara_runtime::{Config, Instance, Model, Runtime};
use samara_tests::models;
use samara_tests::onnx::{Graph, Named, Size, Type};

fn load(component: &Path) -> Model {
    let mut config = Config::default();
    config.cache_directory = Some(models::code_cache());
    Runtime::new(&config).unwrap().load(component).unwrap()
}

/// What a model of one input gives for numbers that are told by `seed`.
fn infer(instance: &mut Instance, name: &str, shape: &[u64], seed: u32) -> Vec<u8> {
    let count: u64 = shape.iter().product();
    let number = |index: u32| (index.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 65536.0 - 0.5;
    let data: Vec<u8> = (0..u32::try_from(count).unwrap()).flat_map(|index| number(index).to_le_bytes()).collect();
    let input = InputTensor { name: name.into(), datatype: Datatype::Fp32, shape: shape.into(), data: data.into() };
    let outputs = instance.infer(&[input], &[]).unwrap();
    outputs[0].data.to_vec()
}

/// Batches of these sizes, one after the other in one instance, give what each gives in an instance of its own.
#[track_caller]
fn assert_alike(component: &Path, name: &str, item: &[u64]) {
    let model = load(component);
    let mut reused = model.instantiate().unwrap();
    for (seed, batch) in [1, 1, 3, 1, 2, 7, 1, 3, 3, 1].into_iter().enumerate() {
        let shape = [&[batch], item].concat();
        let seed = u32::try_from(seed).unwrap();
        let again = infer(&mut reused, name, &shape, seed);
        let fresh = infer(&mut model.instantiate().unwrap(), name, &shape, seed);
        assert!(again == fresh, "request {seed}, of a batch of {batch}, gives something else");
    }
}

/// The sizes that were not planned take the heap; those that were, their places in the arena.
#[test]
fn batches_of_changing_sizes() {
    let card = models::card("fashion-cnn");
    assert_alike(&models::compiled("fashion-cnn-of-any-batch", &card.onnx(), &[]), "image", &[1, 28, 28]);
    let card = models::card("anomaly-autoencoder");
    let component = models::compiled("autoencoder-of-any-batch", &card.onnx(), &[]);
    let model = load(&component);
    let input = model.metadata().inputs[0].clone();
    assert_alike(&component, &input.name, &[30]);
}

/// Each item follows the plan, while the outputs of those before it are still there.
#[test]
fn batches_that_are_taken_item_by_item() {
    let shape = |side| [Named("N"), Size(1), Size(side), Size(side)];
    let graph = Graph::new().input("x", Type::Float, &shape(12)).weights("w", &[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let graph = graph.output("y", Type::Float, &shape(11)).node("Conv", &["x", "w"], &["y"]);
    assert_alike(&models::compiled_graph("item-by-item", &graph, &[]), "x", &[1, 12, 12]);
}
