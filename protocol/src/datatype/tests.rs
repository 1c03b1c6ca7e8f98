use super::Datatype;

#[test]
fn names_parse_back() {
    for datatype in Datatype::ALL {
        assert_eq!(datatype.name().parse(), Ok(datatype));
        assert_eq!(datatype.to_string(), datatype.name());
    }
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() {
    for name in ["fp32", "FLOAT", "TYPE_FP32", ""] {
        let error = name.parse::<Datatype>().unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
        assert!(error.contains("FP32"), "{error}");
    }
}

#[test]
fn serializes_as_its_name() {
    let json = serde_json::to_string(&Datatype::Fp16).unwrap();
    assert_eq!(json, r#""FP16""#);
    assert_eq!(serde_json::from_str::<Datatype>(&json).unwrap(), Datatype::Fp16);
    assert!(serde_json::from_str::<Datatype>(r#""F16""#).is_err());
}

#[test]
fn only_bytes_has_no_size() {
    for datatype in Datatype::ALL {
        assert_eq!(datatype.size().is_none(), datatype == Datatype::Bytes);
    }
}
