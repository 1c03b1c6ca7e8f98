//! Says what a photo shows.
//!
//! `POST` a JPEG, PNG or WebP, or `{"image": "<base64>"}` in JSON; `?top=3` gives the three likeliest classes, 5 if it is
//! left out. The reply is
//!
//! ```json
//! {"model": {"name": "efficientnet-lite0", "version": "1"},
//!  "predictions": [{"label": "espresso", "index": 967, "probability": 0.951}]}
//! ```
//!
//! The model is one like EfficientNet-Lite0, whose preprocessing is in [`preprocessing`]. A model without labels has its
//! classes' indices for labels.
//!
//! The component is built with Spin's SDK and exports `wasi:http/handler@0.3`.

pub mod predictions;
pub mod preprocessing;
#[cfg(target_arch = "wasm32")]
mod service;

use samara_function::{Function, Model, Problem, Request, Response};
use samara_picture::Picture;
use serde::Serialize;

use crate::predictions::Prediction;

samara_function::signature!("input FP32[-1,3,224,224] -> logits FP32[-1,1000]");

/// How many classes a reply may have.
const MOST: usize = 100;

/// How many classes a reply has if the request does not say.
const DEFAULT: usize = 5;

/// The function.
#[derive(Clone, Copy, Debug)]
pub struct Classify;

#[derive(Serialize)]
struct Reply {
    model: ModelName,
    predictions: Vec<Prediction>,
}

#[derive(Serialize)]
struct ModelName {
    name: String,
    version: String,
}

impl Function for Classify {
    const MAX_BODY_BYTES: usize = samara_picture::MAX_BODY_BYTES;

    fn answer(request: &Request, model: &dyn Model) -> Result<Response, Problem> {
        let count = request.query_number("top", 1..=MOST, DEFAULT)?;
        let input = preprocessing::input(&Picture::of(request)?)?;
        let outputs = model.infer(vec![input], &["logits"])?;
        let logits = outputs.first().ok_or_else(|| Problem::internal("the model gave no logits"))?.to_fp32()?;
        let predictions = predictions::best(&logits, &model.labels(), count)?;
        let metadata = model.metadata();
        Response::json(&Reply { model: ModelName { name: metadata.name, version: metadata.version }, predictions })
    }
}

#[cfg(test)]
mod tests;
