//! `samara config check`.

use samara_tests::samara::{self, assert_says, checkout};
use serde_json::json;
use tempfile::tempdir;

#[test]
fn the_example_is_valid() {
    let file = checkout().join("samara.example.toml");
    let told = samara::run(["config", "check", file.to_str().unwrap()]).succeeds().stdout;
    assert_says(&told, &["samara.example.toml", "valid"]);
}

/// As compilers write it, so that editors find the places.
#[test]
fn everything_that_is_wrong_is_named_with_its_place() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("samara.toml");
    std::fs::write(&file, "[node]\nworker = 2\nqueue = \"many\"\n\n[[function]]\nroute = \"/a\"\n").unwrap();
    let file = file.to_str().unwrap();
    let message = samara::run(["config", "check", file]).fails();
    let wanted =
        [":2:1: unknown key \"worker\": did you mean \"workers\"?", ":3:9: ", ":5:1: missing field `component`"];
    for place in wanted {
        assert_says(&message, &[&format!("{file}{place}")]);
    }
    let run = samara::run(["config", "check", "--json", file]);
    assert_eq!(run.code, Some(1));
    let report = run.json();
    assert_eq!(report["valid"], json!(false));
    assert_eq!(report["problems"].as_array().unwrap().len(), 3);
    assert_eq!((&report["problems"][1]["line"], &report["problems"][1]["column"]), (&json!(3), &json!(9)));
}

#[test]
fn a_server_says_the_same_of_its_file() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("samara.toml");
    std::fs::write(&file, "[node]\nworker = 2\n").unwrap();
    let message = samara::run(["serve", "--config", file.to_str().unwrap()]).fails();
    assert_says(&message, &["samara.toml:2:1: unknown key \"worker\": did you mean \"workers\"?"]);
}
