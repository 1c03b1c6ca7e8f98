use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::{Coding, MIN_COMPRESSED_BYTES, compress, decompress};

const MAX: u64 = 1 << 20;

fn compressible() -> Vec<u8> {
    (0..50_000_u32).map(|i| (i / 7 % 251) as u8).collect()
}

fn raw_deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_compressed_decompresses_to_itself() {
    let body = compressible();
    for coding in [Coding::Gzip, Coding::Deflate] {
        let compressed = compress(coding, &body).unwrap();
        assert!(compressed.len() < body.len());
        let back = decompress(Some(coding.name()), &compressed, MAX).unwrap();
        assert_eq!(back, body);
        let upper = coding.name().to_uppercase();
        assert_eq!(decompress(Some(&upper), &compressed, MAX).unwrap(), body);
    }
}

#[test]
fn deflate_without_zlib_wrapping_is_read_too() {
    let body = compressible();
    let stream = raw_deflate(&body);
    assert_eq!(decompress(Some("deflate"), &stream, MAX).unwrap(), body);
}

#[test]
fn gzip_may_have_several_members() {
    let body = compressible();
    let twice = compress(Coding::Gzip, &body).unwrap().repeat(2);
    let back = decompress(Some("gzip"), &twice, MAX).unwrap();
    assert_eq!(back, body.repeat(2));
}

#[test]
fn identity_is_borrowed() {
    for coding in [None, Some(""), Some("identity")] {
        let body = decompress(coding, b"x", MAX).unwrap();
        assert!(matches!(body, std::borrow::Cow::Borrowed(b"x")));
    }
}

#[test]
fn other_codings_are_unsupported_and_named() {
    for coding in ["br", "zstd", "gzip, gzip", "compress"] {
        let error = decompress(Some(coding), b"", MAX).unwrap_err();
        assert_eq!(error.status(), 415);
        assert!(error.message().contains(coding), "{error}");
        assert!(error.message().contains("gzip, deflate"), "{error}");
    }
}

#[test]
fn the_limit_counts_inflated_bytes() {
    let body = compressible();
    let exactly = body.len() as u64;
    let streams = [
        ("identity", body.clone()),
        ("gzip", compress(Coding::Gzip, &body).unwrap()),
        ("deflate", compress(Coding::Deflate, &body).unwrap()),
        ("deflate", raw_deflate(&body)),
    ];
    for (coding, stream) in streams {
        assert!(decompress(Some(coding), &stream, exactly).is_ok());
        for limit in [exactly - 1, 1, 0] {
            let error = decompress(Some(coding), &stream, limit).unwrap_err();
            assert_eq!(error.status(), 413, "{coding} {limit}");
            assert!(error.message().contains(&limit.to_string()), "{error}");
        }
    }
}

#[test]
fn a_bomb_is_stopped_while_it_inflates() {
    let zeros = vec![0; 32 << 20];
    for coding in [Coding::Gzip, Coding::Deflate] {
        let bomb = compress(coding, &zeros).unwrap();
        let error = decompress(Some(coding.name()), &bomb, 4096).unwrap_err();
        assert_eq!(error.status(), 413);
    }
    assert_eq!(super::inflate(&raw_deflate(&zeros), 4096).unwrap().len(), 4097);
}

#[test]
fn broken_and_unfinished_streams_are_bad_requests() {
    let body = compressible();
    for coding in [Coding::Gzip, Coding::Deflate] {
        let stream = compress(coding, &body).unwrap();
        let unfinished = &stream[..stream.len() - 1];
        let mut flipped = stream.clone();
        *flipped.last_mut().unwrap() ^= 0x55;
        let followed = [&stream[..], b"junk"].concat();
        for bad in [unfinished, &flipped, &followed, b"", b"\x78", b"hello"] {
            let error = decompress(Some(coding.name()), bad, MAX).unwrap_err();
            assert_eq!(error.status(), 400, "{coding:?} {}", bad.len());
            assert!(error.message().contains(coding.name()), "{error}");
        }
    }
}

#[test]
fn short_or_incompressible_bodies_are_left_alone() {
    let zeros = [0; MIN_COMPRESSED_BYTES];
    assert_eq!(compress(Coding::Gzip, &zeros[1..]), None);
    assert!(compress(Coding::Gzip, &zeros).is_some());
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(2 * MIN_COMPRESSED_BYTES)
    .collect();
    assert_eq!(compress(Coding::Deflate, &noise), None);
}

#[test]
fn the_client_chooses_the_coding() {
    use Coding::{Deflate, Gzip};
    for (accept, expected) in [
        ("gzip", Some(Gzip)),
        ("deflate", Some(Deflate)),
        ("deflate, gzip", Some(Gzip)),
        ("gzip;q=0.5, deflate;q=0.8", Some(Deflate)),
        ("gzip; q=0.5,deflate ;Q= 0.4", Some(Gzip)),
        ("br, zstd", None),
        ("*", Some(Gzip)),
        ("gzip;q=0, *", Some(Deflate)),
        ("gzip;q=0", None),
        ("gzip;q=0.000", None),
        ("*;q=0", None),
        ("identity", None),
        ("identity, gzip", Some(Gzip)),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0, gzip;q=0.1", Some(Gzip)),
        ("gzip;q=high, deflate;q=0.1", Some(Deflate)),
        ("gzip;q=2", None),
        ("gzip;q=NaN", None),
        ("GZIP", Some(Gzip)),
        ("", None),
        (",;,;q=1,", None),
    ] {
        assert_eq!(Coding::preferred(Some(accept)), expected, "{accept}");
    }
    assert_eq!(Coding::preferred(None), None);
}
