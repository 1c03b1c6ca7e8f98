//! Reads a line of text from a picture.
//!
//! `POST` a JPEG, PNG or WebP that holds one line of Chinese or English text and little else, or `{"image": "<base64>"}`
//! in JSON. The reply is
//!
//! ```json
//! {"model": {"name": "ppocrv4-rec", "version": "1"},
//!  "text": "Hello", "confidence": 0.98, "width": 112, "input_width": 320, "squeezed": false}
//! ```
//!
//! `confidence` is the mean probability of the characters, 0 where there are none. `width` is how many columns the line
//! takes at the model's height of 48 rows, of the `input_width` that the model was given; a line that is too long for the
//! model was `squeezed` to fit.
//!
//! The model is one like PP-OCRv4's recogniser: [`mod@line`] prepares its input, and [`ctc`] reads its output. Its labels are
//! the characters, with CTC's blank in front and the space at the end.

pub mod ctc;
pub mod line;

use samara_function::{Function, Metadata, Model, Problem, Request, Response};
use samara_picture::Picture;
use serde::Serialize;

use crate::line::{Line, Room};

samara_function::export!(Read: "x FP32[-1,3,48,-1] -> softmax_11.tmp_0 FP32[-1,-1,6625]");

const INPUT: &str = "x";
const OUTPUT: &str = "softmax_11.tmp_0";

/// The function.
#[derive(Clone, Copy, Debug)]
pub struct Read;

#[derive(Serialize)]
struct Reply {
    model: ModelName,
    text: String,
    confidence: f64,
    width: u32,
    input_width: u32,
    squeezed: bool,
}

#[derive(Serialize)]
struct ModelName {
    name: String,
    version: String,
}

impl Function for Read {
    const MAX_BODY_BYTES: usize = samara_picture::MAX_BODY_BYTES;

    fn answer(request: &Request, model: &dyn Model) -> Result<Response, Problem> {
        let metadata = model.metadata();
        let room = room(&metadata)?;
        let characters = model.labels();
        if characters.is_empty() {
            return Err(Problem::internal(
                "the model has no characters: compile it with --labels and its list of them",
            ));
        }
        let line = Line::of(&Picture::of(request)?, room)?;
        let outputs = model.infer(vec![line.tensor(INPUT)?], &[OUTPUT])?;
        let output = outputs.first().ok_or_else(|| Problem::internal("the model gave no output"))?;
        let reading = ctc::read(output, &characters)?;
        Response::json(&Reply {
            model: ModelName { name: metadata.name, version: metadata.version },
            text: reading.text,
            confidence: reading.confidence,
            width: line.width(),
            input_width: line.input_width(),
            squeezed: line.is_squeezed(),
        })
    }
}

/// The room that the model has for a line, as its declaration says.
fn room(metadata: &Metadata) -> Result<Room, Problem> {
    let shape = metadata.inputs.iter().find(|input| input.name == INPUT).map(|input| &*input.shape);
    let width = match shape {
        Some(&[_, _, _, -1]) => return Ok(Room::AsNeeded),
        Some(&[_, _, _, width]) => u32::try_from(width).ok(),
        _ => None,
    };
    width
        .filter(|width| (1..=line::MAX_WIDTH).contains(width))
        .map(Room::Fixed)
        .ok_or_else(|| Problem::internal(format!("the model's input {INPUT:?} is {shape:?}, not [-1,3,48,-1]")))
}

#[cfg(test)]
mod tests;
