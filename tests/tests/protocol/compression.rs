//! `gzip` and `deflate`, both ways.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use samara_tests::http::{Reply, Request};
use samara_tests::samara::assert_says;
use samara_tests::tensor::{Tensor, binary_request, json_request, outputs};

use super::{duo, expected, inputs};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What some clients take `deflate` for.
fn bare_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(reply: &Reply) -> Reply {
    let mut body = Vec::new();
    match reply.header("content-encoding") {
        Some("gzip") => GzDecoder::new(&*reply.body).read_to_end(&mut body).unwrap(),
        Some("deflate") => ZlibDecoder::new(&*reply.body).read_to_end(&mut body).unwrap(),
        other => panic!("{other:?} is no coding"),
    };
    Reply { body: body.into(), ..reply.clone() }
}

/// Enough rows that a reply is worth the work.
fn many() -> [Tensor; 2] {
    let rows = 4096_u64;
    let elements: Vec<f32> = (1..=2 * rows).map(|index| index as f32).collect();
    ["a", "b"].map(|name| Tensor::fp32(name, &[rows, 2], &elements))
}

#[test]
fn requests_may_be_packed() {
    let server = duo();
    for request in [json_request("duo", &inputs()), binary_request("duo", &inputs())] {
        let packed = [
            request.clone().coded("gzip", gzip),
            request.clone().coded("x-gzip", gzip),
            request.clone().coded("deflate", deflate),
            request.clone().coded("deflate", bare_deflate),
            request.clone().coded("identity", <[u8]>::to_vec),
        ];
        for packed in packed {
            assert_eq!(outputs(&server.send(&packed)), expected());
        }
    }
}

#[test]
fn replies_are_packed_for_those_who_take_it() {
    let server = duo();
    for request in [json_request("duo", &many()), binary_request("duo", &many())] {
        let plain = server.send(&request);
        assert_eq!(plain.header("content-encoding"), None);
        for coding in ["gzip", "deflate"] {
            let reply = server.send(&request.clone().header("accept-encoding", coding)).expect(200);
            assert_eq!(reply.header("content-encoding"), Some(coding));
            assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
            assert!(reply.body.len() < plain.body.len());
            assert_eq!(outputs(&unpacked(&reply)), outputs(&plain));
        }
    }
}

#[test]
fn the_coding_that_is_preferred_is_taken() {
    let server = duo();
    let request = json_request("duo", &many());
    let cases = [
        ("gzip;q=0.5, deflate", Some("deflate")),
        ("deflate;q=0.5, gzip", Some("gzip")),
        ("br, zstd", None),
        ("gzip;q=0", None),
        ("*", Some("gzip")),
        ("identity", None),
    ];
    for (accepted, coding) in cases {
        let reply = server.send(&request.clone().header("accept-encoding", accepted)).expect(200);
        assert_eq!(reply.header("content-encoding"), coding, "{accepted}");
    }
}

#[test]
fn both_ways_at_once() {
    let server = duo();
    let request = binary_request("duo", &many()).coded("gzip", gzip).header("accept-encoding", "deflate");
    let reply = server.send(&request);
    let plain = server.send(&binary_request("duo", &many()));
    assert_eq!(outputs(&unpacked(&reply)), outputs(&plain));
}

#[test]
fn what_cannot_be_unpacked_is_refused() {
    let server = duo();
    let request = json_request("duo", &inputs());
    let cut = |pack: fn(&[u8]) -> Vec<u8>| {
        move |bytes: &[u8]| {
            let mut packed = pack(bytes);
            packed.truncate(packed.len() / 2);
            packed
        }
    };
    let cases: [(&str, Request); 5] = [
        ("gzip", request.clone().coded("gzip", <[u8]>::to_vec)),
        ("gzip", request.clone().coded("gzip", cut(gzip))),
        ("deflate", request.clone().coded("deflate", <[u8]>::to_vec)),
        ("deflate", request.clone().coded("deflate", cut(deflate))),
        ("gzip", request.clone().coded("gzip", |_| Vec::new())),
    ];
    for (coding, broken) in cases {
        let reply = server.send(&broken).expect(400);
        assert_says(&reply.error(), &[coding]);
    }
}

#[test]
fn an_unknown_coding_is_named_with_those_there_are() {
    let reply = duo().send(&json_request("duo", &inputs()).coded("br", <[u8]>::to_vec)).expect(415);
    assert_says(&reply.error(), &["`br`", "gzip", "deflate"]);
}
