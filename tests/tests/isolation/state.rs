//! State: every request finds an instance as it was compiled.

use std::thread;

use samara_tests::guests;
use samara_tests::http::Client;
use samara_tests::models;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, json_request, outputs};
use tempfile::tempdir;

/// Globals, memory, and memory that was added: a 1 in any of them is what another request left.
#[test]
fn nothing_is_left_for_the_next_request() {
    let directory = tempdir().unwrap();
    let server = Serve::new([guests::write(directory.path(), "remembers", "memory")]).start();
    let address = server.address();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::http1(address);
                for _ in 0..100 {
                    let reply = client.send(&json_request("memory", &[Tensor::fp32("x", &[1], &[0.0])]));
                    assert_eq!(outputs(&reply), [Tensor::fp32("y", &[3], &[0.0; 3])]);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

/// Nor after a request that failed half-way.
#[test]
fn nothing_is_left_of_a_request_that_failed() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "grows", "grows");
    guests::write(directory.path(), "remembers", "memory");
    let server = Serve::new([directory.path()]).option("--memory-mib 16").option("--instances 2").start();
    let input = [Tensor::fp32("x", &[1], &[0.0])];
    for _ in 0..20 {
        assert_eq!(server.infer("grows", &input).status, 503);
        assert_eq!(outputs(&server.infer("memory", &input)), [Tensor::fp32("y", &[3], &[0.0; 3])]);
    }
}

/// The same inputs give the same bytes, whatever ran before.
#[test]
fn an_answer_depends_on_nothing_but_its_request() {
    let card = models::card("fashion-cnn");
    let server = Serve::new([card.compiled()]).start();
    let mut client = server.client();
    let inputs = card.vectors[0].inputs();
    let first = client.send(&json_request("fashion-cnn", &inputs)).expect(200);
    for round in 0..20_u8 {
        let other = Tensor::fp32("image", &[1, 1, 28, 28], &[f32::from(round); 784]);
        outputs(&client.send(&json_request("fashion-cnn", &[other])));
        assert_eq!(client.send(&json_request("fashion-cnn", &inputs)).body, first.body);
    }
}
