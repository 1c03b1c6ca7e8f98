use super::{TensorError, bytes_elements, check_data, element_count, push_bytes_element};
use crate::Datatype;

#[test]
fn counts_elements() {
    assert_eq!(element_count(&[]), Some(1));
    assert_eq!(element_count(&[2, 3]), Some(6));
    assert_eq!(element_count(&[2, 0]), Some(0));
    assert_eq!(element_count(&[u64::MAX, 2]), None);
    assert_eq!(element_count(&[u64::MAX, 2, 0]), Some(0));
}

#[test]
fn data_must_have_the_length_of_its_shape() {
    assert_eq!(check_data(Datatype::Fp32, &[2], &[0; 8]), Ok(()));
    assert_eq!(check_data(Datatype::Fp32, &[2], &[0; 7]), Err(TensorError::ByteLength { expected: 8, actual: 7 }));
    assert_eq!(check_data(Datatype::Fp64, &[1 << 62], &[]), Err(TensorError::Overflow));
}

#[test]
fn booleans_are_zero_or_one() {
    assert_eq!(check_data(Datatype::Bool, &[2], &[0, 1]), Ok(()));
    assert_eq!(check_data(Datatype::Bool, &[2], &[0, 2]), Err(TensorError::NotBoolean { index: 1 }));
}

#[test]
fn bytes_elements_are_framed_by_their_length() {
    let data = b"\x02\0\0\0ab\0\0\0\0";
    let elements: Result<Vec<_>, _> = bytes_elements(data).collect();
    assert_eq!(elements, Ok(vec![&b"ab"[..], &b""[..]]));
    assert_eq!(check_data(Datatype::Bytes, &[2], data), Ok(()));
    assert_eq!(check_data(Datatype::Bytes, &[3], data), Err(TensorError::ElementCount { expected: 3, actual: 2 }));
}

#[test]
fn pushed_elements_are_read_back() {
    let mut data = Vec::new();
    for element in [&b"ab"[..], b"", b"c"] {
        push_bytes_element(&mut data, element);
    }
    let elements: Result<Vec<_>, _> = bytes_elements(&data).collect();
    assert_eq!(elements, Ok(vec![&b"ab"[..], b"", b"c"]));
}

#[test]
fn a_truncated_element_is_an_error_and_the_last_item() {
    for data in [&b"\x01\0\0\0a\x01\0"[..], b"\x01\0\0\0a\xff\xff\xff\xffb"] {
        assert_eq!(
            bytes_elements(data).collect::<Vec<_>>(),
            [Ok(&b"a"[..]), Err(TensorError::TruncatedElement { index: 1 })]
        );
    }
}
