//! How components may lie in a directory, and what is said of what is wrong there.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::Request;
use samara_tests::process::mappings;
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::outputs;
use serde_json::json;
use tempfile::tempdir;

use super::{Node, POLL, index, input, put, to_version, versions};

#[test]
fn directories_of_versions_and_flat_files_lie_side_by_side() {
    let directory = versions(&["1", "9", "10"]);
    put(directory.path(), "flat.wasm", &guests::component_of_version("echoes", "other", "7"));
    let server = Serve::new([directory.path()]).start();
    let found: Vec<_> = index(&server)
        .iter()
        .map(|row| format!("{}:{}:{}", row["name"].as_str().unwrap(), row["version"].as_str().unwrap(), row["state"]))
        .collect();
    let expected = ["m:1:\"READY\"", "m:9:\"READY\"", "m:10:\"READY\"", "other:7:\"READY\""];
    assert_eq!(found, expected);
    for version in ["1", "9", "10"] {
        let reply = server.send(&to_version("m", version));
        assert_eq!(outputs(&reply)[0].as_fp32(), [1.0]);
        assert_eq!((&reply.json()["model_name"], &reply.json()["model_version"]), (&json!("m"), &json!(version)));
    }
    // Without a version, the newest.
    assert_eq!(server.infer("m", &input(1.0)).expect(200).json()["model_version"], "10");
    let metadata = server.get("/v2/models/m").expect(200).json();
    assert_eq!(metadata["versions"], json!(["1", "9", "10"]));
    assert_eq!(server.get("/v2/models/m/versions/9").expect(200).json()["versions"], json!(["9"]));
    let stats = server.get("/v2/models/m/stats").expect(200).json();
    let counts: Vec<_> = stats["model_stats"].as_array().unwrap().iter().map(|row| &row["inference_count"]).collect();
    assert_eq!(counts, [1, 1, 2]);
}

/// However many there are, their machine code is mapped once.
#[test]
fn copies_of_a_component_share_what_is_mapped() {
    let mapped = |copies: usize| {
        let directory = tempdir().unwrap();
        for copy in 0..copies {
            put(directory.path(), &format!("copy-{copy}/1/model.wasm"), &guests::component("echoes", "m"));
        }
        let server = Serve::new([directory.path()]).start();
        for copy in 0..copies {
            let reply = server.infer(&format!("copy-{copy}"), &input(3.0)).expect(200).json();
            assert_eq!(reply["model_name"], format!("copy-{copy}"));
        }
        let code = mappings(server.process());
        // What is not executed is mapped once more in each instance.
        let code = code.iter().filter(|mapping| mapping.permissions.contains('x'));
        code.filter(|mapping| mapping.path.extension().is_some_and(|end| end == "cwasm")).count()
    };
    assert_eq!((mapped(1), mapped(20)), (1, 1));
}

#[test]
fn a_version_directory_without_a_component_is_named_with_its_reason() {
    let directory = versions(&["1"]);
    fs::create_dir_all(directory.path().join("m/2")).unwrap();
    fs::create_dir_all(directory.path().join("m/docs")).unwrap();
    let node = Node::start(directory, &[POLL]);
    node.wait_for("m", "2", "UNAVAILABLE", "m/2 holds no model.wasm");
    assert_eq!(node.index().len(), 2);
    let ready = node.server.send(&Request::post("/v2/repository/index", r#"{"ready": true}"#)).expect(200).json();
    assert_eq!(ready, json!([{"name": "m", "version": "1", "state": "READY", "reason": ""}]));
    assert_eq!(node.version("m"), "1");
    let reply = node.server.send(&to_version("m", "2")).expect(503);
    assert_says(&reply.error(), &["version \"2\"", "not loaded", "/v2/repository/index"]);
    node.server.send(&to_version("m", "3")).expect(404);
    node.server.get("/v2/models/m/versions/2/ready").expect(503);
    // And when it has one, it is loaded.
    put(node.path(), "m/2/model.wasm", &guests::component("echoes", "m"));
    node.wait_for("m", "2", "READY", "");
    assert_eq!(node.version("m"), "2");
    assert_eq!(node.index().len(), 2);
}

/// Nothing will ever mend it, so it is told at the start.
#[test]
fn what_is_not_watched_has_to_be_right_at_the_start() {
    let directory = versions(&["1"]);
    fs::create_dir(directory.path().join("m/2")).unwrap();
    let serve = || Serve::new([directory.path()]).option("--repository-poll-ms 0");
    assert_says(&serve().fails(), &["m/2", "holds no model.wasm"]);
    fs::write(directory.path().join("m/2/model.wasm"), "no component").unwrap();
    assert_says(&serve().fails(), &["m/2/model.wasm", "component"]);
}

#[test]
fn two_components_of_one_name_and_version_are_both_named() {
    let directory = versions(&["1"]);
    put(directory.path(), "flat.wasm", &guests::component("echoes", "m"));
    let both = ["m/1/model.wasm", "flat.wasm", "version \"1\"", "\"m\""];
    assert_says(&Serve::new([directory.path()]).fails(), &both);
    // While a server runs, the second waits for the first to go.
    fs::remove_file(directory.path().join("flat.wasm")).unwrap();
    let node = Node::start(directory, &[POLL]);
    put(node.path(), "flat.wasm", &guests::component("refuses", "m"));
    node.wait_for("m", "1", "UNAVAILABLE", "flat.wasm are both version \"1\"");
    node.server.infer("m", &input(0.0)).expect(200);
    fs::remove_dir_all(node.path().join("m")).unwrap();
    let start = Instant::now();
    while node.server.infer("m", &input(0.0)).status != 400 {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", node.index());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(node.index().len(), 1);
}
