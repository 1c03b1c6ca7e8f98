use samara_protocol::{Datatype, TensorSpec};

use super::*;
use crate::{Backend, Output};

/// Gives its inputs back, or fails.
struct Echo(Option<RunError>);

impl Backend for Echo {
    fn run(&self, _: &ModelMetadata, inputs: &[Input<'_>], wanted: &[usize]) -> Result<Vec<Output>, RunError> {
        match &self.0 {
            Some(error) => Err(error.clone()),
            None => Ok(wanted
                .iter()
                .map(|&index| inputs[index])
                .map(|input| Output {
                    datatype: input.datatype,
                    shape: input.shape.to_vec(),
                    data: input.data.to_vec(),
                })
                .collect()),
        }
    }
}

struct Given<'a>(&'a [u8]);

impl Request for Given<'_> {
    fn header(&self, _: &str) -> Option<String> {
        None
    }

    fn body(&self, limit: u64) -> Result<Vec<u8>, Error> {
        if self.0.len() as u64 > limit { Err(Error::PayloadTooLarge(String::new())) } else { Ok(self.0.to_vec()) }
    }
}

fn model(failure: Option<RunError>) -> Model {
    let spec = |name: &str| TensorSpec { name: name.to_owned(), datatype: Datatype::Int32, shape: vec![-1] };
    Model {
        metadata: ModelMetadata {
            name: "m".to_owned(),
            version: "1".to_owned(),
            platform: samara_protocol::PLATFORM.to_owned(),
            inputs: vec![spec("a"), spec("b")],
            outputs: vec![spec("c"), spec("d")],
        },
        labels: Vec::new(),
        backend: Box::new(Echo(failure)),
    }
}

const BODY: &[u8] = br#"{"inputs": [{"name": "b", "datatype": "INT32", "shape": [1], "data": [2]},
    {"name": "a", "datatype": "INT32", "shape": [1], "data": [1]}], "outputs": [{"name": "d"}]}"#;

fn infer_with(failure: Option<RunError>, body: &[u8]) -> (u16, String) {
    let reply = answer(Some(&model(failure)), "POST", "/v2/models/m/infer", &Given(body));
    (reply.status, String::from_utf8(reply.body).expect("text"))
}

#[test]
fn an_inference_gives_the_outputs_that_are_asked_for() {
    let (status, body) = infer_with(None, BODY);
    assert_eq!(status, 200);
    assert!(body.contains(r#"[{"name":"d","datatype":"INT32","shape":[1],"data":[2]}]"#), "{body}");
}

#[test]
fn whose_fault_it_is_decides_on_the_status() {
    let failed = |error: fn(String) -> RunError| infer_with(Some(error("reason".to_owned())), BODY);
    assert_eq!(failed(RunError::InvalidArgument), (400, r#"{"error":"reason"}"#.to_owned()));
    assert_eq!(failed(RunError::Failed), (400, r#"{"error":"the model failed: reason"}"#.to_owned()));
    assert_eq!(failed(RunError::Internal), (500, r#"{"error":"reason"}"#.to_owned()));
    assert_eq!(infer_with(None, b"{").0, 400);
}

#[test]
fn only_the_model_that_is_there_is_served() {
    let status = |method: &str, path: &str| answer(Some(&model(None)), method, path, &Given(b"")).status;
    assert_eq!(status("GET", "/v2"), 200);
    assert_eq!(status("GET", "/v2/models/m/versions/1"), 200);
    assert_eq!(status("GET", "/v2/models/m/versions/2"), 404);
    assert_eq!(status("GET", "/v2/models/n/ready"), 404);
    assert_eq!(status("GET", "/v2/models/m/stats"), 404);
    assert_eq!(status("DELETE", "/v2"), 405);
}

#[test]
fn without_a_model_every_path_says_so() {
    let reply = answer(None, "GET", "/v2", &Given(b""));
    assert_eq!(reply.status, 500);
    assert!(String::from_utf8_lossy(&reply.body).contains("samara compile"), "{reply:?}");
}
