//! What the server counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use samara_tests::guests;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, outputs};
use serde_json::json;
use tempfile::tempdir;

#[test]
fn requests_are_counted_by_how_they_end() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    guests::write(directory.path(), "traps", "bad");
    let server = Serve::new([directory.path()]).start();

    let untouched = server.statistics("good");
    assert_eq!(untouched["name"], "good");
    assert_eq!(untouched["version"], "1");
    assert_eq!(untouched["last_inference"], 0);
    assert_eq!(untouched["inference_count"], 0);
    assert_eq!(untouched["execution_count"], 0);
    assert_eq!(untouched["inference_stats"]["success"], json!({"count": 0, "ns": 0}));

    for _ in 0..3 {
        outputs(&server.infer("good", &[Tensor::fp32("x", &[1], &[1.0])]));
    }
    assert_eq!(server.infer("good", &[Tensor::fp32("z", &[1], &[1.0])]).status, 400);
    assert_eq!(server.infer("bad", &[Tensor::fp32("x", &[1], &[1.0])]).status, 500);

    let good = server.statistics("good");
    assert_eq!(good["execution_count"], 3);
    assert_eq!(good["inference_stats"]["success"]["count"], 3);
    assert_eq!(good["inference_stats"]["fail"]["count"], 1);
    assert!(good["inference_stats"]["success"]["ns"].as_u64() > Some(0));
    assert!(good["inference_stats"]["compute_infer"]["ns"].as_u64() > Some(0));
    let last = Duration::from_millis(good["last_inference"].as_u64().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(now.abs_diff(last) < Duration::from_secs(600), "{last:?}");

    let bad = server.statistics("bad");
    assert_eq!(bad["execution_count"], 0);
    assert_eq!(bad["inference_stats"]["fail"]["count"], 1);
}

#[test]
fn every_limit_has_a_counter_that_starts_at_zero() {
    let directory = tempdir().unwrap();
    let server = Serve::new([guests::write(directory.path(), "echoes", "echo")]).start();
    assert_eq!(
        server.limits("echo"),
        json!({
            "memory": 0, "deadline": 0, "instances": 0, "queue": 0, "queue_deadline": 0, "body_bytes": 0, "elements": 0,
            "trap": 0
        })
    );
    assert_eq!(
        server.server_limits(),
        json!({"header_bytes": 0, "header_timeout": 0, "body_bytes": 0, "body_timeout": 0})
    );
}

#[test]
fn the_statistics_of_all_models_are_in_one_list() {
    let directory = tempdir().unwrap();
    for name in ["one", "two"] {
        guests::write(directory.path(), "echoes", name);
    }
    let server = Serve::new([directory.path()]).start();
    let all = server.get("/v2/models/stats").expect(200).json();
    let mut names: Vec<_> = all["model_stats"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["one", "two"]);
    let one = server.get("/v2/models/one/versions/1/stats").expect(200).json();
    assert_eq!(one["model_stats"].as_array().unwrap().len(), 1);
    assert_eq!(one["model_stats"][0]["name"], "one");
}
