//! Files that come, change and go while requests run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use samara_tests::guests;
use samara_tests::samara::assert_says;
use samara_tests::tensor::outputs;

use super::{Node, POLL, input, keep_asking, put, to_version, versions};

#[test]
fn a_new_version_comes_in_and_an_old_one_goes_without_a_failed_request() {
    let node = Node::start(versions(&["1"]), &[POLL]);
    let (address, stop) = (node.server.address(), AtomicBool::new(false));
    let answered: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| keep_asking(address, "m", &stop))).collect();
        for version in ["2", "3", "4"] {
            put(node.path(), &format!("m/{version}/model.wasm"), &guests::component("takes-long", "m"));
            node.wait_for("m", version, "READY", "");
            assert_eq!(node.version("m"), version);
        }
        fs::remove_dir_all(node.path().join("m/4")).unwrap();
        while node.version("m") != "3" {
            thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(answered > 50, "{answered}");
    assert_eq!(node.metric("samara_model_versions{model=\"m\"}"), Some(3.0));
    assert_eq!(node.metric("samara_model_loads_total{model=\"m\",outcome=\"success\"}"), Some(4.0));
    node.server.send(&to_version("m", "4")).expect(404);
    node.server.stop();
}

#[test]
fn a_component_that_is_replaced_is_the_new_one_and_its_counts_go_on() {
    let node = Node::start(versions(&["1"]), &[POLL]);
    node.server.infer("m", &input(0.0)).expect(200);
    put(node.path(), "m/1/model.wasm", &guests::component("refuses", "m"));
    while node.server.infer("m", &input(0.0)).status == 200 {
        thread::sleep(Duration::from_millis(20));
    }
    assert_says(&node.server.infer("m", &input(0.0)).expect(400).error(), &["not to my taste"]);
    let counts = node.server.statistics("m")["inference_stats"].clone();
    assert!(counts["success"]["count"].as_u64().unwrap() >= 1 && counts["fail"]["count"].as_u64().unwrap() >= 2);
}

#[test]
fn a_broken_component_never_replaces_a_good_one() {
    let directory = versions(&["1"]);
    let with_manifest = tempfile::tempdir().unwrap();
    let loops = fs::read(guests::write_with_manifest(with_manifest.path(), "loops-at-start", "m")).unwrap();
    let node = Node::start(directory, &[POLL, "--deadline-ms 1000"]);
    for (broken, reason) in [(b"no component".as_slice(), "component"), (&*loops, "no instance of it can be made")] {
        put(node.path(), "m/1/model.wasm", broken);
        node.wait_for("m", "1", "READY", reason);
        node.wait_for("m", "1", "READY", "what it held before is served");
        assert_eq!(outputs(&node.server.infer("m", &input(5.0)))[0].as_fp32(), [5.0]);
        node.server.get("/v2/models/m/ready").expect(200);
    }
    assert_eq!(node.metric("samara_model_loads_total{model=\"m\",outcome=\"failed\"}"), Some(2.0));
    node.server.logs(&["not loaded", "m/1/model.wasm"]);
    // One that is whole again mends it.
    put(node.path(), "m/1/model.wasm", &guests::component("echoes", "m"));
    while node.index()[0]["reason"] != "" {
        thread::sleep(Duration::from_millis(20));
    }
    // As a new version, it is named and nothing else.
    put(node.path(), "m/2/model.wasm", b"no component");
    node.wait_for("m", "2", "UNAVAILABLE", "component");
    assert_eq!(node.version("m"), "1");
}

/// Bytes come all the time, for longer than several looks: nobody tries what they are.
#[test]
fn a_half_copied_component_is_passed_over_until_it_is_whole() {
    let node = Node::start(versions(&["1"]), &["--repository-poll-ms 700"]);
    let component = guests::component("echoes", "m");
    fs::create_dir(node.path().join("m/2")).unwrap();
    let path = node.path().join("m/2/model.wasm");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let pieces = 100;
    for piece in component.chunks(component.len().div_ceil(pieces)) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        thread::sleep(Duration::from_millis(30));
        assert_eq!(node.version("m"), "1");
    }
    drop(file);
    node.wait_for("m", "2", "READY", "");
    assert_eq!(node.version("m"), "2");
    assert_eq!(node.metric("samara_model_loads_total{model=\"m\",outcome=\"failed\"}"), None);
}

/// A server starts beside a copy that is not finished, and takes it in when it is.
#[test]
fn what_is_broken_at_the_start_is_waited_for() {
    let directory = versions(&["1"]);
    let component = guests::component("echoes", "late");
    fs::write(directory.path().join("late.wasm"), &component[..component.len() / 2]).unwrap();
    let node = Node::start(directory, &[POLL]);
    node.wait_for("late", "", "UNAVAILABLE", "late.wasm");
    assert_eq!(node.version("m"), "1");
    put(node.path(), "late.wasm", &component);
    node.wait_for("late", "1", "READY", "");
    assert_eq!(node.version("late"), "1");
}

#[test]
fn an_empty_directory_is_waited_for_and_a_model_that_goes_is_gone() {
    let node = Node::start(tempfile::tempdir().unwrap(), &[POLL]);
    node.server.logs(&["holds no component"]);
    assert!(node.index().is_empty());
    node.server.infer("m", &input(1.0)).expect(404);
    put(node.path(), "m.wasm", &guests::component("echoes", "m"));
    node.wait_for("m", "1", "READY", "");
    node.server.infer("m", &input(1.0)).expect(200);
    fs::remove_file(node.path().join("m.wasm")).unwrap();
    while !node.index().is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    node.server.infer("m", &input(1.0)).expect(404);
    // A directory that cannot be read is not empty.
    put(node.path(), "m.wasm", &guests::component("echoes", "m"));
    node.wait_for("m", "1", "READY", "");
    let elsewhere = node.path().with_extension("elsewhere");
    fs::rename(node.path(), &elsewhere).unwrap();
    thread::sleep(Duration::from_secs(1));
    node.server.infer("m", &input(1.0)).expect(200);
    node.server.logs(&["what it held stays as it is"]);
    fs::rename(&elsewhere, node.path()).unwrap();
}

/// What a request was given it keeps.
#[test]
fn a_request_ends_on_the_version_that_it_began_on() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "m/1/model.wasm", &guests::component("takes-long", "m"));
    let node = Node::start(directory, &[POLL, "--workers 2", "--deadline-ms 60000"]);
    let address = node.server.address();
    let slow = thread::spawn(move || {
        let request = samara_tests::tensor::json_request("m", &input(2000.0));
        samara_tests::http::Client::http1(address).send(&request)
    });
    thread::sleep(Duration::from_millis(300));
    fs::remove_dir_all(node.path().join("m")).unwrap();
    while !node.index().is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!slow.is_finished());
    assert_eq!(outputs(&slow.join().unwrap())[0].as_fp32(), [2000.0]);
}
