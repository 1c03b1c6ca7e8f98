//! Instances that answer several requests.

use std::fs;

use samara_tests::guests::{write_handler, write_handler_0_3};
use samara_tests::samara::{self, assert_says};
use samara_tests::server::{Serve, Server};
use serde_json::Value;
use tempfile::tempdir;

use crate::text;

/// The status codes of so many requests, one after another.
fn statuses(server: &Server, count: usize) -> Vec<u16> {
    (0..count).map(|_| server.get("/counts").status).collect()
}

#[test]
fn an_instance_answers_one_request() {
    let directory = tempdir().unwrap();
    let function = write_handler_0_3(directory.path(), "counts");
    let server = Serve::functions(&["--function", text(&function)]).start();
    assert_eq!(statuses(&server, 4), [200; 4]);
}

#[test]
fn an_instance_answers_as_many_as_it_may() {
    let directory = tempdir().unwrap();
    let function = write_handler_0_3(directory.path(), "counts");
    let server = Serve::functions(&["--function", text(&function), "--reuse", "2", "--workers", "1"]).start();
    assert_eq!(statuses(&server, 5), [200, 201, 200, 201, 200]);
}

#[test]
fn an_instance_that_failed_answers_no_more() {
    let directory = tempdir().unwrap();
    write_handler_0_3(directory.path(), "counts");
    let file = directory.path().join("samara.toml");
    fs::write(&file, "[[function]]\ncomponent = \"counts.wasm\"\nreuse = 100\n").unwrap();
    let server = Serve::functions(&["--config", text(&file), "--json", "--workers", "1"]).start();
    let ready: Value = serde_json::from_str(server.ready_line()).unwrap();
    assert_eq!(ready["functions"][0]["reuse"], 100);
    assert_eq!(statuses(&server, 5), [200, 201, 500, 200, 201]);
}

#[test]
fn instances_that_wait_make_place_for_others() {
    // One instance may run, and one worker has two places more: three functions that wait take all of them.
    let directory = tempdir().unwrap();
    let path = write_handler_0_3(directory.path(), "counts");
    let mut options = vec!["--instances", "1", "--workers", "1"];
    for route in ["/a", "/b", "/c", "/d", "/counts"] {
        options.extend(["--function", text(&path), "--route", route, "--reuse", "2"]);
    }
    let server = Serve::functions(&options).start();
    for route in ["/a", "/b", "/c", "/d"] {
        assert_eq!(server.get(route).status, 200, "{route}");
    }
    assert_eq!(statuses(&server, 2), [200, 201]);
    // The first had to go; the last waited.
    assert_eq!((server.get("/d").status, server.get("/a").status), (201, 200));
}

#[test]
fn what_cannot_be_reused_is_refused() {
    let directory = tempdir().unwrap();
    let function = write_handler(directory.path(), "says-nothing");
    let message = Serve::functions(&["--function", text(&function), "--reuse", "2"]).fails();
    assert_says(&message, &["says-nothing.wasm", "2 requests", "wasi:http/handler@0.3"]);
    let run = samara::run(["serve", "--function", text(&function), "--reuse", "0"]);
    assert_eq!(run.code, Some(2));
    assert_says(&run.stderr, &["--reuse"]);
}
