//! Every path, and every method that is not for it.

use samara_tests::guests;
use samara_tests::http::{Reply, Request};
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use serde_json::json;
use tempfile::tempdir;

use super::duo;

/// Its length, and that it is JSON.
#[track_caller]
fn assert_whole(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
    assert_eq!(reply.header("transfer-encoding"), None);
}

#[test]
fn the_server_says_what_it_is() {
    let reply = duo().get("/v2").expect(200);
    assert_whole(&reply);
    let json = reply.json();
    assert_eq!(json["name"], "samara");
    assert!(json["version"].as_str().is_some_and(|version| version.contains('.')), "{json}");
    let extensions = json["extensions"].as_array().unwrap();
    for extension in ["binary_tensor_data", "model_configuration", "model_repository", "statistics"] {
        assert!(extensions.contains(&json!(extension)), "{json}");
    }
}

/// Clients read one key or the other.
#[test]
fn health_has_both_keys() {
    let server = duo();
    for path in ["/v2/health/live", "/v2/health/ready"] {
        let reply = server.get(path).expect(200);
        assert_whole(&reply);
        assert_eq!(reply.json(), json!({"live": true, "ready": true}), "{path}");
    }
}

#[test]
fn a_model_says_what_it_takes_and_gives() {
    let server = duo();
    for path in ["/v2/models/duo", "/v2/models/duo/versions/1"] {
        let reply = server.get(path).expect(200);
        assert_whole(&reply);
        let fp32 = |name| json!({"name": name, "datatype": "FP32", "shape": [-1, 2]});
        assert_eq!(
            reply.json(),
            json!({
                "name": "duo",
                "versions": ["1"],
                "platform": "samara_wasm",
                "inputs": [fp32("a"), fp32("b")],
                "outputs": [
                    fp32("sum"),
                    fp32("product"),
                    fp32("quotient"),
                    {"name": "larger", "datatype": "BOOL", "shape": [-1, 2]},
                ],
            })
        );
    }
}

#[test]
fn a_model_says_that_it_is_ready() {
    let server = duo();
    for path in ["/v2/models/duo/ready", "/v2/models/duo/versions/1/ready"] {
        let reply = server.get(path).expect(200);
        assert_whole(&reply);
        assert_eq!(reply.json()["ready"], json!(true));
        assert_eq!(reply.json()["name"], "duo");
    }
}

#[test]
fn a_model_has_a_configuration_in_triton_s_terms() {
    let reply = duo().get("/v2/models/duo/config").expect(200);
    assert_whole(&reply);
    let json = reply.json();
    assert_eq!(json["name"], "duo");
    assert_eq!(json["max_batch_size"], 0);
    assert_eq!(json["input"][0], json!({"name": "a", "data_type": "TYPE_FP32", "dims": [-1, 2]}));
    assert_eq!(json["output"][3], json!({"name": "larger", "data_type": "TYPE_BOOL", "dims": [-1, 2]}));
}

#[test]
fn the_index_lists_the_models() {
    let server = duo();
    for body in ["", "{}", r#"{"ready": true}"#] {
        let reply = server.send(&Request::post("/v2/repository/index", body)).expect(200);
        assert_whole(&reply);
        assert_eq!(reply.json(), json!([{"name": "duo", "version": "1", "state": "READY", "reason": ""}]));
    }
    let reply = server.send(&Request::post("/v2/repository/index", "{\"ready\": 7}")).expect(400);
    assert_says(&reply.error(), &["ready"]);
}

#[test]
fn unknown_models_and_versions_are_named() {
    let server = duo();
    for action in ["", "/ready", "/config", "/stats"] {
        let reply = server.get(&format!("/v2/models/trio{action}")).expect(404);
        assert_says(&reply.error(), &["trio"]);
        let reply = server.get(&format!("/v2/models/duo/versions/7{action}")).expect(404);
        assert_says(&reply.error(), &["7", "duo"]);
    }
    let reply = server.send(&Request::post_json("/v2/models/trio/infer", &json!({"inputs": []}))).expect(404);
    assert_says(&reply.error(), &["trio"]);
    let path = "/v2/models/duo/versions/7/infer";
    let reply = server.send(&Request::post_json(path, &json!({"inputs": []}))).expect(404);
    assert_says(&reply.error(), &["7", "duo"]);
}

#[test]
fn unknown_paths_are_named() {
    let server = duo();
    for path in ["/", "/v1/models/duo", "/v2/modles", "/v2/models/duo/explain", "/v2/models/duo/versions"] {
        let reply = server.get(path).expect(404);
        assert_whole(&reply);
        assert_says(&reply.error(), &[path]);
    }
}

#[test]
fn a_wrong_method_is_told_the_right_one() {
    let server = duo();
    let cases = [
        ("GET", "/v2/models/duo/infer", "POST"),
        ("PUT", "/v2/models/duo/infer", "POST"),
        ("DELETE", "/v2/models/duo", "GET, HEAD"),
        ("POST", "/v2/models/duo", "GET, HEAD"),
        ("POST", "/v2", "GET, HEAD"),
        ("POST", "/v2/health/live", "GET, HEAD"),
        ("GET", "/v2/repository/index", "POST"),
        ("BREW", "/v2", "GET, HEAD"),
    ];
    for (method, path, allowed) in cases {
        let reply = server.send(&Request::new(method, path)).expect(405);
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        assert_says(&reply.error(), &[allowed]);
        assert_whole(&reply);
    }
}

#[test]
fn head_is_get_without_the_body() {
    let server = duo();
    for path in ["/v2/health/live", "/v2/models/duo", "/v2/models/trio"] {
        let (get, head) = (server.get(path), server.send(&Request::new("HEAD", path)));
        assert_eq!(head.status, get.status);
        assert_eq!(head.header("content-length"), get.header("content-length"));
        assert!(head.body.is_empty());
    }
}

/// Without a version, the newest is meant.
#[test]
fn several_versions_of_a_model_are_served() {
    let directory = tempdir().unwrap();
    for version in ["9", "10"] {
        let component = guests::component_of_version("echoes", "echo", version);
        std::fs::write(directory.path().join(format!("{version}.wasm")), component).unwrap();
    }
    let server = Serve::new([directory.path()]).start();
    let infer = |path: &str| {
        let input = json!({"name": "x", "datatype": "FP32", "shape": [1], "data": [1.5]});
        let reply = server.send(&Request::post_json(path, &json!({"inputs": [input]}))).expect(200).json();
        assert_eq!(reply["outputs"][0]["data"], json!([1.5]));
        reply["model_version"].clone()
    };
    assert_eq!(infer("/v2/models/echo/infer"), "10");
    assert_eq!(infer("/v2/models/echo/versions/9/infer"), "9");
    assert_eq!(infer("/v2/models/echo/versions/10/infer"), "10");
}

/// Names are percent-encoded in paths.
#[test]
fn a_name_is_read_as_a_path_spells_it() {
    let directory = tempdir().unwrap();
    let server = Serve::new([guests::write(directory.path(), "echoes", "größe")]).start();
    assert_eq!(server.get("/v2/models/gr%C3%B6%C3%9Fe").expect(200).json()["name"], "größe");
    assert_says(&server.get("/v2/models/%FF").expect(400).error(), &["%FF"]);
}
