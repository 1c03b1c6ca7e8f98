//! Stopping: what runs is finished, and nothing new begins.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use samara_tests::guests;
use samara_tests::http::{Client, Request};
use samara_tests::raw::Raw;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{self, Tensor, outputs};
use tempfile::{TempDir, tempdir};

/// A server for a model that takes long, and how many million rounds it makes in a second.
fn slow_server() -> (TempDir, Server, f32) {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "takes-long", "slow");
    let server = Serve::new([path]).option("--deadline-ms 60000").start();
    let start = Instant::now();
    outputs(&server.infer("slow", &[Tensor::fp32("x", &[1], &[100.0])]));
    let rounds = 100.0 / start.elapsed().as_secs_f32();
    (directory, server, rounds.round())
}

#[test]
fn what_runs_is_finished_and_answered() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_directory, mut server, rounds) = slow_server();
        let address = server.address();
        let running = thread::spawn(move || {
            let request = tensor::json_request("slow", &[Tensor::fp32("x", &[1], &[2.0 * rounds])]);
            Client::http1(address).send(&request)
        });
        thread::sleep(Duration::from_millis(500));
        server.signal(signal);
        thread::sleep(Duration::from_millis(200));
        assert!(!running.is_finished(), "the request was over too soon for this test to say anything");
        assert!(TcpStream::connect(address).is_err(), "connections are accepted still");
        let reply = running.join().unwrap();
        assert_eq!(outputs(&reply), [Tensor::fp32("y", &[1], &[2.0 * rounds])]);
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn what_waits_for_its_turn_is_answered_too() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "loops", "loops");
    let mut server = Serve::new([path]).option("--workers 1").option("--deadline-ms 1000").start();
    let address = server.address();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                let request = tensor::json_request("loops", &[Tensor::fp32("x", &[1], &[0.0])]);
                Client::http1(address).send(&request).status
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(400));
    server.signal(Signal::TERM);
    for request in waiting {
        let status = request.join().unwrap();
        assert!(matches!(status, 503 | 504), "{status}");
    }
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn idle_connections_do_not_hold_it_up() {
    let directory = tempdir().unwrap();
    let mut server = Serve::new([guests::write(directory.path(), "echoes", "echo")]).start();
    let mut never_used = Raw::connect(server.address());
    let mut clients = [server.client(), Client::http2(server.address())];
    for client in &mut clients {
        assert_eq!(client.send(&Request::get("/v2/health/live")).status, 200);
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    never_used.wait_until_closed();
}

/// A client that never finishes its request is not waited for for ever.
#[test]
fn a_request_that_is_never_finished_does_not_hold_it_up() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "echoes", "echo");
    let mut server = Serve::new([path]).option("--body-timeout-ms 1000").start();
    let mut slow = Raw::connect(server.address());
    slow.write("POST /v2/models/echo/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{");
    thread::sleep(Duration::from_millis(200));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn a_server_that_did_nothing_stops_at_once() {
    let directory = tempdir().unwrap();
    Serve::new([guests::write(directory.path(), "echoes", "echo")]).start().stop();
}
