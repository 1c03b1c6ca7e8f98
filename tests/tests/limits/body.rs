//! `--max-body-mib`: how large a request may be, as it comes and once it is unpacked.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use samara_tests::guests;
use samara_tests::http::Request;
use samara_tests::process::peak_resident_bytes;
use samara_tests::raw::Raw;
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, binary_request, outputs};
use tempfile::{TempDir, tempdir};

use super::{assert_counted, assert_good};

fn serve() -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--max-body-mib 1").start();
    (directory, server)
}

/// The announcement is enough: not a byte of the body is sent here.
#[test]
fn a_body_announced_too_large_is_refused_unread() {
    let (_directory, server) = serve();
    let mut raw = Raw::connect(server.address());
    raw.write(
        "POST /v2/models/good/infer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 1048577\r\n\r\n",
    );
    let (status, _, body) = raw.reply().expect("a reply");
    assert_eq!(status, 413, "{body}");
    assert_says(&body, &["\"error\"", "1048576", "body"]);
    assert_counted(&server, "good", "body_bytes", 1);
    assert_good(&server);
}

/// Many clients look for a reply only when they have sent everything: they are to find it, not a reset connection.
#[test]
fn a_client_that_sends_all_of_it_gets_the_refusal() {
    let (_directory, server) = serve();
    let mut raw = Raw::connect(server.address());
    let head = format!("POST /v2/models/good/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 12 << 20);
    assert!(raw.write(&head) && raw.write(vec![b' '; 12 << 20]), "the connection broke");
    let (status, _, body) = raw.reply().expect("a reply");
    assert_eq!(status, 413, "{body}");
}

/// A client that waits for leave to send gets its refusal instead.
#[test]
fn a_client_that_asks_before_it_sends_is_told_no() {
    let (_directory, server) = serve();
    let mut raw = Raw::connect(server.address());
    raw.write(
        "POST /v2/models/good/infer HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
         content-length: 999999999\r\n\r\n",
    );
    let (status, _, body) = raw.reply().expect("a reply");
    assert_eq!(status, 413, "{body}");
}

/// Without an announcement, what comes is counted.
#[test]
fn a_body_without_end_is_refused_before_its_end() {
    let (_directory, server) = serve();
    let before = peak_resident_bytes(server.process());
    let mut raw = Raw::connect(server.address());
    let mut writer = raw.again();
    raw.write("POST /v2/models/good/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    // Writes a gibibyte, unless it is stopped.
    let written = std::thread::spawn(move || {
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 1 << 16], b"\r\n"].concat();
        (0..1 << 14).take_while(|_| writer.write(&chunk)).count()
    });
    let (status, _, body) = raw.reply().expect("a reply");
    assert_eq!(status, 413, "{body}");
    drop(raw);
    let chunks = written.join().unwrap();
    assert!(chunks < 1 << 12, "{chunks} chunks of 64 KiB were taken");
    let grown = peak_resident_bytes(server.process()) - before;
    assert!(grown < 64 << 20, "{grown} bytes more than before");
    assert_counted(&server, "good", "body_bytes", 1);
    assert_good(&server);
}

/// A small body can hold a large one.
#[test]
fn a_body_that_unpacks_to_more_is_refused() {
    let (_directory, server) = serve();
    let before = peak_resident_bytes(server.process());
    let zeros = vec![b' '; 64 << 20];
    for (count, (name, coded)) in [("gzip", gzip(&zeros)), ("deflate", deflate(&zeros))].into_iter().enumerate() {
        assert!(coded.len() < 1 << 20);
        let request = Request::post("/v2/models/good/infer", coded)
            .header("content-type", "application/json")
            .header("content-encoding", name);
        let reply = server.send(&request);
        assert_eq!(reply.status, 413, "{name}");
        assert_says(&reply.error(), &["1048576"]);
        assert_counted(&server, "good", "body_bytes", count as u64 + 1);
    }
    let grown = peak_resident_bytes(server.process()) - before;
    assert!(grown < 32 << 20, "{grown} bytes more than before");
    assert_good(&server);
}

#[test]
fn the_largest_body_is_taken() {
    let (_directory, server) = serve();
    // Some bytes less than a mebibyte, with the JSON.
    let elements = (1 << 18) - 100;
    let input = Tensor::fp32("x", &[elements], &vec![1.0; usize::try_from(elements).unwrap()]);
    let reply = server.send(&binary_request("good", std::slice::from_ref(&input)));
    assert_eq!(outputs(&reply)[0].data, input.data);
    assert_counted(&server, "good", "body_bytes", 0);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
