//! The dashboard asks for nothing that there is not.

use std::collections::BTreeSet;

use samara_tests::guests;
use samara_tests::http::Request;
use samara_tests::samara::checkout;
use samara_tests::server::Serve;
use serde_json::Value;
use tempfile::tempdir;

use super::input;

/// The names of metrics in an expression: words that begin as all of ours do.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| ["samara_", "nv_", "process_"].iter().any(|prefix| word.starts_with(prefix)))
}

fn expressions<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if matches!(&**key, "expr" | "query" | "definition") => found.push(text),
                    value => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn every_metric_that_the_dashboard_names_is_there() {
    let path = checkout().join("deploy/grafana/samara.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    let wanted: BTreeSet<&str> = found.iter().flat_map(|expression| names(expression)).collect();
    assert!(wanted.len() >= 12, "{wanted:?}");

    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).start();
    server.infer("good", &input(1.0)).expect(200);
    let text = String::from_utf8(server.send(&Request::get("/metrics")).expect(200).body.to_vec()).unwrap();
    let there: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let missing: Vec<_> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?} of {there:?}");
}
