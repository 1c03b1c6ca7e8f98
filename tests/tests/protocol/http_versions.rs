//! HTTP/1.1 and HTTP/2 on the same port.

use hyper::Version;
use samara_tests::http::{Client, Request};
use samara_tests::raw::Raw;
use samara_tests::tensor::{Tensor, binary_request, json_request, outputs};

use super::{duo, expected, inputs};

#[test]
fn both_versions_answer_alike() {
    let server = duo();
    let requests = [
        Request::get("/v2"),
        Request::get("/v2/health/ready"),
        Request::get("/v2/models/duo"),
        Request::get("/v2/models/trio"),
        Request::new("DELETE", "/v2/models/duo"),
        Request::post("/v2/repository/index", ""),
        Request::post("/v2/models/duo/infer", "no JSON"),
        json_request("duo", &inputs()),
        binary_request("duo", &inputs()),
    ];
    let mut http1 = Client::http1(server.address());
    let mut http2 = Client::http2(server.address());
    for request in requests {
        let (one, two) = (http1.send(&request), http2.send(&request));
        assert_eq!((one.version, two.version), (Version::HTTP_11, Version::HTTP_2));
        assert_eq!(one.status, two.status, "{request:?}");
        assert_eq!(one.body, two.body, "{request:?}");
        for header in ["content-type", "content-length", "inference-header-content-length", "allow"] {
            assert_eq!(one.header(header), two.header(header), "{request:?}");
        }
    }
}

#[test]
fn a_connection_takes_one_request_after_the_other() {
    let server = duo();
    for mut client in [Client::http1(server.address()), Client::http2(server.address())] {
        for _ in 0..50 {
            assert_eq!(outputs(&client.send(&json_request("duo", &inputs()))), expected());
            // A refusal does not end it.
            assert_eq!(client.send(&Request::get("/v2/nothing")).status, 404);
            assert_eq!(client.send(&Request::post("/v2/models/duo/infer", "{")).status, 400);
        }
    }
}

/// The requests of several threads on one connection each, at the same time.
#[test]
fn many_connections_are_served_at_once() {
    let server = duo();
    let address = server.address();
    let clients: Vec<_> = (0..8)
        .map(|index| {
            std::thread::spawn(move || {
                let mut client = if index % 2 == 0 { Client::http1(address) } else { Client::http2(address) };
                for _ in 0..20 {
                    assert_eq!(outputs(&client.send(&binary_request("duo", &inputs()))), expected());
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

/// Many requests on one connection, each with inputs of its own: none gets another's reply.
#[test]
fn http_2_takes_many_requests_at_once() {
    let server = duo();
    let mut client = Client::http2(server.address());
    let inputs = |index: u16| {
        let (a, b) = (f32::from(index), f32::from(index) + 1.0);
        [Tensor::fp32("a", &[1, 2], &[a, b]), Tensor::fp32("b", &[1, 2], &[1.0, 2.0])]
    };
    let requests: Vec<_> = (0..64).map(|index| json_request("duo", &inputs(index))).collect();
    let replies = client.send_together(&requests);
    assert_eq!(replies.len(), 64);
    for (reply, index) in replies.iter().zip(0_u16..) {
        let a = f32::from(index);
        assert_eq!(outputs(reply)[0], Tensor::fp32("sum", &[1, 2], &[a + 1.0, a + 3.0]));
    }
}

/// An old client, without a `host` and without keeping the connection.
#[test]
fn http_1_0_is_answered() {
    let server = duo();
    let mut raw = Raw::connect(server.address());
    raw.write("GET /v2/health/live HTTP/1.0\r\n\r\n");
    let (status, _, body) = raw.reply().expect("a reply");
    assert_eq!((status, body.as_str()), (200, r#"{"live":true,"ready":true}"#));
    raw.wait_until_closed();
}

/// Two requests at once, before the first is answered.
#[test]
fn requests_may_follow_each_other_closely() {
    let server = duo();
    let mut raw = Raw::connect(server.address());
    raw.write("GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /v2/models/trio HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(raw.reply().expect("a reply").0, 200);
    assert_eq!(raw.reply().expect("another reply").0, 404);
}

#[test]
fn what_is_no_http_is_refused() {
    let server = duo();
    for text in ["\r\n\r\nhello\r\n\r\n", "\0\0\0\0\0\0\0\0\r\n\r\n", "GET\r\n\r\n"] {
        let mut raw = Raw::connect(server.address());
        raw.write(text);
        assert!(raw.reply().is_none_or(|(status, ..)| status == 400), "{text:?}");
    }
    assert_eq!(server.get("/v2/health/live").status, 200);
}
