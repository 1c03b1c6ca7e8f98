//! What is answered, given what the model says: Magika's rules in its default mode, high confidence.
//!
//! As in `_get_output_label_from_dl_label_and_score` and `_get_label_from_few_bytes` of Magika's Python package, with
//! the numbers of `config.min.json` beside its model standard v3.3.

/// The label of no content.
pub const EMPTY: &str = "empty";
/// The label of text that is nothing more special.
const TEXT: &str = "txt";
/// The label of bytes that are nothing known.
const UNKNOWN: &str = "unknown";

/// The label for a content that is too short for the model: `txt` if it is UTF-8, otherwise `unknown`.
pub fn label_of_few(bytes: &[u8]) -> &'static str {
    if std::str::from_utf8(bytes).is_ok() { TEXT } else { UNKNOWN }
}

/// The label to answer with where the model says `label` with a probability of `score`. `is_text` tells whether a
/// label is one of text.
pub fn label_of_prediction(label: &str, score: f32, is_text: impl Fn(&str) -> bool) -> &str {
    let renamed = rename(label);
    if f64::from(score) >= threshold(label) {
        renamed
    } else if is_text(renamed) {
        TEXT
    } else {
        UNKNOWN
    }
}

/// Two of the model's classes are no types: `overwrite_map`.
fn rename(label: &str) -> &str {
    match label {
        "randombytes" => UNKNOWN,
        "randomtxt" => TEXT,
        _ => label,
    }
}

/// The probability from which on the model is believed: `thresholds`, and `medium_confidence_threshold`.
fn threshold(label: &str) -> f64 {
    match label {
        "ignorefile" | "latex" | "pascal" => 0.95,
        "crt" | "handlebars" | "ocaml" | "r" | "rst" | "sql" | "tsv" | "zig" => 0.9,
        "markdown" => 0.75,
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_are_text_if_they_are_utf_8() {
        assert_eq!(label_of_few("ä".as_bytes()), "txt");
        assert_eq!(label_of_few(b"\xe4"), "unknown");
    }

    #[test]
    fn what_is_unsure_is_only_text_or_unknown() {
        let label = |label, score| label_of_prediction(label, score, |label| label != "png" && label != "unknown");
        assert_eq!(label("python", 0.5), "python");
        assert_eq!(label("python", 0.49), "txt");
        assert_eq!(label("png", 0.49), "unknown");
        assert_eq!(label("markdown", 0.75), "markdown");
        assert_eq!(label("markdown", 0.74), "txt");
        // The nearest 32-bit number to 0.95 is smaller than the nearest 64-bit one.
        assert_eq!(label("latex", 0.95), "txt");
        assert_eq!(label("randombytes", 0.9), "unknown");
        assert_eq!(label("randomtxt", 0.9), "txt");
        assert_eq!(label("png", f32::NAN), "unknown");
    }
}
