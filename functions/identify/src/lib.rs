//! Bytes in, their type out: [Magika](https://securityresearch.google/magika/), which tells some 200 types apart by
//! content alone.
//!
//! The answer is that of Magika's Python package, version 1.0.3, in its default mode (`identify_bytes`): the same bytes
//! are shown to the model, and the same rules are applied to what it says.

mod content_type;
mod features;
#[cfg(test)]
mod reference;
mod rules;
mod types;

use samara_function::{Function, Model, Problem, Request, Response, Tensor};
use serde::Serialize;

pub use content_type::ContentType;
use features::{FEATURES, Features};
use types::TYPES;

/// The function: `POST` of any bytes, whatever their `content-type`.
#[derive(Clone, Copy, Debug)]
pub struct Identify;

samara_function::export!(Identify: "bytes INT32[-1,2048] -> target_label FP32[-1,214]");

/// The reply.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    content_type: &'static ContentType,
    /// The model's probability for what it takes the content for; 1 where it was not asked.
    confidence: f32,
}

impl Function for Identify {
    /// 64 MiB. Only the first and the last 4096 bytes count.
    const MAX_BODY_BYTES: usize = 64 << 20;

    fn answer(request: &Request, model: &dyn Model) -> Result<Response, Problem> {
        let (content_type, confidence) = match Features::of(request.body()) {
            Features::Empty => (known(rules::EMPTY)?, 1.0),
            Features::Few(bytes) => (known(rules::label_of_few(&bytes))?, 1.0),
            Features::Enough(values) => {
                let input = Tensor::int32("bytes", &[1, FEATURES as u64], &values)?;
                let outputs = model.infer(vec![input], &["target_label"])?;
                let output = outputs.first().ok_or_else(|| Problem::internal("the model gave no output"))?;
                let (class, score) = likeliest(&output.to_fp32()?)?;
                let label = label(class, &model.labels())?;
                let is_text = |label: &str| content_type::find(label).is_some_and(|known| known.is_text);
                (known(rules::label_of_prediction(&label, score, is_text))?, score)
            }
        };
        Response::json(&Answer { content_type, confidence })
    }
}

/// The class with the highest score, the first of equals, and its score.
fn likeliest(scores: &[f32]) -> Result<(usize, f32), Problem> {
    let mut best = None;
    for (class, &score) in scores.iter().enumerate() {
        if best.is_none_or(|(_, highest)| score > highest) {
            best = Some((class, score));
        }
    }
    best.ok_or_else(|| Problem::internal("the model gave no scores"))
}

/// The label of a class, by the model's labels; where it has none, by those of standard v3.3.
fn label(class: usize, labels: &[String]) -> Result<String, Problem> {
    let label = if labels.is_empty() {
        TYPES.get(class).map(|known| known.label.to_owned())
    } else {
        labels.get(class).cloned()
    };
    label.ok_or_else(|| Problem::internal(format!("the model's class {class} has no label")))
}

fn known(label: &str) -> Result<&'static ContentType, Problem> {
    content_type::find(label)
        .ok_or_else(|| Problem::internal(format!("nothing is known of the model's label {label:?}")))
}

#[cfg(test)]
mod tests {
    use samara_function::testing::FakeModel;
    use samara_function::{ModelError, answer};
    use serde_json::{Value, json};

    use super::*;

    /// A model of three classes, which says what it is made to say.
    fn model(scores: [f32; 3]) -> FakeModel {
        FakeModel::new(move |inputs| {
            assert_eq!((inputs[0].name.as_str(), &*inputs[0].shape), ("bytes", &[1, 2048][..]));
            Ok(vec![Tensor::fp32("target_label", &[1, 3], &scores).unwrap()])
        })
    }

    fn post(request: &Request, model: &FakeModel) -> (u16, Value) {
        let response = answer::<Identify>(request, model);
        (response.status(), serde_json::from_slice(response.body()).unwrap())
    }

    #[test]
    fn a_file_is_identified() {
        let model = model([0.125, 0.75, 0.125]).with_labels(["png", "python", "pdf"]);
        let (status, reply) = post(&Request::post("/", "text/x-python", "import sys\n"), &model);
        assert_eq!(status, 200);
        let wanted = json!({
            "type": "python",
            "description": "Python source",
            "mime": "text/x-python",
            "group": "code",
            "extensions": ["py", "pyi"],
            "is_text": true,
            "confidence": 0.75,
        });
        assert_eq!(reply, wanted);
    }

    #[test]
    fn a_content_type_is_not_needed() {
        let model = model([0.75, 0.0, 0.0]).with_labels(["png", "python", "pdf"]);
        assert_eq!(post(&Request::new("POST", "/").with_body("12345678"), &model).1["type"], "png");
        let odd = Request::post("/", "nonsense", "12345678");
        assert_eq!(post(&odd, &model).1["type"], "png");
    }

    #[test]
    fn of_equals_the_first_is_taken() {
        let model = model([0.0, 0.5, 0.5]).with_labels(["png", "python", "pdf"]);
        assert_eq!(post(&Request::post("/", "", "12345678"), &model).1["type"], "python");
    }

    #[test]
    fn a_model_without_labels_has_those_of_magika() {
        assert_eq!(post(&Request::post("/", "", "12345678"), &model([0.9, 0.05, 0.05])).1["type"], "3gp");
        assert_eq!(post(&Request::post("/", "", "12345678"), &model([0.05, 0.05, 0.9])).1["type"], "ai");
    }

    #[test]
    fn the_model_is_not_asked_about_little() {
        for (body, wanted) in [("", "empty"), ("ä", "txt"), ("\n\n\n\n\n\n\n\n\n\n", "txt")] {
            let (status, reply) = post(&Request::post("/", "", body), &FakeModel::unasked());
            assert_eq!((status, &reply["type"], &reply["confidence"]), (200, &json!(wanted), &json!(1.0)), "{body:?}");
        }
        assert_eq!(post(&Request::post("/", "", b"\xff"), &FakeModel::unasked()).1["type"], "unknown");
    }

    #[test]
    fn another_model_is_refused() {
        let request = Request::post("/", "", "12345678");
        let detail = |model: FakeModel| {
            let (status, problem) = post(&request, &model);
            assert_eq!(status, 500);
            problem["detail"].as_str().unwrap().to_owned()
        };
        assert_eq!(detail(model([0.0, 0.0, 0.9]).with_labels(["png"])), "the model's class 2 has no label");
        let wanted = "nothing is known of the model's label \"cat picture\"";
        assert_eq!(detail(model([0.9, 0.0, 0.0]).with_labels(["cat picture"])), wanted);
        let empty = FakeModel::new(|_| Ok(vec![Tensor::fp32("target_label", &[1, 0], &[]).unwrap()]));
        assert_eq!(detail(empty), "the model gave no scores");
        let failing = FakeModel::new(|_| Err(ModelError::Failed("out of fuel".to_owned())));
        assert_eq!(detail(failing), "the model failed: out of fuel");
    }

    #[test]
    fn other_methods_are_refused() {
        assert_eq!(post(&Request::new("GET", "/"), &FakeModel::unasked()).0, 405);
    }
}
