//! Limits are those of HTTP.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use samara_grpc::inference::{ModelInferRequest, ModelInferResponse};
use samara_tests::grpc::{INFER, STREAM_INFER, raw};
use samara_tests::raw::Raw;
use samara_tests::samara::assert_says;
use samara_tests::server::Server;
use samara_tests::tensor::Tensor;
use tonic::{Code, Request};

use super::{address, input, serve};

fn floats(count: usize) -> [Tensor; 1] {
    [Tensor::fp32("x", &[count as u64], &vec![1.0; count])]
}

#[test]
fn a_message_over_the_limit_is_refused_and_counted() {
    let (_directory, server) = serve(&["--max-body-mib 1"]);
    let client = server.grpc();
    for _ in 0..2 {
        let status = client.infer("good", &floats((1 << 20) / 4)).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert_says(status.message(), &["larger than the 1048576 bytes"]);
    }
    assert_eq!(server.server_limits()["body_bytes"], 2);
    // The connection goes on, and what is below the limit is answered.
    let below = floats((1 << 20) / 4 - 100);
    assert_eq!(client.infer("good", &below).unwrap()[0].data, below[0].data);
}

#[test]
fn large_messages_go_in_and_out() {
    let (_directory, server) = serve(&[]);
    let large = floats(4 << 20);
    assert_eq!(server.grpc().infer("good", &large).unwrap()[0].data, large[0].data);
}

#[test]
fn a_tensor_of_too_many_elements_is_refused_and_counted() {
    let (_directory, server) = serve(&["--max-elements 100"]);
    let client = server.grpc();
    let status = client.infer("good", &floats(101)).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_says(status.message(), &["input `x`", "101 elements", "at most 100"]);
    assert_eq!(server.limits("good")["elements"], 1);
    client.infer("good", &floats(100)).unwrap();
}

#[test]
fn metadata_over_the_limit_is_refused_and_counted() {
    let (_directory, server) = serve(&["--max-header-kib 8"]);
    let client = server.grpc();
    let mut request = Request::new(raw("good", &input(1.0)));
    request.metadata_mut().insert("x-large", "x".repeat(10_000).parse().unwrap());
    let status = client.call_with::<_, ModelInferResponse>(INFER, request).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_says(status.message(), &["expected at most 8192"]);
    assert_eq!(server.server_limits()["header_bytes"], 1);
}

/// Fields of two bytes, of which each would be a hundred in memory.
#[test]
fn a_message_of_many_fields_is_refused() {
    let (_directory, server) = serve(&[]);
    let request = ModelInferRequest { inputs: vec![Default::default(); 1 << 20], ..Default::default() };
    let status = server.grpc().call::<_, ModelInferResponse>(INFER, request).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_says(status.message(), &["more than 4096 fields"]);
}

/// The head of a message comes, and nothing more: the same for one that is the only one, and for one of a stream.
#[test]
fn a_message_that_stops_coming_is_given_up() {
    let (_directory, server) = serve(&["--body-timeout-ms 700"]);
    for (count, method) in [INFER, STREAM_INFER].into_iter().enumerate() {
        let start = Instant::now();
        let raw = half_a_message(&server, method);
        while server.server_limits()["body_timeout"] != count + 1 {
            assert!(start.elapsed() < Duration::from_secs(15), "it is not given up");
            thread::sleep(Duration::from_millis(50));
        }
        assert!(start.elapsed() > Duration::from_millis(500));
        drop(raw);
    }
    server.grpc().infer("good", &input(1.0)).unwrap();
}

/// HTTP/2 by hand: the preface, no settings, one request whose headers are literals, and the first bytes of a message.
fn half_a_message(server: &Server, method: &str) -> Raw {
    let mut block = vec![];
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name.as_bytes());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let mut raw = Raw::connect(address(server));
    raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    raw.write(frame(4, 0, 0, &[]));
    raw.write(frame(1, 4, 1, &block));
    raw.write(frame(0, 0, 1, &[0, 0, 0, 0, 100]));
    raw
}

/// A connection that asks for nothing is closed, as for HTTP.
#[test]
fn a_connection_that_asks_for_nothing_is_given_up() {
    use std::io::Read;

    let (_directory, server) = serve(&["--header-timeout-ms 500"]);
    let mut idle = TcpStream::connect(address(&server)).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut nothing = [0; 1024];
    while idle.read(&mut nothing).unwrap() > 0 {}
    assert_eq!(server.server_limits()["header_timeout"], 1);
}
