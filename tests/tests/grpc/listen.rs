//! `--grpc-listen`, `SAMARA_GRPC_LISTEN` and `grpc_listen`.

use std::fs;

use samara_tests::guests;
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use serde_json::Value;
use tempfile::tempdir;

use super::{address, input};

#[test]
fn without_it_there_is_none() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--json").start();
    let ready: Value = serde_json::from_str(server.ready_line()).unwrap();
    assert_eq!(ready.get("grpc_listen"), None);
}

#[test]
fn it_is_set_in_a_file_or_in_the_environment() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let file = directory.path().join("samara.toml");
    fs::write(&file, "[node]\npaths = [\".\"]\ngrpc_listen = \"127.0.0.1:0\"\n").unwrap();
    let from_file = Serve::new::<&str>([]).option(&format!("--config {}", file.display())).option("--json").start();
    from_file.grpc().infer("good", &input(1.0)).unwrap();
    let from_environment =
        Serve::new([directory.path()]).option("--json").environment("SAMARA_GRPC_LISTEN", "127.0.0.1:0").start();
    from_environment.grpc().infer("good", &input(1.0)).unwrap();
}

#[test]
fn an_address_that_is_taken_is_told() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).grpc().start();
    let address = address(&server).to_string();
    let message = Serve::new([directory.path()]).option(&format!("--grpc-listen {address}")).fails();
    assert_says(&message, &[&address, "--grpc-listen"]);
}
