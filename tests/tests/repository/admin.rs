//! Admin calls, and who may make them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use samara_tests::guests;
use samara_tests::http::{Client, Request};
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::json_request;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{Node, POLL, input, put, to_version, versions};

const NEVER: &str = "--repository-poll-ms 0";

#[test]
fn models_are_loaded_and_unloaded_by_calls() {
    let node = Node::start(versions(&["1", "2"]), &[NEVER]);
    put(node.path(), "m/3/model.wasm", &guests::component("echoes", "m"));
    put(node.path(), "flat.wasm", &guests::component("echoes", "other"));
    assert_eq!(node.version("m"), "2");
    let loaded = node.call("POST", "m/load", &json!({})).expect(200).json();
    assert_eq!(loaded[2], json!({"name": "m", "version": "3", "state": "READY", "reason": ""}));
    assert_eq!(node.version("m"), "3");
    // Nobody asked for that one.
    node.server.infer("other", &input(1.0)).expect(503);
    node.call("POST", "other/load", &Value::Null).expect(200);
    node.server.infer("other", &input(1.0)).expect(200);

    let version = json!({"parameters": {"version": "3"}});
    node.call("POST", "m/unload", &version).expect(200);
    node.wait_for("m", "3", "UNAVAILABLE", "unloaded");
    assert_eq!(node.version("m"), "2");
    node.server.send(&to_version("m", "3")).expect(503);
    node.call("POST", "m/unload", &json!({"parameters": {"unload_dependents": true}})).expect(200);
    assert_says(&node.server.infer("m", &input(1.0)).expect(503).error(), &["\"m\"", "not loaded"]);
    node.server.get("/v2/models/m/ready").expect(503);
    node.call("POST", "m/load", &version).expect(200);
    assert_eq!(node.version("m"), "3");
    node.server.send(&to_version("m", "1")).expect(503);
    node.call("POST", "m/load", &Value::Null).expect(200);
    node.server.send(&to_version("m", "1")).expect(200);
    node.server.stop();
}

/// Whoever asks meanwhile is answered, or told that the model is not loaded; and it comes back to its lane and its counts.
#[test]
fn a_model_that_is_unloaded_and_loaded_again_loses_no_request() {
    let node = Node::start(versions(&["1"]), &[POLL]);
    let (address, stop) = (node.server.address(), AtomicBool::new(false));
    let (answered, refused) = thread::scope(|scope| {
        let client = || {
            let mut client = Client::http1(address);
            let mut counts = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                match client.send(&json_request("m", &input(1.0))).status {
                    200 => counts.0 += 1,
                    503 => counts.1 += 1,
                    other => panic!("{other}"),
                }
            }
            counts
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for _ in 0..20 {
            node.call("POST", "m/unload", &Value::Null).expect(200);
            node.call("POST", "m/load", &Value::Null).expect(200);
            node.server.infer("m", &input(1.0)).expect(200);
        }
        stop.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1))
    });
    assert!(answered > 0, "{answered} answered, {refused} refused");
    let successes = node.metric("samara_requests_total{function=\"\",model=\"m\",outcome=\"success\",version=\"1\"}");
    assert_eq!(successes, Some(f64::from(answered + 20)));
    assert_eq!(node.metric("nv_inference_request_success{model=\"m\",version=\"1\"}"), successes);
}

#[test]
fn what_cannot_be_done_is_told() {
    let node = Node::start(versions(&["1"]), &[NEVER]);
    for path in ["absent/load", "absent/unload", "absent/rollback"] {
        assert_says(&node.call("POST", path, &Value::Null).expect(404).error(), &["\"absent\"", "\"m\""]);
    }
    for path in ["m/load", "m/unload"] {
        let reply = node.call("POST", path, &json!({"parameters": {"version": "9"}})).expect(404);
        assert_says(&reply.error(), &["\"9\"", "there is \"1\""]);
        let reply = node.call("POST", path, &json!({"parameters": {"config": "{}"}})).expect(400);
        assert_says(&reply.error(), &["\"config\"", "version"]);
    }
    assert_eq!(node.call("GET", "m/load", &Value::Null).expect(405).header("allow"), Some("POST"));
    node.call("POST", "m/frob", &Value::Null).expect(404);
    put(node.path(), "m/2/model.wasm", b"no component");
    let reply = node.call("POST", "m/load", &Value::Null).expect(400);
    assert_says(&reply.error(), &["version \"2\"", "m/2/model.wasm", "component"]);
    assert_eq!(node.version("m"), "1");
}

/// Its file is there, and looked at; but somebody has said that it is not to be served.
#[test]
fn what_was_unloaded_stays_so_until_it_is_loaded() {
    let node = Node::start(versions(&["1"]), &[POLL]);
    node.call("POST", "m/unload", &Value::Null).expect(200);
    put(node.path(), "m/2/model.wasm", &guests::component("echoes", "m"));
    put(node.path(), "m/1/model.wasm", &guests::component("refuses", "m"));
    put(node.path(), "sign.wasm", &guests::component("echoes", "sign"));
    node.wait_for("sign", "1", "READY", "");
    node.server.infer("m", &input(1.0)).expect(503);
    node.call("POST", "m/load", &Value::Null).expect(200);
    assert_eq!(node.version("m"), "2");
    assert_says(&node.server.send(&to_version("m", "1")).expect(400).error(), &["not to my taste"]);
}

#[test]
fn the_inference_listener_takes_no_admin_calls_and_the_admin_listener_no_inferences() {
    let node = Node::start(versions(&["1"]), &[NEVER]);
    for path in ["m/load", "m/unload", "m/split", "m/rollback"] {
        let reply = node.server.send(&Request::post(&format!("/v2/repository/models/{path}"), "")).expect(404);
        assert_says(&reply.error(), &["admin", "admin_listen"]);
    }
    assert_eq!(node.version("m"), "1");
    let mut admin = Client::http1(node.admin);
    admin.send(&to_version("m", "1")).expect(404);
    let index = admin.send(&Request::post("/v2/repository/index", "")).expect(200).json();
    assert_eq!(index[0]["state"], "READY");
    assert_eq!(admin.send(&Request::get("/v2/models/m")).expect(200).json()["name"], "m");
    admin.send(&Request::get("/v2/health/ready")).expect(200);
    // A web page can make a browser of the operator's send this.
    let call = Request::post("/v2/repository/models/m/unload", "").header("origin", "https://example.com");
    admin.send(&call).expect(403);
    assert_eq!(node.version("m"), "1");
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let directory = versions(&["1"]);
    let token = directory.path().join("token");
    fs::write(&token, "s3cret\n").unwrap();
    let option = format!("--admin-token-file {}", token.display());
    let node = Node::start(directory, &[NEVER, &option]);
    let load = || Request::post("/v2/repository/models/m/load", "");
    let mut admin = Client::http1(node.admin);
    for request in [load(), load().header("authorization", "Bearer other"), Request::get("/v2/models/m")] {
        let reply = admin.send(&request).expect(401);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert_says(&reply.error(), &["token"]);
    }
    admin.send(&load().header("authorization", "Bearer s3cret")).expect(200);
    // Another one takes effect when the configuration is read again.
    fs::write(&token, "changed").unwrap();
    node.server.signal(Signal::HUP);
    while admin.send(&load().header("authorization", "Bearer changed")).status != 200 {
        thread::sleep(Duration::from_millis(20));
    }
    admin.send(&load().header("authorization", "Bearer s3cret")).expect(401);
}

#[test]
fn other_machines_need_a_token() {
    let directory = versions(&["1"]);
    let serve = || Serve::new([directory.path()]).option("--admin-listen 0.0.0.0:0");
    assert_says(&serve().fails(), &["0.0.0.0:0", "admin_token_file"]);
    let token = directory.path().join("token");
    fs::write(&token, " \n").unwrap();
    let option = format!("--admin-token-file {}", token.display());
    assert_says(&serve().option(&option).fails(), &["token", "holds no token"]);
    fs::write(&token, "s3cret").unwrap();
    serve().option(&option).start().stop();
}

#[test]
fn a_socket_is_its_owners_alone() {
    let directory = versions(&["1"]);
    let run = tempdir().unwrap();
    let socket = run.path().join("admin.sock");
    let serve = || Serve::new([directory.path()]).option(&format!("--admin-listen unix:{}", socket.display()));
    let server = serve().start();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).unwrap();
    let call =
        "POST /v2/repository/models/m/unload HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(call.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    server.infer("m", &input(1.0)).expect(503);
    // One that is in use is not taken away, and one that is left over is no hindrance.
    assert_says(&serve().fails(), &["admin.sock", "another process"]);
    server.signal(Signal::KILL);
    while UnixStream::connect(&socket).is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(socket.exists());
    let server = serve().start();
    UnixStream::connect(&socket).unwrap();
    server.stop();
    assert!(!socket.exists());
}
