//! `--instances`, `--workers` and `--queue`: how much runs, and how much waits. More is refused at once.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::{Client, Reply};
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::json_request;
use tempfile::tempdir;

use super::{assert_good, input};

const DEADLINE: Duration = Duration::from_secs(3);

fn run_loop(address: SocketAddr) -> JoinHandle<Reply> {
    let running = thread::spawn(move || Client::http1(address).send(&json_request("bad", &input(0.0))));
    thread::sleep(Duration::from_millis(300));
    running
}

#[track_caller]
fn assert_refused_at_once(address: SocketAddr, what: &str) {
    let start = Instant::now();
    let reply = Client::http1(address).send(&json_request("bad", &input(0.0)));
    assert!(start.elapsed() < DEADLINE / 2, "it waited for {:?}", start.elapsed());
    assert_eq!(reply.status, 503, "{:?}", reply.body);
    assert_says(&reply.error(), &[what]);
    let retry_after = reply.header("retry-after").expect("a header retry-after");
    assert!(retry_after.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{retry_after}");
}

#[test]
fn a_full_queue_refuses_at_once() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "loops", "bad");
    guests::write(directory.path(), "echoes", "good");
    let server =
        Serve::new([directory.path()]).option("--workers 1").option("--queue 1").option("--deadline-ms 3000").start();
    let running = run_loop(server.address());
    let waiting = run_loop(server.address());
    assert_refused_at_once(server.address(), "waiting");
    assert_refused_at_once(server.address(), "waiting");
    let counters = server.limits("bad");
    assert_eq!(counters["queue"], 2, "{counters}");
    assert_eq!(counters["instances"], 0, "{counters}");

    assert_eq!(running.join().unwrap().status, 504);
    assert_eq!(waiting.join().unwrap().status, 504);
    // The queue is empty again.
    assert_good(&server);
    assert_eq!(server.limits("good")["queue"], 0);
}

#[test]
fn no_more_instances_than_may_be_exist() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "loops", "bad");
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()])
        .option("--workers 2")
        .option("--instances 1")
        .option("--deadline-ms 3000")
        .start();
    let running = run_loop(server.address());
    assert_refused_at_once(server.address(), "instance");
    let counters = server.limits("bad");
    assert_eq!(counters["instances"], 1, "{counters}");
    assert_eq!(counters["queue"], 0, "{counters}");
    assert_eq!(running.join().unwrap().status, 504);
}

/// An instance is reset after its reply has been sent; the next request must not suffer from that.
#[test]
fn one_instance_is_enough_for_one_client() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "remembers", "m");
    let server = Serve::new([path]).option("--workers 2").option("--instances 1").start();
    let mut client = server.client();
    for round in 0..500 {
        let reply = client.send(&json_request("m", &input(0.0)));
        assert_eq!(reply.status, 200, "request {round}: {:?}", reply.body);
    }
}

/// A burst that finds room in the queue is served, every request of it.
#[test]
fn a_burst_that_fits_is_served() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "takes-long", "slow");
    let server =
        Serve::new([directory.path()]).option("--workers 1").option("--queue 64").option("--deadline-ms 60000").start();
    let address = server.address();
    let burst: Vec<_> = (0..16)
        .map(|_| thread::spawn(move || Client::http1(address).send(&json_request("slow", &input(20.0))).status))
        .collect();
    for request in burst {
        assert_eq!(request.join().unwrap(), 200);
    }
    assert_eq!(server.limits("slow")["queue"], 0);
}
