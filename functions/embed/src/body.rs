//! The body of a request.

use std::fmt;

use samara_function::Problem;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};

use crate::MAX_TEXTS;

/// The request, as [OpenAI's reference](https://platform.openai.com/docs/api-reference/embeddings/create) has it.
///
/// `model` may be any text, as clients have to send one; the reply names the real one. `user` is ignored, and so is what
/// is not in this list.
#[derive(Debug, Deserialize)]
pub struct Body {
    input: Input,
    #[serde(default)]
    #[expect(dead_code, reason = "only its type is checked")]
    model: Option<String>,
    #[serde(default)]
    encoding_format: Option<EncodingFormat>,
    #[serde(default)]
    dimensions: Option<u64>,
}

/// How the reply writes an embedding.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// The numbers as 32-bit floating point, little-endian, one after the other, in base64.
    Base64,
}

/// One text, or a list of them. Of a list that is too long, only the length is kept.
#[derive(Debug)]
struct Input {
    texts: Vec<String>,
    count: usize,
}

// === impl Body ===

impl Body {
    /// Holds the number of texts against what is taken.
    ///
    /// # Errors
    ///
    /// 400 for none, 413 for more than [`MAX_TEXTS`].
    pub fn check(&self) -> Result<(), Problem> {
        match self.input.count {
            0 => Err(Problem::bad_request("input is an empty list, where at least one text is expected")),
            count if count > MAX_TEXTS => {
                Err(Problem::too_large(format!("input has {count} texts, where at most {MAX_TEXTS} are taken")))
            }
            _ => Ok(()),
        }
    }

    /// Holds the number of dimensions that is asked for, if any, against the model's own.
    ///
    /// # Errors
    ///
    /// 400 for another one.
    pub fn check_dimensions(&self, own: u64) -> Result<(), Problem> {
        match self.dimensions {
            Some(asked) if asked != own => Err(Problem::bad_request(format!(
                "dimensions is {asked}, where the model gives {own} and no other number"
            ))),
            _ => Ok(()),
        }
    }

    /// The texts, in their order.
    pub fn texts(&self) -> &[String] {
        &self.input.texts
    }

    /// How the reply is to write embeddings.
    pub fn encoding_format(&self) -> EncodingFormat {
        self.encoding_format.unwrap_or_default()
    }
}

// === impl Input ===

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Input, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("input to be a text or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Input, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Input, E> {
        Ok(Input { texts: vec![text], count: 1 })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Input, A::Error> {
        let mut texts = Vec::new();
        while texts.len() < MAX_TEXTS {
            let Some(Text(text)) = list.next_element()? else { break };
            texts.push(text);
        }
        let mut count = texts.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Input { texts, count })
    }
}

/// An element of the list, which is a text and nothing else.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("each element of input to be a text (token numbers are not taken, as vocabularies differ)")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
        Ok(Text(text))
    }
}
