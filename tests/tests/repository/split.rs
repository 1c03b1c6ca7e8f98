//! Traffic that is split among versions, and the way back.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use samara_tests::guests;
use samara_tests::http::Client;
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Node, POLL, put, versions, with_header};

/// The directory with versions, and a file that says this.
fn with_file(versions_of_m: &[&str], file: &str) -> (TempDir, String) {
    let directory = versions(versions_of_m);
    let path = directory.path().join("samara.toml");
    fs::write(&path, file).unwrap();
    (directory, format!("--config {}", path.display()))
}

fn counts(node: &Node, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(node.version("m")).or_default() += 1;
    }
    counts
}

fn of(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|&(version, count)| (version.to_owned(), count)).collect()
}

/// The version that each of so many users gets.
fn of_users(node: &Node, users: usize) -> Vec<String> {
    let mut client = Client::http1(node.server.address());
    let version = |user| {
        let reply = client.send(&with_header("m", "x-user-id", &format!("user-{user}"))).expect(200).json();
        reply["model_version"].as_str().unwrap().to_owned()
    };
    (0..users).map(version).collect()
}

#[test]
fn requests_are_split_exactly() {
    let (directory, config) = with_file(&["1", "2", "3"], "[model.m]\nsplit = { \"1\" = 70, \"2\" = 25, \"3\" = 5 }\n");
    let node = Node::start(directory, &[POLL, &config]);
    assert_eq!(counts(&node, 200), of(&[("1", 140), ("2", 50), ("3", 10)]));
    let told = node.call("GET", "m/split", &Value::Null).expect(200).json();
    assert_eq!(told["split"], json!({"1": 70, "2": 25, "3": 5}));
    assert_eq!(told["effective"], json!({"1": 70.0, "2": 25.0, "3": 5.0}));
    assert_eq!((&told["name"], &told["sticky"]), (&json!("m"), &Value::Null));
    // What a version had that is no more is divided among the others.
    fs::remove_dir_all(node.path().join("m/2")).unwrap();
    while node.call("GET", "m/split", &Value::Null).expect(200).json()["effective"].get("2").is_some() {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(counts(&node, 150), of(&[("1", 140), ("3", 10)]));
    // The metadata is that of the version that most requests go to.
    assert_eq!(node.server.get("/v2/models/m/stats").expect(200).json()["model_stats"][0]["version"], "1");
}

#[test]
fn a_header_decides_for_good_and_a_change_moves_no_more_than_it_must() {
    let file = "[model.m]\nsplit = { \"1\" = 90, \"2\" = 10 }\nsticky = \"X-User-Id\"\n";
    let (directory, config) = with_file(&["1", "2"], file);
    let node = Node::start(directory, &[POLL, &config]);
    let before = of_users(&node, 400);
    assert_eq!(of_users(&node, 400), before);
    let second = before.iter().filter(|version| *version == "2").count();
    assert!((16..=70).contains(&second), "{second} of 400");
    node.call("PUT", "m/split", &json!({"split": {"1": 80, "2": 20}})).expect(200);
    let after = of_users(&node, 400);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert!(!moved.is_empty() && moved.len() < 80, "{} of 400", moved.len());
    assert!(moved.iter().all(|(before, after)| (before.as_str(), after.as_str()) == ("1", "2")));
    // Whoever has no such header takes turns.
    assert_eq!(counts(&node, 100), of(&[("1", 80), ("2", 20)]));
}

#[test]
fn a_split_is_set_by_a_call_and_taken_back_by_another() {
    let node = Node::start(versions(&["1", "2"]), &[POLL]);
    let told = node.call("GET", "m/split", &Value::Null).expect(200).json();
    assert_eq!((&told["split"], &told["effective"]), (&Value::Null, &json!({"1": 0.0, "2": 100.0})));
    for (method, split) in [("PUT", json!({"1": 90, "2": 10})), ("POST", json!({"1": 50, "2": 50}))] {
        let told = node.call(method, "m/split", &json!({"split": split})).expect(200).json();
        assert_eq!(told["split"], split);
    }
    assert_eq!(counts(&node, 10), of(&[("1", 5), ("2", 5)]));
    let told = node.call("POST", "m/rollback", &Value::Null).expect(200).json();
    assert_eq!(told["split"], json!({"1": 90, "2": 10}));
    node.call("DELETE", "m/split", &Value::Null).expect(200);
    assert_eq!(counts(&node, 5), of(&[("2", 5)]));
    for (split, told) in [
        (json!({"1": 80, "2": 10}), "sums to 90"),
        (json!({"1": 110, "2": -10}), "has -10"),
        (json!({"1": 50, "3": 50}), "\"3\" of model \"m\" is not loaded"),
    ] {
        let reply = node.call("PUT", "m/split", &json!({"split": split})).expect(400);
        assert_says(&reply.error(), &[told]);
    }
    assert_eq!(counts(&node, 5), of(&[("2", 5)]));
}

/// The version is bad, and was not noticed to be: one call, and the one before has all requests again.
#[test]
fn a_new_version_is_rolled_back_in_one_call() {
    let node = Node::start(versions(&["1"]), &[POLL]);
    put(node.path(), "m/2/model.wasm", &guests::component("refuses", "m"));
    node.wait_for("m", "2", "READY", "");
    node.server.infer("m", &super::input(0.0)).expect(400);
    let told = node.call("POST", "m/rollback", &Value::Null).expect(200).json();
    assert_eq!((&told["split"], &told["effective"]), (&json!({"1": 100}), &json!({"1": 100.0, "2": 0.0})));
    assert_eq!(counts(&node, 5), of(&[("1", 5)]));
    assert_says(&node.server.send(&super::to_version("m", "2")).expect(400).error(), &["not to my taste"]);
    assert_says(&node.call("POST", "m/rollback", &Value::Null).expect(400).error(), &["\"m\"", "go back"]);
}

#[test]
fn sighup_brings_another_split() {
    let (directory, config) = with_file(&["1", "2"], "[model.m]\nsplit = { \"1\" = 100 }\n");
    let node = Node::start(directory, &[POLL, &config]);
    assert_eq!(counts(&node, 4), of(&[("1", 4)]));
    let file = node.path().join("samara.toml");
    let reload = |text: &str, logged: &str| {
        fs::write(&file, text).unwrap();
        node.server.reload(logged);
    };
    reload("[model.m]\nsplit = { \"1\" = 50, \"2\" = 50 }\n", "has been read again");
    assert_eq!(counts(&node, 4), of(&[("1", 2), ("2", 2)]));
    reload("[model.m]\nsplit = { \"1\" = 50, \"9\" = 50 }\n", "stays as it was");
    node.server.logs(&["[model.m]", "version \"9\""]);
    assert_eq!(counts(&node, 4), of(&[("1", 2), ("2", 2)]));
}

#[test]
fn a_split_that_is_none_is_refused_at_the_start() {
    for (split, told) in [
        ("{ \"1\" = 80, \"2\" = 10 }", vec!["samara.toml:2:9", "sums to 90"]),
        ("{ \"1\" = -5, \"2\" = 105 }", vec!["samara.toml:2:17", "found -5", "samara.toml:2:27", "found 105"]),
        ("{ \"1\" = 90, \"9\" = 10 }", vec!["[model.m]", "version \"9\"", "there is \"1\", \"2\""]),
    ] {
        let (directory, config) = with_file(&["1", "2"], &format!("[model.m]\nsplit = {split}\n"));
        let message = Serve::new([directory.path()]).option(&config).fails();
        assert_says(&message, &told);
    }
}
