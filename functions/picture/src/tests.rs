use std::path::{Path, PathBuf};

use super::*;

/// The beginning of a PNG: its header for a picture of this extent, bit depth and colour type, and nothing of its pixels.
fn png_header(width: u32, height: u32, depth: u8, color_type: u8) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([depth, color_type, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    file.extend(&chunk);
    file.extend(crc32(&chunk).to_be_bytes());
    file
}

/// The checksum of ISO 3309, which PNG's chunks end with.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(testdata(name)).unwrap()
}

fn status(file: &[u8]) -> u16 {
    Picture::decode(file).unwrap_err().status()
}

/// The largest and the mean difference between what is decoded here and what Pillow decodes.
fn difference_to_pillow(name: &str) -> (u8, f64) {
    let ours = Picture::decode(&file(name)).unwrap();
    let pillows = Picture::decode(&file(&format!("{name}.rgb.png"))).unwrap();
    assert_eq!((ours.width, ours.height), (pillows.width, pillows.height), "{name}");
    let differences = ours.pixels.iter().zip(&pillows.pixels).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = differences.clone().map(f64::from).sum();
    (differences.max().unwrap(), sum / ours.pixels.len() as f64)
}

#[test]
fn lossless_pictures_are_what_pillow_sees() {
    for name in [
        "rgb.png",
        "turned.png",
        "alpha.png",
        "grey-alpha.png",
        "bilevel.png",
        "palette.png",
        "palette-transparent.png",
        "lossless.webp",
        "turned.webp",
        "animated.webp",
    ] {
        assert_eq!(difference_to_pillow(name).0, 0, "{name}");
    }
}

#[test]
fn lossy_pictures_are_nearly_what_pillow_sees() {
    for (name, most, mean) in [
        ("444.jpg", 3, 0.5),
        ("turned.jpg", 3, 0.5),
        ("grey.jpg", 1, 0.2),
        ("cmyk.jpg", 4, 0.7),
        ("420.jpg", 12, 1.0),
        ("progressive.jpg", 12, 1.0),
        ("restart.jpg", 12, 1.0),
        ("lossy.webp", 3, 0.5),
        ("alpha.webp", 3, 0.5),
    ] {
        let found = difference_to_pillow(name);
        assert!(found.0 <= most && found.1 <= mean, "{name}: {found:?}");
    }
}

#[test]
fn what_is_cut_off_is_refused() {
    let names = ["444.jpg", "420.jpg", "progressive.jpg", "restart.jpg", "cmyk.jpg", "grey.jpg", "rgb.png"];
    for name in names.into_iter().chain(["palette.png", "lossy.webp", "lossless.webp", "alpha.webp"]) {
        let whole = file(name);
        for length in (1..20).map(|part| whole.len() * part / 20) {
            assert_eq!(status(&whole[..length]), 422, "{name}, {length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn any_changed_byte_is_survived() {
    for name in ["420.jpg", "progressive.jpg", "cmyk.jpg", "palette.png", "lossy.webp", "lossless.webp", "turned.jpg"] {
        let whole = file(name);
        for index in 0..whole.len() {
            for change in [0xff, 0x01] {
                let mut changed = whole.clone();
                changed[index] ^= change;
                if let Err(problem) = Picture::decode(&changed) {
                    assert!([413, 422].contains(&problem.status()), "{name}, byte {index}: {problem}");
                }
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    // Nothing follows the header, so that only the extent can be the reason.
    let problem = Picture::decode(&png_header(30_000, 30_000, 8, 2)).unwrap_err();
    assert_eq!(problem.status(), 413);
    assert_eq!(problem.detail(), "the picture is 30000 x 30000 pixels, where at most 50 megapixels are taken");
    assert_eq!(status(&png_header(10_000, 5_001, 1, 0)), 413);
    assert_eq!(status(&png_header(10_000, 5_000, 1, 0)), 422);
    assert_eq!(status(&png_header(0x7fff_ffff, 0x7fff_ffff, 8, 2)), 413);
    assert_eq!(status(&png_header(0, 5, 8, 2)), 422);

    // A JPEG's frame header: precision, height, width.
    let mut jpeg = file("444.jpg");
    let frame = jpeg.windows(2).position(|marker| marker == b"\xff\xc0").unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    assert_eq!(status(&jpeg), 413);

    // A VP8L's header: 14 bits of width - 1, 14 bits of height - 1.
    let mut webp = file("lossless.webp");
    let header = webp.windows(4).position(|name| name == b"VP8L").unwrap() + 9;
    webp[header..header + 4].copy_from_slice(&(9_999_u32 | 9_999 << 14).to_le_bytes());
    assert_eq!(status(&webp), 413);
}

#[test]
fn grey_with_16_bits_is_refused() {
    let problem = Picture::decode(&png_header(2, 2, 16, 0)).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "422 Unprocessable content: the picture is a PNG in grey with 16 bits, where 8 bits are taken"
    );
}

#[test]
fn what_is_no_picture_is_refused() {
    for file in [&b"GIF89a"[..], b"hello", b"RIFF\0\0\0\0WAVEfmt "] {
        assert_eq!(status(file), 422, "{file:?}");
    }
}

#[test]
fn requests_are_read() {
    use base64::Engine;

    let png = file("rgb.png");
    let picture = Picture::decode(&png).unwrap();
    assert_eq!((picture.width(), picture.height(), picture.pixels().len()), (45, 30, 45 * 30 * 3));
    // What it is, its first bytes say.
    assert_eq!(Picture::of(&Request::post("/", "image/jpeg", png.clone())), Ok(picture.clone()));
    let text = base64::engine::general_purpose::STANDARD.encode(&png);
    let json = serde_json::json!({ "image": text }).to_string();
    assert_eq!(Picture::of(&Request::post("/", "application/json", json)), Ok(picture));

    for (content_type, body, status) in [
        ("application/json", "{\"image\": \"*\"}", 400),
        ("application/json", "{\"image\": \"\"}", 400),
        ("application/json", "{\"picture\": \"\"}", 400),
        ("application/json", "{\"image\": 3}", 400),
        ("application/json", "{\"image\": \"aGVsbG8=\"}", 422),
        ("image/png", "", 400),
        ("image/gif", "GIF89a", 415),
    ] {
        assert_eq!(Picture::of(&Request::post("/", content_type, body)).unwrap_err().status(), status, "{body}");
    }
}
