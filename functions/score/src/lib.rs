//! Tells strange rows of a table from usual ones.
//!
//! `POST` a table, as `application/json` (a list of rows, or `{"rows": [...]}`, where a row is a list of numbers) or as
//! `text/csv` (with or without a header line), and get each row's score:
//!
//! ```text
//! {"model": "anomaly-autoencoder", "threshold": 0.373,
//!  "results": [{"row": 1, "score": 0.087, "anomalous": false}]}
//! ```
//!
//! or, where the request accepts `text/csv` rather than JSON, the lines `row,score,anomalous`. Rows are counted from 1,
//! a header is none of them. How many columns a row has is what the model says.
//!
//! | parameter | |
//! |---|---|
//! | `threshold` | a row with a greater score is anomalous: a finite number of at least 0; else [`DEFAULT_THRESHOLD`] |
//! | `header` | `present` or `absent`: whether the first line of a CSV body is a header; else see [`csv_body`] |
//!
//! The model is one that gives each row a score, greater for stranger rows; it prepares the numbers itself. In the zoo
//! that is `anomaly-autoencoder`.

pub mod csv_body;
pub mod json_body;
pub mod reply;
pub mod table;

use samara_function::{Function, Metadata, Model, Problem, Request, Response, Tensor};

use reply::Reply;
use table::{Problems, Table};

/// The threshold of a request that gives none: the 95th percentile of the scores that `anomaly-autoencoder` gives the 250
/// benign rows it was trained on, 0.37266, to three digits.
///
/// Of rows that it was not trained on, a greater score have 11 of 107 benign ones (10 %) and 167 of 212 malignant ones
/// (79 %). `testdata/make.py` computes these numbers.
pub const DEFAULT_THRESHOLD: f32 = 0.373;

/// The most rows a request may have.
pub const MAX_ROWS: usize = 100_000;

const JSON: &str = "application/json";
const CSV: &str = "text/csv";

/// The function.
pub struct Score;

samara_function::export!(Score: "x FP32[-1,30] -> score FP32[-1]");

impl Function for Score {
    const MAX_BODY_BYTES: usize = 64 << 20;

    fn answer(request: &Request, model: &dyn Model) -> Result<Response, Problem> {
        let reply_type = request.accepts(&[JSON, CSV])?;
        let threshold = threshold(request)?;
        let body = request.body_of(&[JSON, CSV])?;
        let metadata = model.metadata();
        let columns = columns(&metadata)?;
        let table = if request.content_type().as_deref() == Some(CSV) {
            csv_body::read(body, csv_body::Header::of(request)?, columns)?
        } else {
            json_body::read(body, columns)?
        };
        let scores = score(model, &table)?;
        let reply = Reply { model: &metadata.name, threshold, scores: &scores };
        if reply_type == CSV { reply.to_csv() } else { Response::json(&reply) }
    }
}

/// The threshold that the request asks for.
fn threshold(request: &Request) -> Result<f32, Problem> {
    let Some(text) = request.query("threshold") else { return Ok(DEFAULT_THRESHOLD) };
    match text.parse::<f32>() {
        Ok(threshold) if threshold.is_finite() && threshold >= 0.0 => Ok(threshold),
        _ => Err(Problem::bad_request(format!("threshold={text}, where a finite number of at least 0 is taken"))),
    }
}

/// How many columns the model's only input has.
fn columns(metadata: &Metadata) -> Result<usize, Problem> {
    let wrong = || Problem::internal("the model is none that takes rows of a fixed number of columns");
    let [input] = &*metadata.inputs else { return Err(wrong()) };
    match *input.shape {
        [_, columns] => usize::try_from(columns).ok().filter(|&columns| columns > 0).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

/// Scores all rows in one inference.
fn score(model: &dyn Model, table: &Table) -> Result<Vec<f32>, Problem> {
    let shape = [table.rows() as u64, table.columns() as u64];
    let outputs = model.infer(vec![Tensor::fp32("x", &shape, table.values())?], &["score"])?;
    let scores = match outputs.first() {
        Some(scores) => scores.to_fp32()?,
        None => Vec::new(),
    };
    if scores.len() != table.rows() {
        return Err(Problem::internal(format!("the model gave {} scores for {} rows", scores.len(), table.rows())));
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(index) => Err(Problems::row(index, "its numbers are too large to be scored").unprocessable()),
        None => Ok(scores),
    }
}

#[cfg(test)]
mod tests {
    use samara_function::Datatype;
    use samara_function::testing::FakeModel;

    use super::*;

    /// What ONNX Runtime was given, and what it gave: the vectors of the model's card.
    const VECTORS: [(&[u8], &[u8]); 2] = [
        (
            include_bytes!("../../../models/vectors/anomaly-autoencoder/x.npy"),
            include_bytes!("../../../models/vectors/anomaly-autoencoder/score.npy"),
        ),
        (
            include_bytes!("../../../models/vectors/anomaly-autoencoder/batch-3/x.npy"),
            include_bytes!("../../../models/vectors/anomaly-autoencoder/batch-3/score.npy"),
        ),
    ];

    /// The elements of an NPY file of version 1 that holds FP32: they follow a header whose length is at byte 8.
    fn npy(bytes: &[u8]) -> Vec<f32> {
        let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        bytes[start..].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    fn declared(model: FakeModel, columns: i64) -> FakeModel {
        model.with_input("x", Datatype::Fp32, &[-1, columns]).with_output("score", Datatype::Fp32, &[-1])
    }

    /// Scores a row with the sum of its cells.
    fn sums() -> FakeModel {
        let model = FakeModel::new(|inputs| {
            let rows = inputs[0].to_fp32().unwrap();
            let scores: Vec<f32> = rows.chunks(2).map(|row| row.iter().sum()).collect();
            Ok(vec![Tensor::fp32("score", &[scores.len() as u64], &scores).unwrap()])
        });
        declared(model, 2)
    }

    fn json_of(response: &Response) -> serde_json::Value {
        assert_eq!(response.header("content-type"), Some("application/json"));
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn rows_are_scored() {
        let wanted = serde_json::json!({
            "model": "fake",
            "threshold": 2.5,
            "results": [
                {"row": 1, "score": 2.5, "anomalous": false},
                {"row": 2, "score": 3.0, "anomalous": true},
            ],
        });
        for (content_type, body) in [
            ("application/json", "[[1, 1.5], [-1, 4]]"),
            ("application/json", r#" {"rows": [[1, 1.5], [-1, 4]]}"#),
            ("text/csv", "1,1.5\n-1,4\n"),
            ("text/csv; charset=utf-8", "a,b\r\n1,1.5\r\n-1,4"),
        ] {
            let request = Request::post("/?threshold=2.5", content_type, body);
            assert_eq!(json_of(&Score::answer(&request, &sums()).unwrap()), wanted, "{body}");
        }
    }

    #[test]
    fn csv_is_given_to_who_prefers_it() {
        let request = Request::post("/?threshold=2.5", "application/json", "[[1, 1.5], [-1, 4]]")
            .with_header("accept", "text/csv, application/json;q=0.5");
        let response = Score::answer(&request, &sums()).unwrap();
        assert_eq!(response.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        assert_eq!(std::str::from_utf8(response.body()), Ok("row,score,anomalous\n1,2.5,false\n2,3.0,true\n"));
    }

    #[test]
    fn the_model_gets_what_onnx_runtime_got() {
        for (x, score) in VECTORS {
            let (x, score) = (npy(x), npy(score));
            let lines: Vec<String> =
                x.chunks(30).map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",")).collect();
            let rows: Vec<&[f32]> = x.chunks(30).collect();
            for (content_type, body) in [("text/csv", lines.join("\n")), (JSON, serde_json::to_string(&rows).unwrap())]
            {
                let (x, scores) = (x.clone(), score.clone());
                let model = FakeModel::new(move |inputs| {
                    let shape = [scores.len() as u64, 30];
                    assert_eq!(inputs, [Tensor::fp32("x", &shape, &x).unwrap()], "every bit is the same");
                    Ok(vec![Tensor::fp32("score", &shape[..1], &scores).unwrap()])
                });
                let request = Request::post("/", content_type, body);
                let reply = json_of(&Score::answer(&request, &declared(model, 30)).unwrap());
                for (index, &score) in score.iter().enumerate() {
                    let result = &reply["results"][index];
                    assert_eq!(result["row"], index + 1);
                    assert_eq!(result["score"].as_f64().unwrap() as f32, score);
                    assert_eq!(result["anomalous"], index == 2, "the third row is malignant");
                }
            }
        }
    }

    #[test]
    fn the_default_threshold_is_the_recorded_one() {
        let recorded: serde_json::Value = serde_json::from_str(include_str!("../testdata/threshold.json")).unwrap();
        let percentile = recorded["percentile_95"].as_f64().unwrap();
        assert!((percentile - f64::from(DEFAULT_THRESHOLD)).abs() < 0.000_5, "{percentile}");
        let reply = json_of(&Score::answer(&Request::post("/", JSON, "[[0, 0.373], [0, 0.374]]"), &sums()).unwrap());
        assert_eq!(reply["results"][0]["anomalous"], false);
        assert_eq!(reply["results"][1]["anomalous"], true);
    }

    #[test]
    fn a_threshold_is_a_finite_number_of_at_least_0() {
        for text in ["-1", "NaN", "inf", "1e39", "x", ""] {
            let request = Request::post(&format!("/?threshold={text}"), JSON, "[[1, 2]]");
            let problem = Score::answer(&request, &FakeModel::unasked()).unwrap_err();
            assert_eq!(problem.status(), 400);
            let wanted = format!("threshold={text}, where a finite number of at least 0 is taken");
            assert_eq!(problem.detail(), wanted);
        }
    }

    #[test]
    fn other_types_are_refused() {
        let model = declared(FakeModel::unasked(), 2);
        let status = |request: &Request| Score::answer(request, &model).unwrap_err().status();
        assert_eq!(status(&Request::post("/", "text/plain", "1,2")), 415);
        assert_eq!(status(&Request::new("POST", "/").with_body("1,2")), 415);
        assert_eq!(status(&Request::post("/", CSV, "")), 400);
        assert_eq!(status(&Request::post("/", CSV, "1,2").with_header("accept", "text/html")), 406);
    }

    #[test]
    fn a_score_that_is_no_number_is_not_given() {
        let request = Request::post("/", JSON, "[[1, 2], [3e38, 3e38]]");
        let problem = Score::answer(&request, &sums()).unwrap_err();
        assert_eq!(problem.status(), 422);
        assert_eq!(problem.detail(), "row 2: its numbers are too large to be scored");
    }

    #[test]
    fn another_model_is_not_mistaken_for_a_table_s() {
        let request = Request::post("/", JSON, "[[1, 2]]");
        for shape in [&[-1, 3, 8, 8][..], &[-1, -1], &[-1]] {
            let model = FakeModel::unasked().with_input("x", Datatype::Fp32, shape);
            assert_eq!(Score::answer(&request, &model).unwrap_err().status(), 500, "{shape:?}");
        }
        let model = FakeModel::new(|_| Ok(vec![Tensor::fp32("score", &[2], &[0.0; 2]).unwrap()]));
        let problem = Score::answer(&request, &declared(model, 2)).unwrap_err();
        assert_eq!(problem.detail(), "the model gave 2 scores for 1 rows");
    }
}
