//! The reply.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::body::EncodingFormat;

/// The list of embeddings, as OpenAI's reference has it.
#[derive(Debug, Serialize)]
pub struct Reply {
    object: &'static str,
    data: Vec<Item>,
    model: String,
    usage: Usage,
}

/// The embedding of one text.
#[derive(Debug, Serialize)]
pub struct Item {
    object: &'static str,
    index: usize,
    embedding: Embedding,
    /// OpenAI refuses a text that is too long. Here the model reads its beginning, and this member says so.
    #[serde(skip_serializing_if = "is_false")]
    truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Embedding {
    Float(Vec<f32>),
    Base64(String),
}

/// How many tokens the model has read, of all texts together, \[CLS\] and \[SEP\] included.
#[derive(Debug, Default, Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

// === impl Reply ===

impl Reply {
    /// A reply without embeddings. `model` is the name of the model that gives them.
    pub fn new(model: String) -> Reply {
        Reply { object: "list", data: Vec::new(), model, usage: Usage::default() }
    }

    /// Adds the embedding of the next text, which has as many tokens.
    pub fn push(&mut self, item: Item, tokens: usize) {
        self.data.push(Item { index: self.data.len(), ..item });
        self.usage.prompt_tokens += tokens;
        self.usage.total_tokens += tokens;
    }
}

// === impl Item ===

impl Item {
    /// An embedding; `is_truncated` if it is that of the text's beginning.
    pub fn new(embedding: &[f32], format: EncodingFormat, is_truncated: bool) -> Item {
        let embedding = match format {
            EncodingFormat::Float => Embedding::Float(embedding.to_vec()),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = embedding.iter().flat_map(|value| value.to_le_bytes()).collect();
                Embedding::Base64(STANDARD.encode(bytes))
            }
        };
        Item { object: "embedding", index: 0, embedding, truncated: is_truncated }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}
