//! The vocabulary, and WordPiece: a word becomes the longest tokens that it begins with, one after the other.

use fst::raw::{Fst, Output};
use samara_function::Problem;

/// The number of \[PAD\], which fills a sequence up.
pub const PAD: i64 = 0;
/// The number of \[UNK\], which stands for a word that the vocabulary cannot spell.
pub const UNK: i64 = 100;
/// The number of \[CLS\], with which a sequence begins.
pub const CLS: i64 = 101;
/// The number of \[SEP\], with which a sequence ends.
pub const SEP: i64 = 102;
/// The number of \[MASK\].
pub const MASK: i64 = 103;

/// What a token begins with that continues a word.
const CONTINUATION: &[u8] = b"##";

/// The 30,522 tokens of BERT's uncased vocabulary, as a transducer from their bytes to their numbers.
pub struct Vocabulary {
    transducer: Fst<&'static [u8]>,
    first: State,
    next: State,
}

/// Where one is in the transducer: the node, and the sum of the outputs on the way.
#[derive(Clone, Copy)]
struct State {
    address: usize,
    output: Output,
}

// === impl Vocabulary ===

impl Vocabulary {
    /// The vocabulary that was compiled in.
    ///
    /// # Errors
    ///
    /// The build has made none: what is compiled in is no transducer, or lacks tokens that continue a word.
    pub fn new() -> Result<Vocabulary, Problem> {
        let bytes: &'static [u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vocabulary.fst"));
        let transducer = Fst::new(bytes).map_err(|error| Problem::internal(format!("the vocabulary: {error}")))?;
        let first = State { address: transducer.root().addr(), output: Output::zero() };
        let next = CONTINUATION
            .iter()
            .try_fold(first, |state, &byte| step(&transducer, state, byte))
            .ok_or_else(|| Problem::internal("the vocabulary has no tokens that continue a word"))?;
        Ok(Vocabulary { transducer, first, next })
    }

    /// Appends the numbers of a word's tokens: of greedy longest matches from left to right, or \[UNK\] alone where the
    /// word cannot be spelt so to its end. A word of no characters has no tokens.
    ///
    /// Wu et al., "Google's Neural Machine Translation System", 2016, section 4.1; the greedy form is BERT's.
    pub fn spell(&self, word: &str, tokens: &mut Vec<i64>) {
        let before = tokens.len();
        let mut rest = word.as_bytes();
        let mut state = self.first;
        while !rest.is_empty() {
            let Some((token, length)) = self.longest(state, rest) else {
                tokens.truncate(before);
                tokens.push(UNK);
                return;
            };
            tokens.push(token);
            rest = rest.get(length..).unwrap_or_default();
            state = self.next;
        }
    }

    /// The longest token that can be read from some state on, and how many bytes of the text it takes: at least one.
    /// Both tokens and text are UTF-8, so that a match always ends between two characters.
    fn longest(&self, mut state: State, text: &[u8]) -> Option<(i64, usize)> {
        let mut best = None;
        for (&byte, length) in text.iter().zip(1..) {
            let Some(reached) = step(&self.transducer, state, byte) else { break };
            state = reached;
            let node = self.transducer.node(state.address);
            if node.is_final() {
                let number = state.output.cat(node.final_output()).value();
                best = i64::try_from(number).ok().map(|number| (number, length));
            }
        }
        best
    }
}

/// Follows the transition for a byte.
fn step(transducer: &Fst<&'static [u8]>, state: State, byte: u8) -> Option<State> {
    let node = transducer.node(state.address);
    let transition = node.transition(node.find_input(byte)?);
    Some(State { address: transition.addr, output: state.output.cat(transition.out) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(word: &str) -> Vec<i64> {
        let mut tokens = Vec::new();
        Vocabulary::new().unwrap().spell(word, &mut tokens);
        tokens
    }

    #[test]
    fn each_token_has_the_number_of_its_line() {
        let text = include_str!("../vocab.txt");
        let vocabulary = Vocabulary::new().unwrap();
        let mut count = 0;
        for (token, line) in text.lines().zip(0..) {
            let (state, rest) = match token.strip_prefix("##") {
                Some(rest) if !rest.is_empty() => (vocabulary.next, rest),
                _ => (vocabulary.first, token),
            };
            assert_eq!(vocabulary.longest(state, rest.as_bytes()), Some((line, rest.len())), "{token}");
            count += 1;
        }
        assert_eq!(count, 30_522);
        let special = [(PAD, "[PAD]"), (UNK, "[UNK]"), (CLS, "[CLS]"), (SEP, "[SEP]"), (MASK, "[MASK]")];
        for (number, token) in special {
            assert_eq!(text.lines().nth(usize::try_from(number).unwrap()), Some(token));
        }
    }

    #[test]
    fn words_are_spelt_by_longest_tokens() {
        assert_eq!(spell("food"), [2833]);
        // em, ##bed, ##ding, ##s
        assert_eq!(spell("embeddings"), [7861, 8270, 4667, 2015]);
        assert_eq!(spell(""), [0_i64; 0]);
    }

    #[test]
    fn a_word_that_cannot_be_spelt_is_unknown() {
        assert_eq!(spell("\u{1f642}"), [UNK]);
        assert_eq!(spell("food\u{1f642}"), [UNK]);
    }
}
