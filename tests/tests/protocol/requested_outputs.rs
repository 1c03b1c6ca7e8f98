//! `outputs`: which, and in which order.

use samara_tests::http::Request;
use samara_tests::samara::assert_says;
use samara_tests::tensor::{infer_path, json_body, outputs};
use serde_json::{Value, json};

use super::{duo, expected, inputs};

fn request(wanted: &Value) -> Request {
    let mut body = json_body(&inputs());
    body["outputs"] = wanted.clone();
    Request::post_json(&infer_path("duo"), &body)
}

#[test]
fn only_what_was_asked_for_comes_and_in_that_order() {
    let server = duo();
    let [sum, _, quotient, larger] = expected();
    let reply = server.send(&request(&json!([{"name": "larger"}, {"name": "sum"}])));
    assert_eq!(outputs(&reply), [larger, sum]);
    let reply = server.send(&request(&json!([{"name": "quotient"}])));
    assert_eq!(outputs(&reply), [quotient]);
}

#[test]
fn without_a_wish_all_come() {
    let server = duo();
    for wanted in [json!([]), json!(null)] {
        assert_eq!(outputs(&server.send(&request(&wanted))), expected());
    }
}

#[test]
fn an_unknown_output_is_named_with_those_there_are() {
    let reply = duo().send(&request(&json!([{"name": "sum"}, {"name": "difference"}]))).expect(400);
    assert_says(&reply.error(), &["`difference`", "`sum`", "`product`", "`quotient`", "`larger`"]);
}

#[test]
fn an_output_asked_for_twice_is_named() {
    let reply = duo().send(&request(&json!([{"name": "sum"}, {"name": "sum"}]))).expect(400);
    assert_says(&reply.error(), &["`sum`", "more than once"]);
}

#[test]
fn what_cannot_be_given_is_refused() {
    let server = duo();
    for parameters in [json!({"classification": 3}), json!({"shared_memory_region": "mine"})] {
        let reply = server.send(&request(&json!([{"name": "sum", "parameters": parameters}]))).expect(400);
        assert_says(&reply.error(), &["`sum`", "not supported"]);
    }
    let reply = server.send(&request(&json!([{"name": "sum", "parameters": {"binary_data": "yes"}}]))).expect(400);
    assert_says(&reply.error(), &["`sum`", "parameters"]);
}

#[test]
fn a_list_that_is_none_is_refused() {
    let server = duo();
    for wanted in [json!("sum"), json!(["sum"]), json!({"name": "sum"}), json!([7])] {
        server.send(&request(&wanted)).expect(400).error();
    }
}
