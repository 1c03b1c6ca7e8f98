use super::*;
use crate::Datatype;

fn model() -> ModelMetadata {
    ModelMetadata {
        name: "m".into(),
        version: "3".into(),
        platform: "samara_wasm".into(),
        inputs: vec![TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: vec![-1, 3] }],
        outputs: vec![TensorSpec { name: "label".into(), datatype: Datatype::Bytes, shape: vec![] }],
    }
}

#[track_caller]
fn assert_body(body: &[u8], expected: &str) {
    assert_eq!(std::str::from_utf8(body).unwrap(), expected);
}

#[test]
fn the_server_names_its_extensions() {
    assert_body(
        &server_metadata("samara", "0.1.0", CODEC_EXTENSIONS),
        concat!(
            r#"{"name":"samara","version":"0.1.0","#,
            r#""extensions":["binary_tensor_data","model_configuration"]}"#
        ),
    );
}

#[test]
fn health_answers_both_questions() {
    assert_body(&health(true, false), r#"{"live":true,"ready":false}"#);
    assert_body(&model_ready("m", true), r#"{"name":"m","ready":true}"#);
}

#[test]
fn metadata_lists_tensors_with_their_shapes() {
    assert_body(
        &model_metadata(&model(), None),
        concat!(
            r#"{"name":"m","versions":["3"],"platform":"samara_wasm","#,
            r#""inputs":[{"name":"x","datatype":"FP32","shape":[-1,3]}],"#,
            r#""outputs":[{"name":"label","datatype":"BYTES","shape":[]}]}"#
        ),
    );
}

#[test]
fn metadata_names_all_versions_that_there_are() {
    let body = String::from_utf8(model_metadata_of_versions(&model(), &["2", "3", "10"], None, None)).unwrap();
    assert!(body.starts_with(r#"{"name":"m","versions":["2","3","10"],"platform""#), "{body}");
}

#[test]
fn configurations_are_in_triton_s_terms() {
    assert_body(
        &model_config(&model(), None),
        concat!(
            r#"{"name":"m","platform":"samara_wasm","backend":"samara","#,
            r#""version_policy":{"specific":{"versions":[3]}},"max_batch_size":0,"#,
            r#""input":[{"name":"x","data_type":"TYPE_FP32","dims":[-1,3]}],"#,
            r#""output":[{"name":"label","data_type":"TYPE_STRING","dims":[]}]}"#
        ),
    );
    let mut model = model();
    model.version = "v2-rc".into();
    let body = String::from_utf8(model_config(&model, None)).unwrap();
    assert!(body.contains(r#""versions":["v2-rc"]"#), "{body}");
}

/// What is computed together is one thing more than the shapes: who sees whose data.
#[test]
fn batches_are_told_of() {
    let batching = DynamicBatching { max_batch_size: 16, max_queue_delay_microseconds: 2000 };
    let config = String::from_utf8(model_config(&model(), Some(batching))).unwrap();
    for part in [
        r#""max_batch_size":16,"input":[{"name":"x","data_type":"TYPE_FP32","dims":[3]}]"#,
        r#""dynamic_batching":{"max_queue_delay_microseconds":2000}"#,
    ] {
        assert!(config.contains(part), "{config}");
    }
    let metadata = String::from_utf8(model_metadata_of_versions(&model(), &["3"], None, Some(batching))).unwrap();
    let told = concat!(
        r#""dynamic_batching":{"max_batch_size":16,"max_queue_delay_microseconds":2000,"isolation":"batch"}"#,
        "}"
    );
    assert!(metadata.ends_with(told) && metadata.contains(r#""shape":[-1,3]"#), "{metadata}");
    let batch = BatchStatistics {
        batch_size: 4,
        compute_infer: DurationStatistic { count: 2, ns: 9 },
        ..BatchStatistics::default()
    };
    let statistics = statistics(&[ModelStatistics { batches: &[batch], ..Default::default() }], &[], &[], &[]);
    let told = concat!(
        r#""batch_stats":[{"batch_size":4,"compute_input":{"count":0,"ns":0},"compute_infer":{"count":2,"ns":9},"#,
        r#""compute_output":{"count":0,"ns":0}}]"#
    );
    assert!(std::str::from_utf8(&statistics).unwrap().contains(told));
}

#[test]
fn statistics_count_and_add_up() {
    let model = ModelStatistics {
        name: "m",
        version: "3",
        last_inference: 1_700_000_000_000,
        inference_count: 2,
        execution_count: 1,
        success: DurationStatistic { count: 1, ns: 50 },
        limits: &[("queue_full", 4), ("fuel", 0)],
        ..ModelStatistics::default()
    };
    assert_body(
        &statistics(&[model], &[], &[], &[]),
        concat!(
            r#"{"model_stats":[{"name":"m","version":"3","last_inference":1700000000000,"#,
            r#""inference_count":2,"execution_count":1,"inference_stats":{"#,
            r#""success":{"count":1,"ns":50},"fail":{"count":0,"ns":0},"#,
            r#""queue":{"count":0,"ns":0},"compute_input":{"count":0,"ns":0},"#,
            r#""compute_infer":{"count":0,"ns":0},"compute_output":{"count":0,"ns":0}},"#,
            r#""batch_stats":[],"limits":{"queue_full":4,"fuel":0}}]}"#
        ),
    );
    assert_body(&statistics(&[], &[], &[], &[]), r#"{"model_stats":[]}"#);
    assert_body(
        &statistics(&[], &[], &[], &[("header_bytes", 1)]),
        r#"{"model_stats":[],"server_limits":{"header_bytes":1}}"#,
    );
    let function = FunctionStatistics {
        name: "classify",
        route: "/classify",
        fail: DurationStatistic { count: 1, ns: 7 },
        limits: &[("deadline", 1)],
        ..FunctionStatistics::default()
    };
    assert_body(
        &statistics(&[], &[function], &[], &[]),
        concat!(
            r#"{"model_stats":[],"function_stats":[{"name":"classify","route":"/classify","#,
            r#""success":{"count":0,"ns":0},"fail":{"count":1,"ns":7},"queue":{"count":0,"ns":0},"#,
            r#""compute":{"count":0,"ns":0},"limits":{"deadline":1}}]}"#
        ),
    );
}

#[test]
fn the_index_tells_what_is_ready() {
    let entry = |name, ready, reason| IndexEntry { name, version: "1", ready, reason };
    assert_body(
        &index(&[entry("a", true, ""), entry("b", false, "load failed")]),
        concat!(
            r#"[{"name":"a","version":"1","state":"READY","reason":""},"#,
            r#"{"name":"b","version":"1","state":"UNAVAILABLE","reason":"load failed"}]"#
        ),
    );
}

#[test]
fn an_index_request_may_be_empty() {
    for (body, expected) in [
        ("", false),
        (" \n", false),
        ("{}", false),
        (r#"{"ready":false}"#, false),
        (r#"{"ready":true,"other":1}"#, true),
    ] {
        assert_eq!(index_wants_ready_only(body.as_bytes()), Ok(expected), "{body}");
    }
    for body in [r#"{"ready":1}"#, "[true]", "true", "{", "null"] {
        let error = index_wants_ready_only(body.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400, "{body}");
        assert!(error.message().contains(r#"{"ready": true}"#), "{error}");
    }
}

#[test]
fn a_model_s_metadata_survives_serialization() {
    let json = serde_json::to_string(&model()).unwrap();
    assert_eq!(serde_json::from_str::<ModelMetadata>(&json).unwrap(), model());
}
