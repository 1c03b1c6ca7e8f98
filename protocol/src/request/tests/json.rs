//! Requests that are all JSON.

use super::*;

#[test]
fn inputs_come_in_the_model_s_order() {
    let model = model();
    let body = r#"{"id":"7","inputs":[
        {"name":"mask","shape":[2],"datatype":"BOOL","data":[true,false]},
        {"name":"x","shape":[2,3],"datatype":"FP32","data":[[1,2,3],[4,5,6]]}]}"#;
    let request = decode_json(body, &model).unwrap();
    let [x, mask] = &request.inputs[..] else {
        panic!("not two inputs");
    };
    assert_eq!((x.name.as_ref(), &x.shape[..]), ("x", &[2, 3][..]));
    assert_eq!(x.data, little_endian(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_eq!((mask.name.as_ref(), &mask.data[..]), ("mask", &[1, 0][..]));
    assert_eq!(request.plan.id.as_deref(), Some("7"));
}

#[test]
fn keys_may_come_in_any_order_and_unknown_ones_are_passed_over() {
    let model = model_of_x();
    let body = r#" {"outputs":null,"parameters":{"priority":1},"inputs":[
        {"data":[1,2,3],"extra":{"a":[]},"datatype":"FP32","parameters":{"k":1},"shape":[1,3],"name":"x"}
        ],"model_name":"other"} "#;
    let request = decode_json(body, &model).unwrap();
    assert_eq!(request.inputs[0].data, little_endian(&[1.0, 2.0, 3.0]));
    assert_eq!(request.plan.id, None);
}

#[test]
fn names_may_be_escaped() {
    let model = model_of_x();
    assert!(decode_json(&X.replace(r#""x""#, r#""\u0078""#), &model).is_ok());
}

#[test]
fn every_output_is_sent_unless_some_are_requested() {
    let model = model_of_x();
    let plan = |rest: &str| {
        let body = X.replacen('{', &format!("{{{rest}"), 1);
        let outputs = decode_json(&body, &model).unwrap().plan.outputs;
        let pair = |output: &RequestedOutput| (output.index, output.binary);
        outputs.iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(plan(""), [(0, false), (1, false)]);
    assert_eq!(plan(r#""outputs":[],"#), [(0, false), (1, false)]);
    let binary = r#""parameters":{"binary_data_output":true},"#;
    assert_eq!(plan(binary), [(0, true), (1, true)]);
    let some = r#""outputs":[{"name":"label"},
        {"name":"scores","parameters":{"binary_data":false,"classification":0}}],"#;
    assert_eq!(plan(some), [(1, false), (0, false)]);
    assert_eq!(plan(&format!("{binary}{some}")), [(1, true), (0, false)]);
    let one = r#""outputs":[{"name":"scores","parameters":{"binary_data":true}}],"#;
    assert_eq!(plan(one), [(0, true)]);
}

#[test]
fn outputs_that_cannot_be_sent_are_refused() {
    let model = model_of_x();
    for (outputs, parts) in [
        (r#"[{"name":"y"}]"#, &["output `y`", "`scores`, `label`"][..]),
        (r#"[{}]"#, &["output ``", "`scores`, `label`"]),
        (r#"[{"name":"label"},{"name":"label"}]"#, &["output `label`", "more than once"]),
        (
            r#"[{"name":"scores","parameters":{"classification":3}}]"#,
            &["output `scores`", "`classification` is not supported"],
        ),
        (r#"[{"name":"scores","parameters":{"shared_memory_region":"r"}}]"#, &["output `scores`", "shared memory"]),
        (r#"[{"name":"scores","parameters":{"binary_data":1}}]"#, &["output `scores`", "expected a boolean"]),
        (r#"["scores"]"#, &["expected an object"]),
        (r#"{"name":"scores"}"#, &["expected an array"]),
    ] {
        let body = X.replacen('{', &format!(r#"{{"outputs":{outputs},"#), 1);
        assert_refused(decode_json(&body, &model), 400, parts);
    }
}

#[test]
fn inputs_that_do_not_fit_the_model_are_refused() {
    let model = model_of_x();
    for (input, parts) in [
        (
            r#"{"name":"y","datatype":"FP32","shape":[1,3],"data":[1,2,3]}"#,
            &["input `y`: unknown", "model `m` has `x`"][..],
        ),
        (r#"{"data":[1]}"#, &["no `name`", "`x`"]),
        (
            r#"{"name":"x","datatype":"FP64","shape":[1,3],"data":[1,2,3]}"#,
            &["input `x`", "expected datatype FP32, got FP64"],
        ),
        (
            r#"{"name":"x","datatype":"float32","shape":[1,3],"data":[1,2,3]}"#,
            &["input `x`", "expected datatype FP32, got `float32`"],
        ),
        (
            r#"{"name":"x","datatype":1,"shape":[1,3],"data":[1,2,3]}"#,
            &["input `x`", "expected datatype FP32, got `1`"],
        ),
        (r#"{"name":"x","shape":[1,3],"data":[1,2,3]}"#, &["input `x`", "no `datatype`, expected FP32"]),
        (r#"{"name":"x","datatype":"FP32","data":[1,2,3]}"#, &["input `x`", "no `shape`, expected [-1,3]"]),
        (
            r#"{"name":"x","datatype":"FP32","shape":[3],"data":[1,2,3]}"#,
            &["input `x`", "expected shape [-1,3]", "got [3]"],
        ),
        (
            r#"{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}"#,
            &["input `x`", "expected shape [-1,3]", "got [1,4]"],
        ),
        (
            r#"{"name":"x","datatype":"FP32","shape":[-1,3],"data":[1,2,3]}"#,
            &["input `x`", "like [-1,3]", "not negative, got [-1,3]"],
        ),
        (r#"{"name":"x","datatype":"FP32","shape":[1.5,3],"data":[1,2,3]}"#, &["input `x`", "got [1.5,3]"]),
        (
            r#"{"name":"x","datatype":"FP32","shape":[99999999999999999999,3],"data":[]}"#,
            &["input `x`", "got [99999999999999999999,3]"],
        ),
        (r#"{"name":"x","datatype":"FP32","shape":"1,3","data":[]}"#, &["input `x`", "like [-1,3]", "got \"1,3\""]),
        (r#"{"name":"x","datatype":"FP32","shape":[1,3]}"#, &["input `x`", "no data", "`binary_data_size`"]),
        (r#"{"name":"x","datatype":"FP32","shape":[1,3],"data":null}"#, &["input `x`", "no data"]),
        (
            r#"{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2]}"#,
            &["input `x`", "has 2 elements, shape [1,3] asks for 3"],
        ),
        (
            r#"{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3,4]}"#,
            &["input `x`", "more elements than the 3", "[1,3]"],
        ),
        (r#"{"name":"x","datatype":"FP32","shape":[2,3],"data":[[1,2],[3,4,5,6]]}"#, &["input `x`", "ragged", "[2,3]"]),
        (
            r#"{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,1e39]}"#,
            &["input `x`", "element 2 of `data` is 1e39", "FP32"],
        ),
        (
            r#"{"name":"x","datatype":"FP32","shape":[1,3],"parameters":{"shared_memory_region":"r"}}"#,
            &["input `x`", "shared memory"],
        ),
        (
            r#"{"name":"x","datatype":"FP32","shape":[1,3],"parameters":[12]}"#,
            &["input `x`", "invalid `parameters`", "expected an object"],
        ),
        (r#"["x",[1,3],"FP32",null,[1,2,3]]"#, &["expected an object"]),
    ] {
        let body = format!(r#"{{"inputs":[{input}]}}"#);
        assert_refused(decode_json(&body, &model), 400, parts);
    }
}

#[test]
fn a_repeated_input_is_refused() {
    let input = &X[r#"{"inputs":["#.len()..X.len() - 2];
    let body = format!(r#"{{"inputs":[{input},{input}]}}"#);
    assert_refused(decode_json(&body, &model_of_x()), 400, &["input `x`", "more than once"]);
}

#[test]
fn missing_inputs_are_named_with_what_they_should_be() {
    let model = model();
    assert_refused(decode_json(X, &model), 400, &["input `mask`: missing, expected BOOL of shape [2]"]);
    for body in ["{}", r#"{"inputs":[]}"#, r#"{"inputs":null}"#] {
        assert_refused(
            decode_json(body, &model),
            400,
            &["input `x`: missing, expected FP32 of shape [-1,3]", "input `mask`"],
        );
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let model = model_of_x();
    for body in [
        "",
        " ",
        "null",
        "[]",
        "7",
        r#"{"inputs""#,
        r#"{"id":7}"#,
        r#"{"inputs":{}}"#,
        r#"{"inputs":[],"inputs":[]}"#,
        &X.replace("2,3]}", "NaN,3]}"),
        &X.replace("2,3]}", "Infinity,3]}"),
        &X.replace("2,3]}", "-,3]}"),
        &X.replace("2,3]}", "02,3]}"),
    ] {
        assert_refused(decode_json(body, &model), 400, &["invalid JSON"]);
    }
    let body = [X.as_bytes(), b"\0\0"].concat();
    assert_refused(
        decode(&InferHead::default(), &body, &model, &Limits::default()),
        400,
        &["bytes follow the JSON", "Inference-Header-Content-Length"],
    );
    let not_utf8 = |&byte| if byte == b'x' { 0xff } else { byte };
    let body: Vec<u8> = X.as_bytes().iter().map(not_utf8).collect();
    assert_refused(decode(&InferHead::default(), &body, &model, &Limits::default()), 400, &["invalid JSON"]);
}

#[test]
fn deep_nesting_and_long_lists_are_refused_without_using_memory_for_them() {
    let model = model_of_x();
    let deep = "[".repeat(1 << 20);
    for body in [
        deep.clone(),
        format!(r#"{{"inputs":{deep}"#),
        X.replace("[1,2,3]", &format!("{deep}{}", "]".repeat(1 << 20))),
        format!(r#"{{"extra":{deep}"#),
    ] {
        assert_refused(decode_json(&body, &model), 400, &[]);
    }
    let body = format!(r#"{{"inputs":[{}{{}}]}}"#, "{},".repeat(5000));
    assert_refused(decode_json(&body, &model), 400, &["more than 1024 tensors"]);
}
