//! What a client sent, short enough to repeat in a message to it.

/// The longest excerpt, in bytes.
const MAX_BYTES: usize = 64;

/// `text`, cut off with an ellipsis where it is long, so that a message does not grow with a request.
pub(crate) fn excerpt(text: &str) -> Excerpt<'_> {
    Excerpt(text)
}

/// Displays the start of a text.
pub(crate) struct Excerpt<'a>(&'a str);

impl std::fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.len() <= MAX_BYTES {
            return f.write_str(self.0);
        }
        let end = self.0.floor_char_boundary(MAX_BYTES);
        write!(f, "{}…", self.0.get(..end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(excerpt("short").to_string(), "short");
        let cut = excerpt(&"é€".repeat(100)).to_string();
        assert!(cut.len() < 70 && cut.ends_with('…'), "{cut}");
    }
}
