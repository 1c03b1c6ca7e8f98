//! The log, and the ids of requests in it.

use samara_tests::guests;
use samara_tests::http::Request;
use samara_tests::server::Serve;
use samara_tests::tensor::json_request;
use serde_json::Value;
use tempfile::tempdir;

use super::input;

#[test]
fn a_request_has_an_id_its_clients_or_a_new_one() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).start();
    let id = |request: Request| server.send(&request).header("x-request-id").unwrap().to_owned();
    assert_eq!(id(json_request("good", &input(1.0)).header("x-request-id", "abc-1")), "abc-1");
    assert_eq!(id(Request::get("/nowhere").header("x-request-id", "abc-2")), "abc-2");
    let made =
        [id(Request::get("/v2")), id(Request::get("/v2")), id(Request::get("/v2").header("x-request-id", "a b"))];
    for id in &made {
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    assert!(made[0] != made[1] && made[1] != made[2]);
}

#[test]
fn the_log_names_the_request_that_failed() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "traps", "bad");
    let server = Serve::new([directory.path()]).start();
    server.send(&json_request("bad", &input(1.0)).header("x-request-id", "the-bad-one")).expect(500);
    server.logs(&["an inference failed", "request_id=the-bad-one"]);
    // Requests are logged only where that is asked for.
    assert!(!server.log().contains("status="), "{}", server.log());
}

#[test]
fn each_request_is_logged_as_an_object_where_that_is_asked_for() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--log-format json").option("--log-requests").start();
    server.send(&json_request("good", &input(1.0)).header("x-request-id", "first")).expect(200);
    server.send(&Request::post("/v2/models/good/infer", "nonsense").header("x-request-id", "second")).expect(400);
    server.logs(&["second"]);
    let log = server.log();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let of = |id: &str| lines.iter().find(|line| line["request_id"] == id).unwrap_or_else(|| panic!("{id}: {log}"));
    let first = of("first");
    assert_eq!(
        (&first["method"], &first["status"], &first["outcome"]),
        (&"POST".into(), &200.into(), &"success".into())
    );
    assert_eq!(first["path"], "/v2/models/good/infer");
    assert!(first["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(of("second")["outcome"], "invalid");
}
