//! What a server is told by its file, the environment and the command line, and told anew by SIGHUP.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::{Client, Request};
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, binary_request, json_request};
use tempfile::{TempDir, tempdir};

/// A directory with the models `good`, which echoes, and `bad`, which loops, and a file.
fn directory(file: &str) -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    guests::write(directory.path(), "loops", "bad");
    let path = directory.path().join("samara.toml");
    fs::write(&path, file).unwrap();
    (directory, path)
}

fn serve(file: &Path) -> Serve {
    Serve::new::<&str>([]).option(&format!("--config {}", file.display()))
}

fn input(elements: usize) -> [Tensor; 1] {
    [Tensor::fp32("x", &[elements as u64], &vec![1.0; elements])]
}

const READ: &str = "the configuration has been read again";
const KEPT: &str = "the configuration stays as it was";

#[test]
fn a_flag_beats_the_environment_that_the_file_and_that_the_default() {
    let (_directory, file) = directory("[node]\npaths = [\".\"]\nmax_elements = 3\n");
    let largest = |server: &Server| {
        (1..=8).filter(|&size| server.send(&binary_request("good", &input(size))).status == 200).max().unwrap()
    };
    assert_eq!(largest(&serve(&file).start()), 3);
    assert_eq!(largest(&serve(&file).environment("SAMARA_MAX_ELEMENTS", "5").start()), 5);
    let all = serve(&file).environment("SAMARA_MAX_ELEMENTS", "5").option("--max-elements 7");
    assert_eq!(largest(&all.start()), 7);
    let default = Serve::new([file.parent().unwrap()]);
    assert_eq!(largest(&default.start()), 8);
}

#[test]
fn a_model_has_a_deadline_of_its_own() {
    let (_directory, file) = directory("[node]\npaths = [\".\"]\n[model.bad]\ndeadline_ms = 300\n");
    let server = serve(&file).start();
    let start = Instant::now();
    let reply = server.send(&json_request("bad", &input(1))).expect(504);
    assert_says(&reply.error(), &["deadline of 300 ms"]);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_model_that_is_not_served_cannot_be_set_up() {
    let (_directory, file) = directory("[node]\npaths = [\".\"]\n[model.goood]\ndeadline_ms = 300\n");
    assert_says(&serve(&file).fails(), &["[model.goood]", "\"good\""]);
}

#[test]
fn sighup_changes_what_can_be_changed_and_names_what_cannot() {
    let (_directory, file) = directory("[node]\npaths = [\".\"]\nmax_elements = 3\n");
    let server = serve(&file).start();
    server.send(&binary_request("good", &input(4))).expect(413);
    let changed = "[node]\npaths = [\".\"]\nmax_elements = 4\nmemory_mib = 512\nworkers = 7\nmax_header_kib = 8\n\
                   [model.bad]\ndeadline_ms = 200\n";
    fs::write(&file, changed).unwrap();
    server.reload(READ);
    server.send(&binary_request("good", &input(4))).expect(200);
    let reply = server.send(&json_request("bad", &input(1))).expect(504);
    assert_says(&reply.error(), &["200 ms"]);
    server.send(&Request::get("/v2").header("x-padding", &"x".repeat(9 << 10))).expect(431);
    server.logs(&["workers, memory_mib", "next start"]);
    // What is no longer said is at its default again.
    fs::write(&file, "[node]\npaths = [\".\"]\n").unwrap();
    server.reload(READ);
    server.send(&binary_request("good", &input(8))).expect(200);
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing() {
    let (_directory, file) = directory("[node]\npaths = [\".\"]\nmax_elements = 3\n");
    let server = serve(&file).start();
    for broken in ["[node]\nmax_elements = -1\n", "[node", "[model.absent]\n", "[node]\nlog = \"=,=\"\n"] {
        fs::write(&file, broken).unwrap();
        server.reload(KEPT);
        server.send(&binary_request("good", &input(3))).expect(200);
        server.send(&binary_request("good", &input(4))).expect(413);
    }
    server.logs(&["samara.toml:2:16", "[model.absent]"]);
    fs::remove_file(&file).unwrap();
    server.reload(KEPT);
    server.send(&binary_request("good", &input(3))).expect(200);
}

#[test]
fn what_is_logged_can_be_changed() {
    let (_directory, file) = directory("[node]\npaths = [\".\"]\nlog = \"error\"\n");
    let server = serve(&file).start();
    assert_eq!(server.log(), "");
    fs::write(&file, "[node]\npaths = [\".\"]\nlog = \"debug\"\n").unwrap();
    server.reload(READ);
}

/// Requests come on connections that stay, from before the first signal until after the last.
#[test]
fn no_request_is_dropped_by_sighup() {
    let (_directory, file) = directory("[node]\npaths = [\".\"]\n");
    let server = serve(&file).start();
    let (address, stop) = (server.address(), AtomicBool::new(false));
    let answered: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::http1(address);
                    let mut answered = 0;
                    while !stop.load(Ordering::Relaxed) {
                        client.send(&json_request("good", &input(1))).expect(200);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        for round in 1..=20 {
            fs::write(&file, format!("[node]\npaths = [\".\"]\nqueue = {round}00\n")).unwrap();
            server.reload(READ);
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(answered >= 20, "{answered} requests in the time of 20 signals");
    server.stop();
}
