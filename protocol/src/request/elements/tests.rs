use super::read;
use crate::Datatype::{self, *};

fn bytes(datatype: Datatype, shape: &[u64], json: &str) -> Result<Vec<u8>, String> {
    read(datatype, shape, shape.iter().product(), json)
}

#[track_caller]
fn refused(datatype: Datatype, shape: &[u64], json: &str, expected: &str) {
    let message = bytes(datatype, shape, json).unwrap_err();
    assert!(message.contains(expected), "{message}");
}

#[test]
fn each_datatype_has_its_bytes() {
    for (datatype, json, expected) in [
        (Bool, "[true, false]", &[1, 0][..]),
        (Uint8, "[0,255]", &[0, 255]),
        (Uint16, "[1,65535]", &[1, 0, 255, 255]),
        (Uint32, "[1,4294967295]", &[1, 0, 0, 0, 255, 255, 255, 255]),
        (Int8, "[-128,127]", &[128, 127]),
        (Int16, "[-32768,-1]", &[0, 128, 255, 255]),
        (Int32, "[-2147483648,-0]", &[0, 0, 0, 128, 0, 0, 0, 0]),
        (Fp16, "[1,-65504]", &[0, 0x3c, 0xff, 0xfb]),
        (Fp32, "[1,-2.5e0]", &[0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]),
        (Bytes, r#"["a",""]"#, &[1, 0, 0, 0, b'a', 0, 0, 0, 0]),
    ] {
        assert_eq!(bytes(datatype, &[2], json).unwrap(), expected, "{datatype}");
    }
    let wide = [u64::MAX, 1].map(u64::to_le_bytes).concat();
    assert_eq!(bytes(Uint64, &[2], "[18446744073709551615,1]"), Ok(wide));
    let wide = [i64::MIN, i64::MAX].map(i64::to_le_bytes).concat();
    let json = "[-9223372036854775808,9223372036854775807]";
    assert_eq!(bytes(Int64, &[2], json), Ok(wide));
    let wide = [0.1_f64, 1e-320].map(f64::to_le_bytes).concat();
    assert_eq!(bytes(Fp64, &[2], "[0.1,1e-320]"), Ok(wide));
}

#[test]
fn decimal_fractions_are_rounded_once() {
    // Halfway between two binary32 but for its last digit, which a binary64 between would lose.
    let json = "[1.00000005960464477540]";
    let expected = 1.0_f32.next_up().to_le_bytes().to_vec();
    assert_eq!(bytes(Fp32, &[1], json), Ok(expected));
}

#[test]
fn strings_are_unescaped() {
    let json = r#"["\"\\","\u00e9\ud83d\ude00","a,]b"]"#;
    let data = bytes(Bytes, &[3], json).unwrap();
    let elements: Result<Vec<_>, _> = crate::bytes_elements(&data).collect();
    assert_eq!(elements.unwrap(), [&br#""\"#[..], "é😀".as_bytes(), b"a,]b"]);
    refused(Bytes, &[1], r#"["\ud800"]"#, "a string (BYTES)");
}

#[test]
fn arrays_are_flat_or_nested_like_the_shape() {
    let expected = vec![1, 2, 3, 4, 5, 6];
    for json in ["[1,2,3,4,5,6]", "[[1,2,3],[4,5,6]]", " [ [1 ,2,3]\n, [4,5,6 ] ] "] {
        assert_eq!(bytes(Uint8, &[2, 3], json).as_ref(), Ok(&expected), "{json}");
    }
    assert_eq!(bytes(Uint8, &[1, 1, 2], "[[[7,8]]]"), Ok(vec![7, 8]));
}

#[test]
fn a_scalar_is_bare_or_in_an_array() {
    assert_eq!(bytes(Uint8, &[], "7"), Ok(vec![7]));
    assert_eq!(bytes(Uint8, &[], "[7]"), Ok(vec![7]));
    refused(Uint8, &[], "[]", "has 0 elements, shape [] asks for 1");
    refused(Uint8, &[], "[7,8]", "more elements than the 1");
    refused(Uint8, &[], "[[7]]", "nested too deep");
    refused(Uint8, &[1], "7", "not an array");
}

#[test]
fn empty_tensors_have_empty_arrays() {
    for (shape, json) in [(&[0][..], "[]"), (&[2, 0], "[]"), (&[2, 0], "[[],[]]"), (&[0, 2], "[]"), (&[0, 2], " [ ] ")]
    {
        assert_eq!(bytes(Fp32, shape, json), Ok(vec![]), "{shape:?} {json}");
    }
    refused(Fp32, &[2, 0], "[[],[],[]]", "has 3 items");
    refused(Fp32, &[0], "[1]", "more elements than the 0");
}

#[test]
fn ragged_arrays_are_refused_with_the_shape() {
    for json in [
        "[[1,2],[3,4,5,6]]",
        "[[1,2,3],[4,5,6],[7,8,9]]",
        "[[1,2,3],[4,5]]",
        "[[1,2,3]]",
        "[1,[2,3],4,5,6]",
        "[[1,2,3],4,5,6]",
        "[[[1,2,3],[4,5,6]]]",
        "[[1],[2],[3],[4],[5],[6]]",
        "[[],[1,2,3],[4,5,6]]",
        "[[1,2,3,4,5,6]]",
    ] {
        refused(Uint8, &[2, 3], json, "[2,3]");
    }
    refused(Uint8, &[1, 2, 3], "[[1,2,3],[4,5,6]]", "[1,2,3]");
}

#[test]
fn the_element_count_must_agree_with_the_shape() {
    refused(Fp32, &[2, 2], "[1,2,3]", "has 3 elements, shape [2,2] asks for 4");
    refused(Fp32, &[2], "[1,2,3]", "more elements than the 2 that shape [2] asks for");
}

#[test]
fn elements_must_be_of_the_datatype() {
    for (datatype, element) in [
        (Bool, "1"),
        (Bool, "\"true\""),
        (Bool, "null"),
        (Uint8, "256"),
        (Uint8, "-1"),
        (Uint16, "65536"),
        (Uint32, "4294967296"),
        (Uint64, "18446744073709551616"),
        (Int8, "128"),
        (Int8, "-129"),
        (Int16, "32768"),
        (Int32, "-2147483649"),
        (Int64, "9223372036854775808"),
        (Int64, "1e3"),
        (Int32, "1.5"),
        (Int32, "1.0"),
        (Int32, "true"),
        (Int32, "\"1\""),
        (Fp16, "65520"),
        (Fp32, "1e39"),
        (Fp32, "\"1\""),
        (Fp32, "null"),
        (Fp32, "true"),
        (Fp64, "1e309"),
        (Bytes, "1"),
        (Bytes, "{\"b64\":\"AA==\"}"),
    ] {
        let json = format!("[{element}]");
        let shown = &element[..element.len().min(5)];
        refused(datatype, &[1], &json, &format!("element 0 of `data` is {shown}"));
        refused(datatype, &[1], &json, datatype.name());
    }
}

#[test]
fn memory_is_not_taken_on_a_shape_s_word() {
    let message = read(Fp64, &[1 << 40], 1 << 40, "[1]").unwrap_err();
    assert!(message.contains("has 1 elements"), "{message}");
    assert!(super::capacity(Fp64, 1 << 40, "[1]") < 64);
}

#[test]
fn text_that_is_not_json_is_survived() {
    for text in ["", "]", "[[[", "\"", "[\"", "\"\\", "é", "[é", ",,,", "}{"] {
        for datatype in Datatype::ALL {
            let _ = bytes(datatype, &[2, 2], text);
        }
    }
}
