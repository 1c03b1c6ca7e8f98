//! Each client has the answer that it would have had alone.

use std::path::Path;

use samara_tests::http::{Reply, Request};
use samara_tests::models::{self, card, compiled};
use samara_tests::onnx::{Graph, Named, Size, Type};
use samara_tests::samara::{Run, command};
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, assert_close, binary_request, infer_path, json_body, json_request, outputs};
use serde_json::json;
use tempfile::tempdir;

use super::{batch_sizes, row, send_all, send_in_order, serve, serve_with, x};

const CLIENTS: usize = 16;

/// Sums are made in another order for another number of items.
const CNN: f64 = 2e-5;

fn duo(client: usize) -> [Tensor; 2] {
    let (a, b) = (client as f32, 0.5 + client as f32 / 3.0);
    [Tensor::fp32("a", &[1, 2], &[a, -a]), Tensor::fp32("b", &[1, 2], &[b, 2.0 * b])]
}

/// Half of them send and want JSON, half the binary form.
fn mixed(client: usize, model: &str, inputs: &[Tensor]) -> Request {
    if client.is_multiple_of(2) { json_request(model, inputs) } else { binary_request(model, inputs) }
}

fn assert_same(together: &[Reply], alone: &[Reply], tolerance: f64) {
    for (together, alone) in together.iter().zip(alone) {
        let (together, alone) = (outputs(together), outputs(alone));
        assert_eq!(together.len(), alone.len());
        for (together, alone) in together.iter().zip(&alone) {
            assert_close(together, alone, tolerance);
        }
    }
}

/// All that so many clients send is computed at once, and is what they get when each is computed alone.
fn check(component: &Path, model: &str, tolerance: f64, inputs: impl Fn(usize) -> Vec<Tensor>) {
    let directory = tempdir().unwrap();
    let requests = || (0..CLIENTS).map(|client| mixed(client, model, &inputs(client)));
    let file = format!("[model.{model}]\nmax_batch_size = {CLIENTS}\nmax_batch_delay_ms = 20000\n");
    let server = serve_with(directory.path(), &[component], &file).start();
    let together = send_all(server.address(), requests());
    let statistics = server.statistics(model);
    assert_eq!(batch_sizes(&statistics), [CLIENTS as u64]);
    assert_eq!((&statistics["inference_count"], &statistics["execution_count"]), (&json!(CLIENTS), &json!(1)));
    assert_eq!(statistics["inference_stats"]["success"]["count"], CLIENTS);
    let server = Serve::new([component]).start();
    let alone = send_all(server.address(), requests());
    assert_eq!(server.statistics(model)["execution_count"], CLIENTS);
    assert_eq!(batch_sizes(&server.statistics(model)), [0; 0]);
    assert_same(&together, &alone, tolerance);
}

#[test]
fn every_client_gets_its_own_rows() {
    check(&models::duo(), "duo", 1e-6, |client| duo(client).to_vec());
}

#[test]
fn a_batch_of_pictures_is_what_they_are_one_by_one() {
    let component = compiled("fashion-cnn", &card("fashion-cnn").onnx(), &[]);
    check(&component, "fashion-cnn", CNN, picture);
}

/// The host computes the whole batch at once.
#[test]
fn a_batch_that_the_host_runs_is_what_its_items_are_one_by_one() {
    let directory = tempdir().unwrap();
    let component = directory.path().join("fashion-cnn.wasm");
    let mut compile = command();
    compile.args(["compile", "--target", "nn"]).arg(card("fashion-cnn").onnx()).arg("-o").arg(&component);
    Run::of(&mut compile).succeeds();
    check(&component, "fashion-cnn", CNN, picture);
}

fn picture(client: usize) -> Vec<Tensor> {
    let pixels: Vec<f32> = (0..28 * 28).map(|pixel| ((pixel * (client + 3)) % 97) as f32 / 97.0).collect();
    vec![Tensor::fp32("image", &[1, 1, 28, 28], &pixels)]
}

/// Requests have items of any number, and a batch ends where the next does not fit any more.
#[test]
fn requests_of_several_items_share_a_batch() {
    let (_directory, server) = serve("echoes", "max_batch_size = 6\nmax_batch_delay_ms = 1500");
    let rows: [&[f32]; 4] = [&[1.0, 2.0, 3.0], &[4.0, 5.0], &[6.0, 7.0], &[8.0, 9.0, 10.0, 11.0]];
    let sent = send_in_order(server.address(), rows.map(|rows| json_request("m", &row(rows))));
    for (sent, rows) in sent.into_iter().zip(rows) {
        assert_eq!(outputs(&sent.join().unwrap().0)[0].as_fp32(), rows);
    }
    assert_eq!(batch_sizes(&server.statistics("m")), [5, 6]);
}

/// Adds to each item the sum of all, as no model does that is to run in batches: it tells what it has seen.
#[test]
fn batches_are_filled_up_where_that_is_set() {
    let shape = &[Named("N"), Size(1)];
    let graph = Graph::new().input("x", Type::Float, shape).output("y", Type::Float, shape);
    let graph = graph.node("ReduceSum", &["x"], &["sum"]).node("Add", &["x", "sum"], &["y"]);
    let component = models::compiled_graph("sums", &graph, &[]);
    let directory = tempdir().unwrap();
    let sums = |pad: bool, items: &[f32]| {
        let file = format!("[model.sums]\nmax_batch_size = 4\nmax_batch_delay_ms = 2000\npad_batches = {pad}\n");
        let server = serve_with(directory.path(), &[&component], &file).start();
        let x = |x: &f32| json_request("sums", &[Tensor::fp32("x", &[1, 1], &[*x])]);
        let sent = send_in_order(server.address(), items.iter().map(x));
        let y = sent.into_iter().map(|reply| outputs(&reply.join().unwrap().0)[0].as_fp32()[0]).collect::<Vec<_>>();
        assert_eq!(batch_sizes(&server.statistics("sums")), [items.len() as u64], "only real items count");
        y
    };
    assert_eq!(sums(false, &[1.0, 3.0]), [5.0, 7.0]);
    assert_eq!(sums(true, &[1.0, 3.0]), [1.0 + 10.0, 3.0 + 10.0], "with two more of the last");
    assert_eq!(sums(true, &[3.0]), [3.0 + 12.0], "one alone, too");
    // Who has more than a batch holds runs as it is.
    let file = "[model.sums]\nmax_batch_size = 2\npad_batches = true\n";
    let server = serve_with(directory.path(), &[&component], file).start();
    let request = json_request("sums", &[Tensor::fp32("x", &[3, 1], &[1.0, 2.0, 3.0])]);
    assert_eq!(outputs(&server.send(&request))[0].as_fp32(), [7.0, 8.0, 9.0]);
}

#[test]
fn who_has_more_items_than_a_batch_runs_alone_and_at_once() {
    let (_directory, server) = serve("echoes", "max_batch_size = 4\nmax_batch_delay_ms = 20000");
    let rows = [1.0, 2.0, 3.0, 4.0, 5.0];
    for request in [json_request("m", &row(&rows)), binary_request("m", &row(&rows))] {
        assert_eq!(outputs(&server.send(&request))[0].as_fp32(), rows);
    }
    assert_eq!(batch_sizes(&server.statistics("m")), [5, 5]);
}

/// Those that cannot be stacked are computed one after the other, in the order in which they came.
#[test]
fn other_shapes_and_other_outputs_are_other_batches() {
    let shape = &[Named("N"), Named("M")];
    let graph = Graph::new()
        .input("x", Type::Float, shape)
        .output("y", Type::Float, shape)
        .output("z", Type::Float, shape)
        .node("Add", &["x", "x"], &["y"])
        .node("Neg", &["x"], &["z"]);
    let component = models::compiled_graph("pair", &graph, &[]);
    let directory = tempdir().unwrap();
    let file = "[model.pair]\nmax_batch_size = 7\nmax_batch_delay_ms = 2000\n";
    let server = serve_with(directory.path(), &[&component], file).start();
    let of = |columns: usize, wanted: &[&str]| {
        let data: Vec<f32> = (0..columns).map(|column| column as f32).collect();
        let mut body = json_body(&[Tensor::fp32("x", &[1, columns as u64], &data)]);
        if !wanted.is_empty() {
            body["outputs"] = wanted.iter().map(|name| json!({"name": name})).collect();
        }
        Request::post_json(&infer_path("pair"), &body)
    };
    let requests =
        [of(2, &[]), of(2, &["z", "y"]), of(3, &[]), of(3, &["y", "z"]), of(3, &[]), of(3, &["y"]), of(2, &["y"])];
    let sent = send_in_order(server.address(), requests);
    let replies: Vec<_> = sent.into_iter().map(|reply| outputs(&reply.join().unwrap().0)).collect();
    let names = |reply: &[Tensor]| reply.iter().map(|output| output.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&replies[1]), ["z", "y"]);
    assert_eq!(names(&replies[5]), ["y"]);
    for (reply, columns) in replies.iter().zip([2, 2, 3, 3, 3, 3, 2]) {
        let y = reply.iter().find(|output| output.name == "y").unwrap();
        assert_eq!(y.shape, [1, columns]);
        assert_eq!(y.as_fp32(), (0..columns).map(|column| 2.0 * column as f32).collect::<Vec<_>>());
    }
    assert_eq!(batch_sizes(&server.statistics("pair")), [1, 1, 2, 3]);
}

/// The guest tells what it finds in its memory, and leaves something there.
#[test]
fn every_batch_has_a_fresh_instance() {
    let (_directory, server) = serve("remembers", "max_batch_size = 3\nmax_batch_delay_ms = 20000");
    for _ in 0..3 {
        for reply in send_all(server.address(), [x(1.0), x(1.0), x(1.0)]) {
            assert_eq!(outputs(&reply)[0].as_fp32(), [0.0]);
        }
    }
    assert_eq!(batch_sizes(&server.statistics("m")), [3, 3, 3]);
}
