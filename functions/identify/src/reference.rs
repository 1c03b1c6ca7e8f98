//! Features, rules and answers, held against the Python package magika: see `testdata/make.py`.

use std::cell::RefCell;
use std::rc::Rc;

use samara_function::testing::FakeModel;
use samara_function::{Request, Tensor, answer};
use serde::Deserialize;
use serde_json::Value;

use crate::Identify;

#[derive(Deserialize)]
struct Record {
    labels: Vec<String>,
    cases: Vec<Case>,
    rules: Vec<(String, f32, String)>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    content: Vec<i32>,
    features: Option<Vec<i32>>,
    label: String,
    score: f32,
    answer: Value,
}

fn record() -> Record {
    serde_json::from_str(include_str!("../testdata/answers.json")).unwrap()
}

/// Written out: value, count, value, count, ...
fn unrolled(runs: &[i32]) -> Vec<i32> {
    let (runs, _) = runs.as_chunks::<2>();
    runs.iter().flat_map(|&[value, count]| vec![value; usize::try_from(count).unwrap()]).collect()
}

/// What the model is given for a content, and the reply, where the model says `label` with `score`.
fn identify(content: &[u8], labels: &[String], label: &str, score: f32) -> (Vec<Tensor>, Value) {
    let class = labels.iter().position(|known| known == label);
    let given = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&given);
    let model = FakeModel::new(move |inputs| {
        *keep.borrow_mut() = inputs.to_vec();
        let mut scores = vec![0.0; 214];
        scores[class.unwrap()] = score;
        Ok(vec![Tensor::fp32("target_label", &[1, 214], &scores).unwrap()])
    });
    let response = answer::<Identify>(&Request::post("/", "application/octet-stream", content), &model);
    assert_eq!(response.status(), 200, "{label}");
    (given.take(), serde_json::from_slice(response.body()).unwrap())
}

#[test]
fn contents_are_shown_and_answered_as_by_the_reference() {
    let record = record();
    for case in record.cases {
        let content: Vec<u8> = unrolled(&case.content).iter().map(|&byte| u8::try_from(byte).unwrap()).collect();
        let (given, mut reply) = identify(&content, &record.labels, &case.label, case.score);
        let wanted = case.features.map(|runs| Tensor::int32("bytes", &[1, 2048], &unrolled(&runs)).unwrap());
        assert!(given.first() == wanted.as_ref(), "features of {}", case.name);
        let confidence = reply.as_object_mut().unwrap().remove("confidence").unwrap();
        let difference = confidence.as_f64().unwrap() - f64::from(case.score);
        assert!(difference.abs() < 1e-6, "{}: {confidence} instead of {}", case.name, case.score);
        assert_eq!(reply, case.answer, "{}", case.name);
    }
}

#[test]
fn scores_are_judged_as_by_the_reference() {
    let record = record();
    assert!(record.rules.len() > 214);
    for (label, score, wanted) in record.rules {
        let (_, reply) = identify(b"12345678", &record.labels, &label, score);
        assert_eq!(reply["type"], wanted, "{label} at {score}");
    }
}
