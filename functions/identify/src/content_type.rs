//! What is known of a type of content.

use serde::Serialize;

use crate::types::TYPES;

/// A type of content. Serialises to the reply's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ContentType {
    /// Magika's label for it, as `python`.
    #[serde(rename = "type")]
    pub label: &'static str,
    /// What it is, in English.
    pub description: &'static str,
    /// Its MIME type.
    pub mime: &'static str,
    /// What kind of thing it is, as `code` or `image`.
    pub group: &'static str,
    /// The usual extensions of its files' names, without dots.
    pub extensions: &'static [&'static str],
    /// Whether its files are text.
    pub is_text: bool,
}

/// The type with some label.
pub fn find(label: &str) -> Option<&'static ContentType> {
    TYPES.iter().find(|known| known.label == label)
}

/// A row of the table: a type whose files are text.
pub(crate) const fn text(
    label: &'static str,
    description: &'static str,
    mime: &'static str,
    group: &'static str,
    extensions: &'static [&'static str],
) -> ContentType {
    ContentType { label, description, mime, group, extensions, is_text: true }
}

/// A row of the table: a type whose files are no text.
pub(crate) const fn binary(
    label: &'static str,
    description: &'static str,
    mime: &'static str,
    group: &'static str,
    extensions: &'static [&'static str],
) -> ContentType {
    ContentType { label, description, mime, group, extensions, is_text: false }
}
