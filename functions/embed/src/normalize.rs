//! BERT's normalisation of uncased text, character by character.
//!
//! As `BasicTokenizer` of [BERT](https://github.com/google-research/bert/blob/master/tokenization.py) does it, in the
//! form of Hugging Face's `BertNormalizer`, whose tables and order of steps this follows.

use unicode_categories::UnicodeCategories;
use unicode_normalization::UnicodeNormalization;

/// The characters of a text, normalised:
///
/// 1. control characters, unassigned ones, U+0000 and U+FFFD are dropped, and white space becomes spaces;
/// 2. Chinese characters get a space on either side;
/// 3. accents are dropped: what is of the category Mn after canonical decomposition (NFD);
/// 4. the rest is put into small letters.
pub fn normalized(text: &str) -> impl Iterator<Item = char> {
    text.chars()
        .filter(|&c| !is_dropped(c))
        .flat_map(|c| {
            let padding = is_chinese(c).then_some(' ');
            let c = if c.is_whitespace() { ' ' } else { c };
            [padding, Some(c), padding].into_iter().flatten()
        })
        .nfd()
        .filter(|c| !c.is_mark_nonspacing())
        .flat_map(char::to_lowercase)
}

/// Whether a character stands by itself between words: ASCII punctuation in BERT's wide sense, which includes `$` and
/// `~`, and the categories P*.
pub fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.is_punctuation()
}

/// The categories C*, apart from the control characters that are white space to BERT.
fn is_dropped(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r') && (c == '\0' || c == char::REPLACEMENT_CHARACTER || c.is_other())
}

/// The blocks of CJK ideographs. As in the reference, U+2B820..=U+2B91F of extension E are not among them.
fn is_chinese(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x2_0000..=0x2_A6DF
            | 0x2_A700..=0x2_B73F
            | 0x2_B740..=0x2_B81F
            | 0x2_B920..=0x2_CEAF
            | 0xF900..=0xFAFF
            | 0x2_F800..=0x2_FA1F
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_normalised() {
        for (text, wanted) in [
            ("Hello", "hello"),
            ("Ünïcödé ÅÇ", "unicode ac"),
            ("e\u{301}\u{323}", "e"),
            ("a\tb\nc\rd\u{3000}e\u{a0}f", "a b c d e f"),
            ("a\0b\u{fffd}c\u{7}d\u{200b}e\u{ad}f", "abcdef"),
            ("x中文y", "x 中  文 y"),
            ("ひらがな", "ひらかな"),
            ("İ", "i"),
            ("ΣΑΣ", "σασ"),
            ("한", "\u{1112}\u{1161}\u{11ab}"),
        ] {
            assert_eq!(normalized(text).collect::<String>(), wanted, "{text:?}");
        }
    }

    #[test]
    fn punctuation_is_wide() {
        for c in "!$+<=>^`|~_-«»—。、¿".chars() {
            assert!(is_punctuation(c), "{c}");
        }
        for c in "aé中 €°🙂×".chars() {
            assert!(!is_punctuation(c), "{c}");
        }
    }
}
