//! Failures, with good requests running beside them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use samara_tests::guests;
use samara_tests::http::{Client, Request};
use samara_tests::models;
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, infer_path, json_request, outputs};
use tempfile::tempdir;

fn input() -> [Tensor; 1] {
    [Tensor::fp32("x", &[3], &[1.0, 2.0, 3.0])]
}

#[test]
fn a_trap_is_answered_and_counted() {
    let directory = tempdir().unwrap();
    for fixture in ["traps", "recurses"] {
        guests::write(directory.path(), fixture, fixture);
    }
    let server = Serve::new([directory.path()]).start();
    for fixture in ["traps", "recurses"] {
        for round in 1..=3 {
            let reply = server.infer(fixture, &input());
            assert_eq!(reply.status, 500, "{:?}", reply.body);
            assert_says(&reply.error(), &["trap"]);
            let limits = server.limits(fixture);
            assert_eq!(limits["trap"], round, "{limits}");
            assert_eq!(limits["deadline"], 0, "{limits}");
            assert_eq!(limits["memory"], 0, "{limits}");
        }
    }
    server.stop();
}

/// Every kind of failure, again and again, while good requests are answered as if there were none.
#[test]
fn failures_do_not_disturb_good_requests() {
    let directory = tempdir().unwrap();
    let failures = [("traps", 500), ("grows", 503), ("recurses", 500), ("loops", 504), ("measures-wrongly", 500)];
    for (fixture, _) in failures {
        guests::write(directory.path(), fixture, fixture);
    }
    guests::write(directory.path(), "takes-long", "slow");
    let server = Serve::new([directory.path(), models::twice().as_path()])
        .option("--memory-mib 64")
        .option("--deadline-ms 2000")
        .option("--workers 3")
        .start();
    let address = server.address();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let good: Vec<_> = ["twice", "slow"]
            .map(|model| {
                let done = &done;
                scope.spawn(move || {
                    let mut client = Client::http1(address);
                    let mut answers = 0;
                    while !done.load(Ordering::Relaxed) || answers < 10 {
                        let factor = if model == "twice" { 2.0 } else { 1.0 };
                        let expected = Tensor::fp32("y", &[3], &[factor, 2.0 * factor, 3.0 * factor]);
                        assert_eq!(outputs(&client.send(&json_request(model, &input()))), [expected]);
                        answers += 1;
                    }
                    answers
                })
            })
            .into();
        let mut client = server.client();
        // The good ones end before this test does, whatever it finds.
        let replies: Vec<_> = failures
            .into_iter()
            .cycle()
            .take(3 * failures.len())
            .map(|(model, status)| (model, status, client.send(&json_request(model, &input()))))
            .collect();
        done.store(true, Ordering::Relaxed);
        for (model, status, reply) in replies {
            assert_eq!(reply.status, status, "{model}: {:?}", reply.body);
        }
        for answers in good {
            assert!(answers.join().unwrap() >= 10);
        }
    });
    for model in ["twice", "slow"] {
        let statistics = server.statistics(model);
        assert_eq!(statistics["inference_stats"]["fail"]["count"], 0, "{statistics}");
    }
    server.stop();
}

/// Nothing that a client sends ends the process: neither JSON that is deep nor names that are long.
#[test]
fn malicious_requests_do_not_disturb_good_ones() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "echo");
    let server = Serve::new([directory.path()]).start();
    let deep = |open: &str, close: &str| [open.repeat(200_000), close.repeat(200_000)].concat();
    let long = "x".repeat(1 << 20);
    let bodies = [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        format!("{{\"inputs\":{}}}", deep("[", "]")),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1],"data":{}}}]}}"#, deep("[", "]")),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":{},"data":[1]}}]}}"#, deep("[", "]")),
        format!(r#"{{"inputs":[{{"name":"{long}","datatype":"FP32","shape":[1],"data":[1]}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"{long}","shape":[1],"data":[1]}}]}}"#),
        format!(r#"{{"inputs":[{}]}}"#, vec![r#"{"name":"x"}"#; 100_000].join(",")),
        "\u{feff}{}".to_owned(),
        "\0\0\0\0".to_owned(),
    ];
    for body in bodies {
        let start: String = body.chars().take(40).collect();
        let reply = server.send(&Request::post(&infer_path("echo"), body).header("content-type", "application/json"));
        assert_eq!(reply.status, 400, "{start}");
        assert!(reply.error().len() < 2000, "{start}: a refusal as long as what it refuses");
    }
    let path = format!("/v2/models/{}", "%2e%2e%2f".repeat(100));
    assert_eq!(server.get(&path).status, 404);
    assert_eq!(outputs(&server.infer("echo", &input())), [Tensor::fp32("y", &[3], &[1.0, 2.0, 3.0])]);
    server.stop();
}
