//! `--max-header-kib`: how large the head of a request may be.

use samara_tests::guests;
use samara_tests::http::{Client, Request};
use samara_tests::raw::Raw;
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use tempfile::{TempDir, tempdir};

use super::assert_good;

fn serve() -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--max-header-kib 8").start();
    (directory, server)
}

#[test]
fn a_header_that_is_too_large_is_refused_and_counted() {
    let (_directory, server) = serve();
    let request = Request::get("/v2").header("x-padding", &"x".repeat(20 << 10));
    let reply = server.send(&request);
    assert_eq!(reply.status, 431);
    assert_eq!(server.server_limits()["header_bytes"], 1);
    assert_good(&server);
}

#[test]
fn many_headers_that_are_too_large_together_are_refused() {
    let (_directory, server) = serve();
    let mut request = Request::get("/v2");
    for number in 0..80 {
        request = request.header(&format!("x-{number}"), &"x".repeat(200));
    }
    assert_eq!(server.send(&request).status, 431);
    assert_eq!(server.server_limits()["header_bytes"], 1);
}

/// A head without end is not read to its end.
#[test]
fn a_head_without_end_is_refused_before_its_end() {
    let (_directory, server) = serve();
    let mut raw = Raw::connect(server.address());
    let mut writer = raw.again();
    let written = std::thread::spawn(move || {
        if !writer.write("GET /v2 HTTP/1.1\r\nhost: x\r\nx-endless: ") {
            return 0;
        }
        (0..1 << 14).take_while(|_| writer.write([b'x'; 1 << 14])).count()
    });
    let refusal = raw.reply();
    assert!(refusal.is_none_or(|(status, ..)| status == 431));
    drop(raw);
    assert!(written.join().unwrap() < 1 << 12);
    assert_good(&server);
}

#[test]
fn http_2_has_the_limit_too() {
    let (_directory, server) = serve();
    let mut client = Client::http2(server.address());
    let request = Request::get("/v2").header("x-padding", &"x".repeat(20 << 10));
    // The limit is announced, so that a client may keep to it by itself and send nothing.
    if let Ok(reply) = client.try_send(&request) {
        assert_eq!(reply.status, 431);
    }
    assert_eq!(Client::http2(server.address()).send(&Request::get("/v2")).status, 200);
}

#[test]
fn a_header_of_ordinary_size_is_taken() {
    let (_directory, server) = serve();
    let request = Request::get("/v2").header("x-padding", &"x".repeat(4 << 10));
    assert_eq!(server.send(&request).status, 200);
    assert_eq!(server.server_limits()["header_bytes"], 0);
}

/// A refusal of a head is as good a refusal as any.
#[test]
fn a_refused_head_says_why() {
    let (_directory, server) = serve();
    let request = Request::get("/v2").header("x-padding", &"x".repeat(20 << 10));
    let reply = server.send(&request).expect(431);
    assert_says(&reply.error(), &["header"]);
}
