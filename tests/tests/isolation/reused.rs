//! One instance for several requests, as `samara bench` has them: where in memory one has put its tensors is no matter to another.

use std::path::Path;

use samara_protocol::{Datatype, InputTensor};
use samara_runtime::{Config, InferError, Instance, Model, Runtime};
use samara_tests::models;
use samara_tests::onnx::{Graph, Named, Size, Type};

fn load(component: &Path) -> Model {
    let mut config = Config::default();
    config.cache_directory = Some(models::code_cache());
    Runtime::new(&config).unwrap().load(component).unwrap()
}

/// Numbers that are told by `seed`.
fn input<'a>(name: &'a str, shape: &[u64], seed: u32) -> InputTensor<'a> {
    let count: u64 = shape.iter().product();
    let number = |index: u32| (index.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 65536.0 - 0.5;
    let data: Vec<u8> = (0..u32::try_from(count).unwrap()).flat_map(|index| number(index).to_le_bytes()).collect();
    InputTensor { name: name.into(), datatype: Datatype::Fp32, shape: shape.to_vec(), data: data.into() }
}

/// What a model gives first.
fn infer(instance: &mut Instance, inputs: &[InputTensor<'_>]) -> Vec<u8> {
    let outputs = instance.infer(inputs, &[]).unwrap();
    outputs[0].data.to_vec()
}

/// Batches of these sizes, one after the other in one instance, give what each gives in an instance of its own.
#[track_caller]
fn assert_alike(component: &Path, name: &str, item: &[u64]) {
    let model = load(component);
    let mut reused = model.instantiate().unwrap();
    for (seed, batch) in [1, 1, 3, 1, 2, 7, 1, 3, 3, 1].into_iter().enumerate() {
        let shape = [&[batch], item].concat();
        let input = [input(name, &shape, u32::try_from(seed).unwrap())];
        let again = infer(&mut reused, &input);
        let fresh = infer(&mut model.instantiate().unwrap(), &input);
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
    assert_alike(&component, &model.metadata().inputs[0].name, &[30]);
}

/// Each item follows the plan, while the outputs of those before it are still there.
#[test]
fn batches_that_are_taken_item_by_item() {
    let shape = |side| [Named("N"), Size(1), Size(side), Size(side)];
    let graph = Graph::new().input("x", Type::Float, &shape(12)).weights("w", &[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let graph = graph.output("y", Type::Float, &shape(11)).node("Conv", &["x", "w"], &["y"]);
    assert_alike(&models::compiled_graph("item-by-item", &graph, &[]), "x", &[1, 12, 12]);
}

/// What a request leaves undone is no part of the next one.
#[test]
fn requests_that_fail_between_others() {
    let graph = Graph::new().input("x", Type::Float, &[Named("N")]).input("y", Type::Float, &[Named("M")]);
    let graph = graph.output("twice", Type::Float, &[Named("N")]).node("Add", &["x", "x"], &["twice"]);
    let graph = graph.output("sum", Type::Float, &[Named("K")]).node("Add", &["twice", "y"], &["sum"]);
    let model = load(&models::compiled_graph("fails-at-times", &graph, &[]));
    let mut reused = model.instantiate().unwrap();
    for (seed, [x, y]) in [[1, 1], [3, 2], [1, 1], [4, 3], [5, 7], [2, 2], [1, 1]].into_iter().enumerate() {
        let seed = u32::try_from(seed).unwrap();
        let inputs = [input("x", &[x], seed), input("y", &[y], seed + 100)];
        if x != y {
            assert!(
                matches!(reused.infer(&inputs, &[]), Err(InferError::Failed(_))),
                "{x} and {y} numbers have no sum"
            );
            continue;
        }
        let again = reused.infer(&inputs, &["sum"]).unwrap();
        let fresh = model.instantiate().unwrap().infer(&inputs, &["sum"]).unwrap();
        assert!(again[0].data == fresh[0].data, "request {seed} gives something else");
    }
}

/// The same where all shapes are known, with an input and a value that are outputs too, one of them twice.
#[test]
fn requests_of_fixed_shapes_that_fail_between_others() {
    let floats = [Size(4)];
    let graph = Graph::new().input("x", Type::Float, &floats).input("at", Type::Int64, &[Size(2)]);
    let graph = graph.output("twice", Type::Float, &floats).node("Add", &["x", "x"], &["twice"]);
    let graph = graph.output("again", Type::Float, &floats).node("Identity", &["twice"], &["again"]);
    let graph = graph.output("same", Type::Float, &floats).node("Identity", &["x"], &["same"]);
    let graph = graph.output("found", Type::Float, &[Size(2)]).node("Gather", &["twice", "at"], &["found"]);
    let model = load(&models::compiled_graph("fails-at-fixed-shapes", &graph, &[]));
    let mut reused = model.instantiate().unwrap();
    for (seed, at) in [[0, 1], [3, 9], [2, 2], [-9, 0], [100, 100], [3, 0]].into_iter().enumerate() {
        let x = input("x", &[4], u32::try_from(seed).unwrap());
        let data: Vec<u8> = at.iter().flat_map(|index: &i64| index.to_le_bytes()).collect();
        let (name, shape, data) = ("at".into(), vec![2], data.into());
        let inputs = [x, InputTensor { name, datatype: Datatype::Int64, shape, data }];
        let answer = reused.infer(&inputs, &[]);
        if at.iter().any(|index| !(0..4).contains(index)) {
            assert!(matches!(answer, Err(InferError::Failed(_))), "nothing is at {at:?}: {answer:?}");
            continue;
        }
        let numbers =
            |data: &[u8]| -> Vec<f32> { data.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect() };
        let x = numbers(&inputs[0].data);
        let twice: Vec<f32> = x.iter().map(|x| x + x).collect();
        let found = at.iter().map(|index| twice[usize::try_from(*index).unwrap()]).collect();
        for (output, expected) in answer.unwrap().iter().zip([twice.clone(), twice, x, found]) {
            assert_eq!(numbers(&output.data), expected, "{} of request {seed}", output.name);
        }
    }
}

#[test]
fn inputs_that_nothing_asks_for() {
    let graph = Graph::new().input("x", Type::Float, &[Named("N")]).input("idle", Type::Float, &[Named("M")]);
    let graph = graph.output("twice", Type::Float, &[Named("N")]).node("Add", &["x", "x"], &["twice"]);
    let model = load(&models::compiled_graph("has-an-idle-input", &graph, &[]));
    let mut reused = model.instantiate().unwrap();
    for (seed, [x, idle]) in
        [[1, 1], [1, 1], [5, 2000], [1, 1], [2000, 5], [3, 1], [1, 3], [1, 1]].into_iter().enumerate()
    {
        let seed = u32::try_from(seed).unwrap();
        let inputs = [input("x", &[x], seed), input("idle", &[idle], seed + 100)];
        let again = infer(&mut reused, &inputs);
        assert!(again == infer(&mut model.instantiate().unwrap(), &inputs), "request {seed} gives something else");
    }
}
