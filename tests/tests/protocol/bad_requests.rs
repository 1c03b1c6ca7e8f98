//! Requests that do not fit: each is refused with a message that names the input and says what was expected.

use samara_tests::http::Request;
use samara_tests::samara::assert_says;
use samara_tests::server::Server;
use samara_tests::tensor::{Tensor, binary_request, infer_path, json_body, json_request, outputs, with_binary};
use serde_json::{Value, json};

use super::{duo, expected, inputs};

/// A good request with something done to it.
fn changed(change: impl FnOnce(&mut Value)) -> Request {
    let mut body = json_body(&inputs());
    change(&mut body);
    Request::post_json(&infer_path("duo"), &body)
}

/// A good request with its input `a` given as this text.
fn with_a(a: &str) -> Request {
    let b = &json_body(&inputs())["inputs"][1];
    Request::post(&infer_path("duo"), format!(r#"{{"inputs":[{a},{b}]}}"#))
}

#[track_caller]
fn assert_refused(server: &Server, status: u16, request: &Request, texts: &[&str]) {
    let reply = server.send(request);
    assert_eq!(reply.status, status, "{request:?}: {:?}", reply.body);
    assert_says(&reply.error(), texts);
}

#[test]
fn malformed_json() {
    let server = duo();
    let whole = json_body(&inputs()).to_string();
    let texts =
        ["", "{", "no JSON", "[]", "null", "7", "{} {}", "{\"inputs\": [}", &whole[..whole.len() - 1], "\u{fe}"];
    for text in texts {
        let request = Request::post(&infer_path("duo"), text.to_owned());
        let reply = server.send(&request).expect(400);
        assert!(reply.error().contains("JSON") || reply.error().contains("missing"), "{text}: {}", reply.error());
    }
    let latin1 = Request::post(&infer_path("duo"), b"{\"id\": \"gr\xf6\xdfe\"}".to_vec());
    assert_refused(&server, 400, &latin1, &["JSON"]);
    assert_refused(&server, 400, &changed(|body| body["inputs"] = json!("a")), &["JSON"]);
    assert_refused(&server, 400, &changed(|body| body["id"] = json!(7)), &["JSON"]);
}

#[test]
fn a_missing_input() {
    let server = duo();
    let [a, b] = inputs();
    assert_refused(&server, 400, &json_request("duo", &[a]), &["`b`", "missing", "FP32", "[-1,2]"]);
    assert_refused(&server, 400, &json_request("duo", &[b]), &["`a`", "missing", "FP32", "[-1,2]"]);
    assert_refused(&server, 400, &json_request("duo", &[]), &["`a`", "`b`", "missing"]);
    assert_refused(&server, 400, &Request::post(&infer_path("duo"), "{}"), &["`a`", "`b`", "missing"]);
}

#[test]
fn an_unknown_input() {
    let server = duo();
    let request = changed(|body| body["inputs"][0]["name"] = json!("c"));
    assert_refused(&server, 400, &request, &["`c`", "unknown", "`a`", "`b`"]);
    let request = changed(|body| {
        body["inputs"][0].as_object_mut().unwrap().remove("name");
    });
    assert_refused(&server, 400, &request, &["name", "`a`", "`b`"]);
}

#[test]
fn an_input_given_twice() {
    let server = duo();
    let [a, b] = inputs();
    assert_refused(&server, 400, &json_request("duo", &[a.clone(), b.clone(), a.clone()]), &["`a`", "more than once"]);
    assert_refused(&server, 400, &binary_request("duo", &[a.clone(), b, a]), &["`a`", "more than once"]);
}

/// Of two members of one name in an object, neither is meant more than the other.
#[test]
fn a_member_given_twice() {
    let server = duo();
    let request = with_a(r#"{"name":"a","name":"b","datatype":"FP32","shape":[1,2],"data":[1,2]}"#);
    assert_refused(&server, 400, &request, &["name"]);
    let request = with_a(r#"{"name":"a","datatype":"FP32","shape":[1,2],"data":[1,2],"data":[3,4]}"#);
    assert_refused(&server, 400, &request, &["data"]);
}

#[test]
fn a_wrong_shape() {
    let server = duo();
    for shape in [json!([1, 3]), json!([2]), json!([1, 2, 1]), json!([])] {
        let request = changed(|body| body["inputs"][0]["shape"] = shape.clone());
        assert_refused(&server, 400, &request, &["`a`", "[-1,2]", &shape.to_string()]);
    }
    let request = changed(|body| {
        body["inputs"][0].as_object_mut().unwrap().remove("shape");
    });
    assert_refused(&server, 400, &request, &["`a`", "shape", "[-1,2]"]);
}

#[test]
fn a_negative_or_overflowing_shape() {
    let server = duo();
    for shape in ["[-1,2]", "[1,-2]", "[1.5,2]", "[18446744073709551616,2]", "[1e3,2]", "\"1,2\"", "[[1],2]", "null"] {
        let request = with_a(&format!(r#"{{"name":"a","datatype":"FP32","shape":{shape},"data":[1,2]}}"#));
        assert_refused(&server, 400, &request, &["`a`", "shape"]);
    }
    // More elements than 64 bits can count, though each size is within them.
    let request = with_a(r#"{"name":"a","datatype":"FP32","shape":[18446744073709551615,2],"data":[1,2]}"#);
    assert_refused(&server, 400, &request, &["`a`", "18446744073709551615"]);
}

#[test]
fn a_wrong_datatype() {
    let server = duo();
    for datatype in [json!("INT64"), json!("fp32"), json!("FLOAT"), json!(7), json!("")] {
        let request = changed(|body| body["inputs"][0]["datatype"] = datatype.clone());
        assert_refused(&server, 400, &request, &["`a`", "datatype", "FP32"]);
    }
    let request = changed(|body| {
        body["inputs"][0].as_object_mut().unwrap().remove("datatype");
    });
    assert_refused(&server, 400, &request, &["`a`", "datatype", "FP32"]);
}

#[test]
fn an_element_count_that_disagrees_with_the_shape() {
    let server = duo();
    for data in [json!([1]), json!([1, 2, 3]), json!([]), json!([[1], [2]]), json!([[1, 2], [3]]), json!([1, [2]])] {
        let request = changed(|body| body["inputs"][0]["data"] = data.clone());
        assert_refused(&server, 400, &request, &["`a`"]);
    }
    let request = changed(|body| body["inputs"][0]["shape"] = json!([3, 2]));
    assert_refused(&server, 400, &request, &["`a`", "6", "2"]);
    for data in [json!(1), json!("1,2"), json!({"0": 1}), json!(null)] {
        let request = changed(|body| body["inputs"][0]["data"] = data);
        assert_refused(&server, 400, &request, &["`a`"]);
    }
}

#[test]
fn not_a_number_where_json_has_none() {
    let server = duo();
    for element in ["NaN", "Infinity", "-Infinity", "nan", "+1", ".5", "0x10", "1_000", "01"] {
        let request = with_a(&format!(r#"{{"name":"a","datatype":"FP32","shape":[1,2],"data":[1,{element}]}}"#));
        assert_refused(&server, 400, &request, &["JSON"]);
    }
    for element in ["null", "\"NaN\"", "1e999", "true", "{}"] {
        let request = with_a(&format!(r#"{{"name":"a","datatype":"FP32","shape":[1,2],"data":[1,{element}]}}"#));
        assert_refused(&server, 400, &request, &["`a`", "FP32"]);
    }
}

#[test]
fn a_binary_size_that_disagrees() {
    let server = duo();
    let request = |size: Value, data: usize| {
        let input = |name: &str, size: Value| json!({"name": name, "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": size}});
        let json = json!({"inputs": [input("a", json!(8)), input("b", size)]}).to_string();
        with_binary(&infer_path("duo"), &json, &1_f32.to_le_bytes().repeat(5)[..data])
    };
    assert_eq!(server.send(&request(json!(8), 16)).status, 200);
    assert_refused(&server, 400, &request(json!(4), 12), &["`b`", "8", "4"]);
    assert_refused(&server, 400, &request(json!(12), 20), &["`b`", "8", "12"]);
    assert_refused(&server, 400, &request(json!(8), 15), &["`b`", "8", "7"]);
    assert_refused(&server, 400, &request(json!(8), 17), &["1 bytes", "none"]);
    assert_refused(&server, 400, &request(json!(u64::MAX), 16), &["`b`", &u64::MAX.to_string()]);
    for size in [json!(-8), json!("8"), json!(8.5)] {
        assert_refused(&server, 400, &request(size, 16), &["`b`", "parameters"]);
    }
}

#[test]
fn data_twice_or_not_at_all() {
    let server = duo();
    let request = changed(|body| {
        body["inputs"][0].as_object_mut().unwrap().remove("data");
    });
    assert_refused(&server, 400, &request, &["`a`", "data"]);
    let mut body = json_body(&inputs());
    body["inputs"][0]["parameters"] = json!({"binary_data_size": 8});
    let request = with_binary(&infer_path("duo"), &body.to_string(), &[0; 8]);
    assert_refused(&server, 400, &request, &["`a`", "both"]);
}

#[test]
fn binary_data_without_the_header_that_tells_where() {
    let server = duo();
    let request = changed(|body| {
        let input = body["inputs"][0].as_object_mut().unwrap();
        input.remove("data");
        input.insert("parameters".into(), json!({"binary_data_size": 8}));
    });
    assert_refused(&server, 400, &request, &["`a`", "Inference-Header-Content-Length"]);
}

#[test]
fn a_header_length_that_cannot_be() {
    let server = duo();
    let json = json_body(&inputs()).to_string();
    let request = |length: &str| {
        Request::post(&infer_path("duo"), json.clone()).header("inference-header-content-length", length)
    };
    let beyond = (json.len() + 1).to_string();
    assert_refused(
        &server,
        400,
        &request(&beyond),
        &["Inference-Header-Content-Length", &beyond, &json.len().to_string()],
    );
    for length in ["-1", "many", "1.5", "0x10", "99999999999999999999999", "+5"] {
        assert_refused(&server, 400, &request(length), &["Inference-Header-Content-Length", length]);
    }
    let short = (json.len() - 1).to_string();
    assert_refused(&server, 400, &request(&short), &["JSON"]);
    // Bytes alone are one input, and this model has two.
    assert_refused(&server, 400, &request("0"), &["2 inputs"]);
}

#[test]
fn a_wrong_content_type() {
    let server = duo();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"] {
        let request =
            Request::post(&infer_path("duo"), json_body(&inputs()).to_string()).header("content-type", content_type);
        let name = content_type.split(';').next().unwrap();
        assert_refused(&server, 415, &request, &[name, "application/json", "application/octet-stream"]);
    }
    for content_type in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/octet-stream"] {
        let request =
            Request::post(&infer_path("duo"), json_body(&inputs()).to_string()).header("content-type", content_type);
        assert_eq!(outputs(&server.send(&request)), expected(), "{content_type}");
    }
}

#[test]
fn shared_memory_that_is_not_shared() {
    let server = duo();
    let request = changed(|body| {
        let input = body["inputs"][0].as_object_mut().unwrap();
        input.remove("data");
        input.insert("parameters".into(), json!({"shared_memory_region": "mine", "shared_memory_byte_size": 8}));
    });
    assert_refused(&server, 400, &request, &["`a`", "shared memory"]);
}

/// A truth is a byte that is 0 or 1, a text is UTF-8 or at least as long as it says.
#[test]
fn bytes_that_are_no_elements() {
    let server = samara_tests::server::Serve::new([samara_tests::models::twice()]).start();
    for length in [0, 1, 3, 5] {
        let input = Tensor::new("x", "FP32", &[1], vec![0; length]);
        assert_refused(&server, 400, &binary_request("twice", &[input]), &["`x`", "4", &length.to_string()]);
    }
    let raw = Request::post(&infer_path("twice"), vec![0; 7]).header("inference-header-content-length", "0");
    assert_refused(&server, 400, &raw, &["`x`", "7"]);
}
