//! `--deadline-ms`: how long an inference may take.

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::{Client, Request};
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, json_request, outputs};
use tempfile::tempdir;

use super::{assert_counted, assert_good, input};

const DEADLINE: Duration = Duration::from_millis(1500);

#[test]
fn a_guest_that_never_returns_is_stopped_within_twice_its_deadline() {
    for fixture in ["loops", "loops-afterwards"] {
        let directory = tempdir().unwrap();
        guests::write(directory.path(), fixture, "bad");
        guests::write(directory.path(), "echoes", "good");
        let server = Serve::new([directory.path()]).option("--deadline-ms 1500").start();
        let start = Instant::now();
        let reply = server.infer("bad", &input(0.0));
        let taken = start.elapsed();
        assert_eq!(reply.status, 504, "{fixture}: {:?}", reply.body);
        assert_says(&reply.error(), &["deadline", "1500 ms"]);
        assert!(taken >= DEADLINE && taken < 2 * DEADLINE, "{fixture}: {taken:?}");
        assert_counted(&server, "bad", "deadline", 1);
        assert_good(&server);
        server.stop();
    }
}

/// A component with a manifest is not run before its first request.
#[test]
fn a_guest_that_never_starts_is_stopped_too() {
    let directory = tempdir().unwrap();
    guests::write_with_manifest(directory.path(), "loops-at-start", "bad");
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--deadline-ms 1500").start();
    let start = Instant::now();
    let reply = server.infer("bad", &input(0.0));
    let taken = start.elapsed();
    assert_eq!(reply.status, 504, "{:?}", reply.body);
    assert!(taken < 2 * DEADLINE, "{taken:?}");
    assert_counted(&server, "bad", "deadline", 1);
    assert_good(&server);
}

/// The clock that watches deadlines sleeps when nothing runs, and must wake up again.
#[test]
fn a_deadline_holds_after_a_time_without_requests() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "loops", "bad");
    let server = Serve::new([directory.path()]).option("--deadline-ms 1500").start();
    for round in 1..=2 {
        thread::sleep(Duration::from_secs(2));
        let start = Instant::now();
        assert_eq!(server.infer("bad", &input(0.0)).status, 504);
        let taken = start.elapsed();
        assert!(taken < 2 * DEADLINE, "{taken:?}");
        assert_counted(&server, "bad", "deadline", round);
    }
}

#[test]
fn what_takes_long_but_not_too_long_is_answered() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "takes-long", "slow");
    let server = Serve::new([directory.path()]).option("--deadline-ms 60000").start();
    let reply = server.infer("slow", &input(300.0));
    assert_eq!(outputs(&reply), [Tensor::fp32("y", &[1], &[300.0])]);
    assert_counted(&server, "slow", "deadline", 0);
}

/// One that loops takes a thread, but neither the other nor those that read and write.
#[test]
fn others_are_served_meanwhile() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "loops", "bad");
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--deadline-ms 4000").option("--workers 2").start();
    let address = server.address();
    let looping = thread::spawn(move || Client::http1(address).send(&json_request("bad", &input(0.0))).status);
    thread::sleep(Duration::from_millis(300));
    let mut client = server.client();
    for _ in 0..100 {
        let reply = client.send(&json_request("good", &input(3.0)));
        assert_eq!(outputs(&reply), [Tensor::fp32("y", &[1], &[3.0])]);
    }
    assert!(!looping.is_finished(), "the others had to wait");
    assert_eq!(looping.join().unwrap(), 504);
}

#[test]
fn questions_are_answered_while_every_thread_is_busy() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "loops", "bad");
    let server = Serve::new([directory.path()]).option("--deadline-ms 4000").option("--workers 1").start();
    let address = server.address();
    let looping = thread::spawn(move || Client::http1(address).send(&json_request("bad", &input(0.0))).status);
    thread::sleep(Duration::from_millis(300));
    for path in ["/v2/health/live", "/v2/health/ready", "/v2", "/v2/models/bad", "/v2/models/bad/stats"] {
        assert_eq!(server.send(&Request::get(path)).status, 200, "{path}");
    }
    assert!(!looping.is_finished(), "the questions had to wait");
    assert_eq!(looping.join().unwrap(), 504);
}
