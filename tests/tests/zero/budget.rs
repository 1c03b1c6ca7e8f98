//! What is mapped stays within a budget: the models that were used least recently make place for others.

use std::fs;
use std::path::{Path, PathBuf};

use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, outputs};
use samara_tests::{models, onnx};
use tempfile::{TempDir, tempdir};

use super::{eventually, input, mapped, metric};

const NAMES: [&str; 3] = ["twice-a", "twice-b", "twice-c"];

/// Three models, and a server in whose budget there is room for so many of them.
fn serve(room: f64) -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    let paths: Vec<PathBuf> = NAMES
        .iter()
        .map(|name| {
            let path = directory.path().join(format!("{name}.wasm"));
            fs::copy(models::compiled_graph(name, &onnx::twice(), &[]), &path).unwrap();
            path
        })
        .collect();
    let budget = (machine_code_mib(&paths[0]) * room).ceil();
    let server = Serve::new(&paths).option(&format!("--memory-budget-mib {budget}")).start();
    (directory, server)
}

/// How much there is to map of a model.
fn machine_code_mib(path: &Path) -> f64 {
    let server = Serve::new([path]).option("--idle-ttl-ms 100").environment("SAMARA_LOG", "debug").start();
    ask(&server, NAMES[0]);
    let bytes = || server.log().split_once(r#"reason="idle" bytes="#).map(|(_, rest)| rest.to_owned());
    eventually("it is unmapped", || bytes().is_some());
    let bytes: f64 = bytes().unwrap().split_whitespace().next().unwrap().parse().unwrap();
    bytes / f64::from(1 << 20)
}

#[track_caller]
fn ask(server: &Server, name: &str) {
    assert_eq!(outputs(&server.infer(name, &input(2.0))), [Tensor::fp32("y", &[1], &[4.0])]);
}

fn maps(server: &Server, name: &str) -> f64 {
    metric(
        server,
        &format!(
            "samara_cold_start_duration_seconds_count{{function=\"\",model=\"{name}\",step=\"map\",version=\"1\"}}"
        ),
    )
}

#[test]
fn the_model_used_least_recently_makes_place() {
    let (_directory, server) = serve(2.2);
    let [a, b, c] = NAMES;
    for name in [a, b, a, c] {
        ask(&server, name);
    }
    eventually("one is unmapped", || mapped(&server) == 2.0);
    assert_eq!(metric(&server, r#"samara_evictions_total{reason="budget"}"#), 1.0);
    ask(&server, a);
    ask(&server, b);
    assert_eq!([a, b, c].map(|name| maps(&server, name)), [1.0, 2.0, 1.0]);
    eventually("one is unmapped", || mapped(&server) == 2.0);
}

#[test]
fn a_model_that_is_more_than_the_budget_is_served_and_the_log_says_so_once() {
    let (_directory, server) = serve(0.5);
    for _ in 0..3 {
        for name in NAMES {
            ask(&server, name);
            ask(&server, name);
        }
    }
    eventually("one is left", || mapped(&server) == 1.0);
    let log = server.log();
    let told = log.lines().filter(|line| line.contains("more than the memory budget")).count();
    assert!((1..=NAMES.len()).contains(&told), "{log}");
    for name in NAMES {
        assert!(log.matches(&format!("budget model=\"{name}\"")).count() <= 1, "{log}");
    }
}
