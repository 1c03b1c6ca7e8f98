//! `--memory-mib`: how large the memory of an instance may grow.

use samara_tests::guests;
use samara_tests::process::peak_resident_bytes;
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, json_request, outputs};
use tempfile::tempdir;

use super::{assert_counted, assert_good, input};

#[test]
fn a_guest_that_grows_without_end_is_stopped_at_the_limit() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "grows", "grows");
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--memory-mib 16").start();
    assert_good(&server);
    let before = peak_resident_bytes(server.process());
    for round in 1..=3 {
        let reply = server.infer("grows", &input(0.0));
        assert_eq!(reply.status, 503, "{:?}", reply.body);
        assert_says(&reply.error(), &["memory", "16 MiB"]);
        assert_counted(&server, "grows", "memory", round);
        assert_good(&server);
    }
    assert_counted(&server, "good", "memory", 0);
    // Once 16 MiB per instance that ever ran at the same time, and some room: nothing near 3 · 16.
    let grown = peak_resident_bytes(server.process()) - before;
    assert!(grown < 40 << 20, "{grown} bytes more than before");
}

#[test]
fn the_limit_is_per_instance_and_not_for_all() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "remembers", "m");
    // Each takes more than 4 MiB.
    let server = Serve::new([path]).option("--memory-mib 6").start();
    let mut client = server.client();
    for _ in 0..10 {
        outputs(&client.send(&json_request("m", &input(0.0))));
    }
}

/// An input that does not fit is the same thing as a guest that asks for too much.
#[test]
fn an_input_that_does_not_fit_meets_the_limit_too() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--memory-mib 2").start();
    let large = [Tensor::fp32("x", &[1 << 20], &vec![0.0; 1 << 20])];
    let reply = server.send(&samara_tests::tensor::binary_request("good", &large));
    assert_eq!(reply.status, 503, "{:?}", reply.body);
    assert_says(&reply.error(), &["memory", "2 MiB"]);
    assert_counted(&server, "good", "memory", 1);
    assert_good(&server);
}
