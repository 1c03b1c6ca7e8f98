//! Many models: registered, not mapped.

use std::fs;
use std::thread;
use std::time::Duration;

use samara_tests::guests;
use samara_tests::process::{Mapping, mappings, resident_bytes};
use samara_tests::server::{Serve, Server};
use tempfile::{TempDir, tempdir};

use super::{eventually, input, mapped, metric};

const MODELS: u64 = 300;

/// What a model may take at rest.
const AT_REST_BYTES: u64 = 64 << 10;

fn serve(directory: &TempDir) -> Server {
    let cache = directory.path().join("cache");
    let models = directory.path().join("models");
    Serve::new([models])
        .option("--idle-ttl-ms 500")
        .option("--cache-dir")
        .option(cache.to_str().unwrap())
        .environment("SAMARA_LOG", "info")
        .start()
}

/// Waits until nothing is mapped, and what comes after that is done.
fn rest(server: &Server) {
    let is_mapped = |mapping: &Mapping| mapping.path.extension().is_some_and(|extension| extension == "cwasm");
    eventually("all are unmapped", || !mappings(server.process()).iter().any(is_mapped));
    thread::sleep(Duration::from_millis(500));
}

#[test]
fn they_take_little_and_are_there_when_they_are_asked() {
    let directory = tempdir().unwrap();
    let models = directory.path().join("models");
    fs::create_dir(&models).unwrap();
    let names: Vec<String> = (0..MODELS).map(|index| format!("m{index}")).collect();
    guests::write(&models, "echoes", &names[0]);
    // What a process takes with one model, before and after that was asked.
    let alone = serve(&directory);
    let one = resident_bytes(alone.process());
    alone.infer(&names[0], &input(1.0)).expect(200);
    rest(&alone);
    let one_asked = resident_bytes(alone.process());
    alone.stop();
    for name in &names[1..] {
        guests::write(&models, "echoes", name);
    }
    // Long enough for what is hashed now to be known by its identity.
    thread::sleep(Duration::from_millis(100));
    serve(&directory).stop();

    let server = serve(&directory);
    assert_eq!(metric(&server, r#"samara_models{state="registered"}"#), MODELS as f64);
    assert_eq!(mapped(&server), 0.0);
    // Not a line for each.
    assert!(server.log().lines().count() < 20, "{}", server.log());
    let each = resident_bytes(server.process()).saturating_sub(one) / MODELS;
    assert!(each <= AT_REST_BYTES, "{each} bytes for each before they are asked");
    for name in &names {
        server.infer(name, &input(1.0)).expect(200);
    }
    rest(&server);
    // Before metrics are asked for, which take memory of their own.
    let rested = resident_bytes(server.process());
    assert_eq!(metric(&server, r#"samara_evictions_total{reason="idle"}"#), MODELS as f64);
    let each = rested.saturating_sub(one_asked) / MODELS;
    assert!(each <= AT_REST_BYTES, "{each} bytes for each after they were asked");
}
