//! What a model leaves behind that is not served any more: nothing.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use samara_tests::process::{mappings, resident_bytes};
use samara_tests::{guests, models};
use serde_json::Value;
use tempfile::tempdir;

use super::{Node, POLL, input, put, versions};

/// The machine code that the server has mapped, file by file.
fn machine_code(node: &Node) -> Vec<PathBuf> {
    let mappings = mappings(node.server.process()).into_iter().map(|mapping| mapping.path);
    let mut code: Vec<_> = mappings.filter(|path| path.to_string_lossy().contains(".cwasm")).collect();
    code.sort();
    code.dedup();
    code
}

/// Waits until the machine code of so many components is mapped. Nobody asks anything meanwhile.
#[track_caller]
fn wait_for_mapped(node: &Node, count: usize) {
    let start = Instant::now();
    while machine_code(node).len() != count {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?} instead of {count}", machine_code(node));
        thread::sleep(Duration::from_millis(20));
    }
}

/// Requests enough for each worker to have an instance ready.
fn ask(node: &Node) {
    for _ in 0..8 {
        node.server.infer("m", &input(1.0)).expect(200);
    }
}

#[test]
fn a_model_that_is_unloaded_is_unmapped_at_once() {
    let node = Node::start(versions(&["1"]), &["--workers 2"]);
    for round in 0..3 {
        ask(&node);
        // What was compiled just now need not be mapped from a file.
        if round > 0 {
            wait_for_mapped(&node, 1);
        }
        node.call("POST", "m/unload", &Value::Null).expect(200);
        wait_for_mapped(&node, 0);
        node.call("POST", "m/load", &Value::Null).expect(200);
    }
    ask(&node);
}

#[test]
fn a_component_that_is_replaced_is_unmapped_at_once() {
    let node = Node::start(versions(&["1"]), &[POLL, "--workers 2"]);
    ask(&node);
    let before = machine_code(&node);
    put(node.path(), "m/1/model.wasm", &guests::component("refuses", "m"));
    let start = Instant::now();
    while before.iter().any(|code| machine_code(&node).contains(code)) {
        assert!(start.elapsed() < Duration::from_secs(30), "{before:?} stays");
        thread::sleep(Duration::from_millis(20));
    }
    node.server.infer("m", &input(1.0)).expect(400);
}

/// What is running when its model is unloaded runs to its end, and only then is the model unmapped.
#[test]
fn a_model_that_is_unloaded_stays_for_the_request_that_has_it() {
    let directory = tempdir().unwrap();
    put(directory.path(), "m/1/model.wasm", &guests::component("loops", "m"));
    let node = Node::start(directory, &["--deadline-ms 1500", "--workers 2"]);
    thread::scope(|scope| {
        let asking = scope.spawn(|| node.server.infer("m", &input(0.0)).status);
        thread::sleep(Duration::from_millis(500));
        node.call("POST", "m/unload", &Value::Null).expect(200);
        node.server.infer("m", &input(0.0)).expect(503);
        assert_eq!(asking.join().unwrap(), 504);
    });
    wait_for_mapped(&node, 0);
}

/// Nor does memory grow with every time that a model comes and goes.
#[test]
fn its_memory_is_given_back() {
    let directory = tempdir().unwrap();
    let card = models::card("fashion-cnn");
    fs::copy(card.compiled(), directory.path().join("m.wasm")).unwrap();
    let node = Node::start(directory, &["--workers 2"]);
    let inputs = card.vectors[0].inputs();
    let come_and_go = || {
        for _ in 0..4 {
            node.server.infer("fashion-cnn", &inputs).expect(200);
        }
        node.call("POST", "fashion-cnn/unload", &Value::Null).expect(200);
        wait_for_mapped(&node, 0);
        // What comes after unmapping is done.
        thread::sleep(Duration::from_millis(300));
        let resident = resident_bytes(node.server.process());
        node.call("POST", "fashion-cnn/load", &Value::Null).expect(200);
        resident
    };
    let resident: Vec<u64> = (0..10).map(|_| come_and_go()).collect();
    assert!(resident[9] < resident[1] + (3 << 20), "{resident:?}");
}
