use std::path::{Path, PathBuf};

use samara_function::testing::FakeModel;
use samara_function::{Datatype, Tensor};
use serde_json::Value;

use super::*;

const PHOTOS: [(&str, &str); 3] =
    [("coffee.jpg", "image/jpeg"), ("tiny.png", "image/png"), ("turned.webp", "image/webp")];

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(testdata(name)).unwrap()
}

/// What the reference made of a photo: see testdata/make.py.
fn expected(name: &str) -> Value {
    let all: Value = serde_json::from_slice(&file("expected.json")).unwrap();
    all[name].clone()
}

/// A model that always gives these scores, and checks what it is asked.
fn model(logits: Vec<f32>) -> FakeModel {
    FakeModel::new(move |inputs| {
        let [input] = inputs else { panic!("one input is wanted") };
        assert_eq!((&*input.name, input.datatype, &*input.shape), ("input", Datatype::Fp32, &[1, 3, 224, 224][..]));
        Ok(vec![Tensor::fp32("logits", &[1, logits.len() as u64], &logits).unwrap()])
    })
}

fn reply(response: &Response) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn the_square_is_what_pillow_gives() {
    for ((name, _), (most, mean)) in PHOTOS.into_iter().zip([(6, 0.7), (1, 0.01), (8, 0.7)]) {
        let found = preprocessing::centre(&Picture::decode(&file(name)).unwrap()).unwrap();
        let wanted = Picture::decode(&file(&format!("{name}.centre.png"))).unwrap();
        let differences: Vec<u8> = found.iter().zip(wanted.pixels()).map(|(a, b)| a.abs_diff(*b)).collect();
        let sum: f64 = differences.iter().copied().map(f64::from).sum();
        let found = (differences.iter().copied().max().unwrap(), sum / differences.len() as f64);
        println!("{name}: {found:?}");
        assert_eq!(differences.len(), 224 * 224 * 3, "{name}");
        assert!(found.0 <= most && found.1 <= mean, "{name}: {found:?}");
    }
}

#[test]
fn the_input_has_planes() {
    let photo = Picture::decode(&file("tiny.png")).unwrap();
    let (square, input) = (preprocessing::centre(&photo).unwrap(), preprocessing::input(&photo).unwrap());
    let values = input.to_fp32().unwrap();
    for (channel, row, column) in [(0, 0, 0), (1, 100, 7), (2, 223, 223)] {
        let wanted = (f32::from(square[(row * 224 + column) * 3 + channel]) - 127.0) / 128.0;
        assert_eq!(values[(channel * 224 + row) * 224 + column], wanted);
    }
}

#[test]
fn predictions_are_those_of_the_reference() {
    for (name, content_type) in PHOTOS {
        let expected = expected(name);
        let logits: Vec<f32> = serde_json::from_value(expected["logits"].clone()).unwrap();
        let mut labels: Vec<String> = (0..logits.len()).map(|index| format!("class {index}")).collect();
        for best in expected["best"].as_array().unwrap() {
            let index = usize::try_from(best["index"].as_u64().unwrap()).unwrap();
            labels[index] = best["label"].as_str().unwrap().to_owned();
        }
        let request = Request::post("/", content_type, file(name));
        let response = samara_function::answer::<Classify>(&request, &model(logits).with_labels(labels));
        assert_eq!(response.status(), 200);
        let reply = reply(&response);
        assert_eq!(reply["model"], serde_json::json!({ "name": "fake", "version": "1" }));
        let (found, wanted) = (reply["predictions"].as_array().unwrap(), expected["best"].as_array().unwrap());
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!((&found["label"], &found["index"]), (&wanted["label"], &wanted["index"]));
            let difference = found["probability"].as_f64().unwrap() - wanted["probability"].as_f64().unwrap();
            assert!(difference.abs() < 1e-5, "{found} {wanted}");
        }
    }
}

#[test]
fn top_says_how_many() {
    let ask = |path: &str| {
        let request = Request::post(path, "image/png", file("tiny.png"));
        samara_function::answer::<Classify>(&request, &model(vec![0.0, 1.0, 0.5]))
    };
    assert_eq!(reply(&ask("/?top=2"))["predictions"].as_array().unwrap().len(), 2);
    // Without labels, the index is the label; there are no more classes than the model has.
    let all = reply(&ask("/"));
    assert_eq!(all["predictions"].as_array().unwrap().len(), 3);
    assert_eq!(all["predictions"][0]["label"], "1");
    for path in ["/?top=0", "/?top=101", "/?top=x"] {
        assert_eq!(ask(path).status(), 400, "{path}");
    }
}

#[test]
fn bad_requests_do_not_reach_the_model() {
    let whole = file("coffee.jpg");
    for (content_type, body, status) in [
        ("image/gif", b"GIF89a".to_vec(), 415),
        ("image/png", Vec::new(), 400),
        ("image/png", b"hello".to_vec(), 422),
        ("image/jpeg", whole[..whole.len() / 2].to_vec(), 422),
        ("application/json", b"{".to_vec(), 400),
        ("application/json", b"{\"image\": \"!\"}".to_vec(), 400),
    ] {
        let request = Request::post("/", content_type, body);
        let response = samara_function::answer::<Classify>(&request, &FakeModel::unasked());
        assert_eq!(response.status(), status, "{content_type}");
    }
    let response = samara_function::answer::<Classify>(&Request::new("GET", "/"), &FakeModel::unasked());
    assert_eq!(response.status(), 405);
}
