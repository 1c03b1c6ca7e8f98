//! A model that nobody asks is unmapped, and there again for the next request.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use samara_tests::guests;
use samara_tests::http::Client;
use samara_tests::process::{Mapping, mappings, resident_bytes};
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, json_request, outputs};
use samara_tests::{models, onnx};
use tempfile::{TempDir, tempdir};

use super::{eventually, input, mapped, metric};

/// How long a model may be idle here, and a pause in which it certainly has been for too long.
const TTL: &str = "--idle-ttl-ms 300";

/// A pause in which what comes after unmapping is done.
const AFTERWARDS: Duration = Duration::from_millis(300);

fn is_machine_code(mapping: &Mapping) -> bool {
    mapping.path.extension().is_some_and(|extension| extension == "cwasm")
}

fn serve(fixture: &str, options: &[&str]) -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), fixture, "m");
    let mut serve = Serve::new([path]).option(TTL);
    for option in options {
        serve = serve.option(option);
    }
    (directory, serve.start())
}

fn cold(step: &str) -> String {
    format!("samara_cold_start_duration_seconds_count{{function=\"\",model=\"m\",step=\"{step}\",version=\"1\"}}")
}

#[track_caller]
fn asks(server: &Server) {
    assert_eq!(outputs(&server.infer("m", &input(2.0))), [Tensor::fp32("y", &[1], &[2.0])]);
}

#[test]
fn a_model_is_mapped_when_it_is_asked_and_unmapped_when_it_is_not() {
    let (_directory, server) = serve("echoes", &[]);
    assert_eq!(mapped(&server), 0.0);
    assert_eq!(metric(&server, r#"samara_models{state="registered"}"#), 1.0);
    for round in 1..=3 {
        asks(&server);
        assert_eq!(mapped(&server), 1.0);
        eventually("it is unmapped", || mapped(&server) == 0.0);
        let round = f64::from(round);
        assert_eq!(metric(&server, r#"samara_evictions_total{reason="idle"}"#), round);
        for step in ["map", "instantiate", "first_inference"] {
            assert_eq!(metric(&server, &cold(step)), round, "{step}");
        }
        // It can be asked, so it is ready; and nothing is forgotten of what it did.
        server.get("/v2/models/m/ready").expect(200);
        assert_eq!(server.get("/v2/models/m").expect(200).json()["inputs"][0]["name"], "x");
        assert_eq!(server.statistics("m")["inference_count"], round);
        assert!(!mappings(server.process()).iter().any(is_machine_code));
    }
    assert!(!server.log().contains("compiled for that"), "{}", server.log());
}

#[test]
fn a_model_that_is_asked_stays() {
    let (_directory, server) = serve("echoes", &[]);
    for _ in 0..10 {
        asks(&server);
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(metric(&server, &cold("map")), 1.0);
}

#[test]
fn a_model_that_runs_for_longer_than_it_may_be_idle_stays() {
    let (_directory, server) = serve("loops", &["--deadline-ms 1500"]);
    server.infer("m", &input(0.0)).expect(504);
    assert_eq!(metric(&server, r#"samara_evictions_total{reason="idle"}"#), 0.0);
    eventually("it is unmapped", || mapped(&server) == 0.0);
}

#[test]
fn requests_that_come_together_wait_for_one_load() {
    let (_directory, server) = serve("echoes", &[]);
    let address = server.address();
    let requests: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || Client::http1(address).send(&json_request("m", &input(1.0))).status))
        .collect();
    for request in requests {
        assert_eq!(request.join().unwrap(), 200);
    }
    assert_eq!(metric(&server, &cold("map")), 1.0);
}

/// Nothing that it has used stays, nor grows with every time that it comes and goes.
#[test]
fn its_memory_is_given_back() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("m.wasm");
    fs::copy(models::card("fashion-cnn").compiled(), &path).unwrap();
    // Long enough for what was hashed when it was new to be known by its identity.
    thread::sleep(Duration::from_millis(100));
    let server = Serve::new([&path]).option(TTL).option("--workers 2").start();
    let inputs = models::card("fashion-cnn").vectors[0].inputs();
    let ask = || server.infer("fashion-cnn", &inputs).expect(200);
    // Metrics would take memory of their own.
    let is_unmapped = || !mappings(server.process()).iter().any(is_machine_code);
    ask();
    eventually("it is unmapped", is_unmapped);
    thread::sleep(AFTERWARDS);
    let before = resident_bytes(server.process());
    for _ in 0..6 {
        ask();
        ask();
        eventually("it is unmapped", is_unmapped);
    }
    thread::sleep(AFTERWARDS);
    let after = resident_bytes(server.process());
    assert!(after < before + (3 << 20), "{before} bytes before, {after} after");
}

#[test]
fn one_model_may_be_idle_for_longer_than_another() {
    let directory = tempdir().unwrap();
    let models = ["short", "long"].map(|name| guests::write(directory.path(), "echoes", name));
    let file = directory.path().join("samara.toml");
    fs::write(&file, "[node]\nidle_ttl_ms = 60000\n[model.short]\nidle_ttl_ms = 100\n").unwrap();
    let server = Serve::new(models).option("--config").option(file.to_str().unwrap()).start();
    for name in ["short", "long"] {
        server.infer(name, &input(1.0)).expect(200);
    }
    eventually("the one is unmapped", || mapped(&server) == 1.0);
    // SIGHUP has it hold at once.
    fs::write(&file, "[node]\nidle_ttl_ms = 100\n").unwrap();
    server.signal(Signal::HUP);
    eventually("the other is unmapped", || mapped(&server) == 0.0);
}

#[test]
fn a_model_whose_file_is_gone_is_refused_until_it_is_back() {
    let (directory, server) = serve("echoes", &[]);
    let path = directory.path().join("m.wasm");
    let aside = directory.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    let reply = server.infer("m", &input(1.0)).expect(503);
    assert_says(&reply.error(), &["model \"m\" cannot be mapped", "cannot read", "m.wasm"]);
    assert!(reply.header("retry-after").is_some());
    fs::rename(&aside, &path).unwrap();
    asks(&server);
}

#[test]
fn a_model_that_was_replaced_by_another_is_refused() {
    let (directory, server) = serve("echoes", &[]);
    let other = models::compiled_graph("other", &onnx::duo(), &[]);
    fs::copy(other, directory.path().join("m.wasm")).unwrap();
    let reply = server.infer("m", &input(1.0)).expect(503);
    assert_says(&reply.error(), &["replaced by a model with other inputs or outputs"]);
}

#[test]
fn machine_code_that_is_gone_is_made_again() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "echoes", "m");
    let cache = directory.path().join("cache");
    let server = Serve::new([path]).option(TTL).option("--cache-dir").option(cache.to_str().unwrap()).start();
    asks(&server);
    eventually("it is unmapped", || mapped(&server) == 0.0);
    fs::remove_dir_all(cache.join("code")).unwrap();
    asks(&server);
    eventually("the log says so", || server.log().contains("compiled for that"));
}

#[test]
fn the_deadline_holds_while_a_model_is_mapped() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("m.wasm");
    fs::copy(models::twice(), &path).unwrap();
    // Without a cache it is compiled, which takes longer than that.
    let server = Serve::new([path]).option(TTL).option("--no-cache").option("--deadline-ms 20").start();
    let reply = server.infer("twice", &input(1.0)).expect(504);
    assert_says(&reply.error(), &["deadline of 20 ms has passed before the model was mapped"]);
    assert_eq!(server.limits("twice")["deadline"], 1);
    // Whoever gives up leaves it to those who come later.
    eventually("it is there", || server.infer("twice", &input(1.0)).status == 200);
}
