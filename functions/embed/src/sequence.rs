//! A text as the model reads it.

use samara_function::{Datatype, Metadata, Problem, Tensor};

use crate::tokenize::tokenize;
use crate::vocabulary::{CLS, PAD, SEP, Vocabulary};

/// The tokens of a text between \[CLS\] and \[SEP\], filled up with \[PAD\].
pub struct Sequence {
    numbers: Vec<i64>,
    mask: Vec<i64>,
    tokens: usize,
    is_truncated: bool,
}

/// How many tokens a sequence has, by the declaration of the model's input `input_ids`, INT64\[1,length\].
///
/// # Errors
///
/// The model is another one than this function is made for.
pub fn length(metadata: &Metadata) -> Result<usize, Problem> {
    let input = metadata.inputs.iter().find(|input| input.name == "input_ids");
    let length = match input {
        Some(input) if input.datatype == Datatype::Int64 => match *input.shape {
            [1, length] => usize::try_from(length).ok(),
            _ => None,
        },
        _ => None,
    };
    // [CLS] and [SEP] have to fit in.
    length
        .filter(|&length| length >= 2)
        .ok_or_else(|| Problem::internal("the model declares no input input_ids INT64[1,n] of a fixed length"))
}

// === impl Sequence ===

impl Sequence {
    /// The sequence of `length` tokens that a text makes. Of a longer text, only the beginning.
    pub fn new(text: &str, vocabulary: &Vocabulary, length: usize) -> Sequence {
        let room = length.saturating_sub(2);
        // One more than there is room for tells whether the text is longer.
        let mut found = tokenize(text, vocabulary, room + 1);
        let is_truncated = found.len() > room;
        found.truncate(room);

        let mut numbers = Vec::with_capacity(length);
        numbers.push(CLS);
        numbers.append(&mut found);
        numbers.push(SEP);
        let tokens = numbers.len();
        numbers.resize(length, PAD);
        let mut mask = vec![1; tokens];
        mask.resize(length, 0);
        Sequence { numbers, mask, tokens, is_truncated }
    }

    /// The model's inputs: `input_ids` and `attention_mask`, both INT64\[1,length\].
    ///
    /// # Errors
    ///
    /// None that a caller could do something about.
    pub fn tensors(&self) -> Result<Vec<Tensor>, Problem> {
        let shape = [1, self.numbers.len() as u64];
        Ok(vec![
            Tensor::int64("input_ids", &shape, &self.numbers)?,
            Tensor::int64("attention_mask", &shape, &self.mask)?,
        ])
    }

    /// How many tokens are not \[PAD\].
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Whether the text is longer than the sequence.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }
}
