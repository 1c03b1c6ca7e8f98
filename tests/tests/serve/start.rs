//! Starting: where it listens, and how one knows that it does.

use std::net::{Ipv4Addr, TcpListener};

use samara_tests::guests;
use samara_tests::samara::{self, assert_says};
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, outputs};
use serde_json::{Value, json};
use tempfile::tempdir;

#[test]
fn a_line_says_where_it_listens_once_it_is_ready() {
    let directory = tempdir().unwrap();
    let server = Serve::new([guests::write(directory.path(), "echoes", "echo")]).start();
    assert_eq!(server.ready_line(), format!("listening on http://{}", server.address()));
    assert_eq!(server.address().ip(), Ipv4Addr::LOCALHOST);
    assert_ne!(server.address().port(), 0);
    let reply = server.infer("echo", &[Tensor::fp32("x", &[2], &[1.5, -2.0])]);
    assert_eq!(outputs(&reply), [Tensor::fp32("y", &[2], &[1.5, -2.0])]);
}

#[test]
fn the_line_in_json_lists_the_models() {
    let directory = tempdir().unwrap();
    let paths = ["one", "two"].map(|name| guests::write(directory.path(), "echoes", name));
    let server = Serve::new(&paths).option("--json").start();
    let line: Value = serde_json::from_str(server.ready_line()).unwrap();
    assert_eq!(line["listen"], server.address().to_string());
    let listed = |path: &Value| std::path::PathBuf::from(path.as_str().unwrap()).canonicalize().unwrap();
    let models = line["models"].as_array().unwrap();
    assert_eq!(models.len(), 2, "{line}");
    for (model, (name, path)) in models.iter().zip(["one", "two"].iter().zip(&paths)) {
        assert_eq!(model["name"], json!(name));
        assert_eq!(model["version"], "1");
        assert_eq!(listed(&model["path"]), path.canonicalize().unwrap());
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "echoes", "echo");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = Serve::on(&address, [path]).fails();
    assert_says(&message, &[&address, "in use"]);
}

/// Two servers on one port would each get half of the requests.
#[test]
fn a_second_server_does_not_share_the_port_of_the_first() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "echoes", "echo");
    let server = Serve::new([&path]).start();
    let address = server.address().to_string();
    assert_says(&Serve::on(&address, [&path]).fails(), &[&address]);
}

#[test]
fn an_address_that_is_none_is_bad_usage() {
    for address in ["nowhere", "127.0.0.1", "127.0.0.1:99999", ":8080:"] {
        let run = samara::run(["serve", "--listen", address]);
        assert_eq!(run.code, Some(2), "{address}: {}", run.stderr);
        assert_says(&run.stderr, &["error: ", "--listen"]);
    }
}

/// A server that cannot be reached from elsewhere, unless that is asked for.
#[test]
fn the_default_address_is_this_machine_s_own() {
    let help = samara::run(["serve", "--help"]).succeeds().stdout;
    assert_says(&help, &["127.0.0.1:8080"]);
}

#[test]
fn limits_that_are_none_are_bad_usage() {
    for option in ["--memory-mib", "--deadline-ms", "--instances", "--workers"] {
        for value in ["0", "-1", "many"] {
            let run = samara::run(["serve", &format!("{option}={value}"), "model.wasm"]);
            assert_eq!(run.code, Some(2), "{option} {value}: {}", run.stderr);
            assert_says(&run.stderr, &["error: ", option]);
        }
    }
}
