//! What the model is shown of a content: its beginning and its end.
//!
//! These are version 2 of Magika's features, as `_extract_features_from_seekable` of its Python package takes them.

/// How many values the model is shown of the beginning, and as many of the end.
const SIDE: usize = 1024;

/// How many values the model is shown.
pub const FEATURES: usize = 2 * SIDE;

/// How many bytes of the beginning, and of the end, are read.
const BLOCK: usize = 4096;

/// The value that stands where there is no byte.
const PADDING: i32 = 256;

/// The least number of bytes, from the first that is no white space on, that the model can tell something of.
const MIN_BYTES: usize = 8;

/// What there is to say about a content before the model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Features {
    /// There is no content.
    Empty,
    /// There is too little of it: the bytes, of a long one the first 4096, all of which may be white space.
    Few(Vec<u8>),
    /// What the model is shown: 1024 values from the beginning, then 1024 from the end; 0..=255 is a byte, 256 none.
    Enough(Vec<i32>),
}

// === impl Features ===

impl Features {
    /// The features of a content.
    pub fn of(content: &[u8]) -> Features {
        if content.is_empty() {
            return Features::Empty;
        }
        let block = content.len().min(BLOCK);
        let (first, _) = content.split_at(block);
        let (_, last) = content.split_at(content.len() - block);
        let beginning = trim_start(first);
        // What has fewer bytes in all has fewer here too.
        if beginning.len() < MIN_BYTES {
            return Features::Few(first.to_vec());
        }
        let end = trim_end(last);

        let mut values = Vec::with_capacity(FEATURES);
        values.extend(beginning.iter().take(SIDE).map(|&byte| i32::from(byte)));
        let end = end.iter().skip(end.len().saturating_sub(SIDE));
        values.resize(FEATURES - end.len(), PADDING);
        values.extend(end.map(|&byte| i32::from(byte)));
        Features::Enough(values)
    }
}

/// What Python's `bytes.strip` takes for white space. `u8::is_ascii_whitespace` leaves out the vertical tab.
fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_white_space(*first)
    {
        bytes = rest;
    }
    bytes
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes
        && is_white_space(*last)
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_contents_are_padded_in_the_middle() {
        let Features::Enough(values) = Features::of(b" \x0bfunction \x0c\n") else { panic!("there is enough") };
        assert_eq!(values.len(), FEATURES);
        let text: Vec<i32> = b"function \x0c\n".iter().map(|&byte| i32::from(byte)).collect();
        assert_eq!(values[..11], text);
        assert!(values[11..FEATURES - 10].iter().all(|&value| value == PADDING));
        let text: Vec<i32> = b" \x0bfunction".iter().map(|&byte| i32::from(byte)).collect();
        assert_eq!(values[FEATURES - 10..], text);
    }

    #[test]
    fn long_contents_are_cut() {
        let content: Vec<u8> = (0..10_000_u32).map(|number| (number % 251) as u8 | 0x80).collect();
        let Features::Enough(values) = Features::of(&content) else { panic!("there is enough") };
        let bytes: Vec<u8> = values.iter().map(|&value| u8::try_from(value).unwrap()).collect();
        assert_eq!(bytes[..SIDE], content[..SIDE]);
        assert_eq!(bytes[SIDE..], content[content.len() - SIDE..]);
    }

    #[test]
    fn too_little_is_not_shown() {
        assert_eq!(Features::of(b""), Features::Empty);
        assert_eq!(Features::of(b"1234567"), Features::Few(b"1234567".to_vec()));
        assert_eq!(Features::of(b"  1234567"), Features::Few(b"  1234567".to_vec()));
        assert_eq!(Features::of(&[b' '; 5000]), Features::Few(vec![b' '; 4096]));
        assert!(matches!(Features::of(b"12345678"), Features::Enough(_)));
    }
}
