//! The answer: each row's score, and whether it is past the threshold.

use samara_function::{Problem, Response};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// The answer. In JSON, an object with the members `model`, `threshold` and `results`.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The model's name.
    pub model: &'a str,
    /// A row with a greater score is anomalous.
    pub threshold: f32,
    /// The score of each row, in order.
    pub scores: &'a [f32],
}

/// The result for one row. In CSV, a line `row,score,anomalous`.
#[derive(Clone, Copy, Debug, Serialize)]
struct RowResult {
    /// Which row, from 1.
    row: usize,
    score: f32,
    anomalous: bool,
}

/// The results, made while they are written.
struct Results<'a>(&'a Reply<'a>);

// === impl Reply ===

impl Reply<'_> {
    /// The results in CSV, with a header.
    ///
    /// # Errors
    ///
    /// They could not be written.
    pub fn to_csv(self) -> Result<Response, Problem> {
        let mut lines = csv::Writer::from_writer(Vec::new());
        for result in self.results() {
            lines.serialize(result).map_err(|error| Problem::internal(format!("the answer: {error}")))?;
        }
        let body = lines.into_inner().map_err(|error| Problem::internal(format!("the answer: {error}")))?;
        Ok(Response::new("text/csv; charset=utf-8; header=present", body))
    }

    fn results(&self) -> impl Iterator<Item = RowResult> {
        let results = self.scores.iter().enumerate();
        results.map(|(index, &score)| RowResult { row: index + 1, score, anomalous: score > self.threshold })
    }
}

impl Serialize for Reply<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reply = serializer.serialize_struct("Reply", 3)?;
        reply.serialize_field("model", self.model)?;
        reply.serialize_field("threshold", &self.threshold)?;
        reply.serialize_field("results", &Results(self))?;
        reply.end()
    }
}

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.results())
    }
}
