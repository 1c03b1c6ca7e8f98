//! Texts into tokens.

use crate::normalize::{is_punctuation, normalized};
use crate::vocabulary::{CLS, MASK, PAD, SEP, UNK, Vocabulary};

/// The tokens that `tokenizer.json` takes as they stand in a text, before it is normalised, with their numbers.
const SPECIAL: [(&str, i64); 5] = [("[PAD]", PAD), ("[UNK]", UNK), ("[CLS]", CLS), ("[SEP]", SEP), ("[MASK]", MASK)];

/// A word of more characters is unknown: `max_input_chars_per_word` in `tokenizer.json`.
const MAX_WORD_CHARACTERS: usize = 100;

/// The first tokens of a text, `limit` of them at most. Reads no more of the text than it takes to find them.
pub fn tokenize(text: &str, vocabulary: &Vocabulary, limit: usize) -> Vec<i64> {
    let mut tokens = Tokens { vocabulary, limit, found: Vec::new(), word: String::new(), characters: 0 };
    let mut rest = text;
    while !rest.is_empty() && !tokens.is_full() {
        let (before, special) = split_at_special(rest);
        tokens.read(before);
        rest = match special {
            Some((number, after)) => {
                tokens.found.push(number);
                after
            }
            None => "",
        };
    }
    tokens.found.truncate(limit);
    tokens.found
}

/// What comes before the first special token; and if there is one, its number and what comes after it.
fn split_at_special(text: &str) -> (&str, Option<(i64, &str)>) {
    for (position, _) in text.match_indices('[') {
        let Some((before, from)) = text.split_at_checked(position) else { continue };
        for (token, number) in SPECIAL {
            if let Some(after) = from.strip_prefix(token) {
                return (before, Some((number, after)));
            }
        }
    }
    (text, None)
}

/// The tokens found so far, and the word that is being read.
struct Tokens<'a> {
    vocabulary: &'a Vocabulary,
    limit: usize,
    found: Vec<i64>,
    word: String,
    characters: usize,
}

// === impl Tokens ===

impl Tokens<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    /// Reads a text without special tokens. Words end at white space; punctuation is a word, each character for itself.
    fn read(&mut self, text: &str) {
        for c in normalized(text) {
            if c.is_whitespace() {
                self.end_word();
            } else if is_punctuation(c) {
                self.end_word();
                self.push(c);
                self.end_word();
            } else {
                self.push(c);
            }
            if self.is_full() {
                return;
            }
        }
        self.end_word();
    }

    /// Adds a character to the word, or only counts it where the word is too long already.
    fn push(&mut self, c: char) {
        self.characters += 1;
        if self.characters <= MAX_WORD_CHARACTERS {
            self.word.push(c);
        }
    }

    fn end_word(&mut self) {
        if self.characters > MAX_WORD_CHARACTERS {
            self.found.push(UNK);
        } else {
            self.vocabulary.spell(&self.word, &mut self.found);
        }
        self.word.clear();
        self.characters = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str, limit: usize) -> Vec<i64> {
        tokenize(text, &Vocabulary::new().unwrap(), limit)
    }

    #[test]
    fn words_and_punctuation_are_told_apart() {
        // don, ', t, eat, !, !
        assert_eq!(tokens(" Don't\teat!! ", 9), [2123, 1005, 1056, 4521, 999, 999]);
    }

    #[test]
    fn special_tokens_are_taken_as_they_stand() {
        assert_eq!(tokens("eat[SEP]eat [mask][[MASK]", 20), [4521, SEP, 4521, 1031, 7308, 1033, 1031, MASK]);
    }

    #[test]
    fn no_more_is_read_than_wanted() {
        assert_eq!(tokens("eat eat eat", 2), [4521, 4521]);
        assert_eq!(tokens("embeddings", 2), [7861, 8270]);
        assert_eq!(tokens("eat", 0), [0_i64; 0]);
    }

    #[test]
    fn long_words_are_unknown() {
        assert_ne!(tokens(&"a".repeat(100), 200), [UNK]);
        assert_eq!(tokens(&"a".repeat(101), 200), [UNK]);
        assert_eq!(tokens(&format!("{} a", "a".repeat(100_000)), 200), [UNK, 1037]);
    }
}
