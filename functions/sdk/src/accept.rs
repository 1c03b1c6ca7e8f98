//! Media types, and which of them a client likes best: RFC 9110, section 12.5.1.

use mediatype::names::{_STAR, Q};
use mediatype::{MediaType, MediaTypeList, ReadParams};

/// A type without its parameters, in small letters.
pub fn essence(text: &str) -> Option<String> {
    MediaType::parse(text).ok().map(|parsed| parsed.essence().to_string().to_ascii_lowercase())
}

/// The type that a client with this `accept` header likes best; of equals, the first.
pub fn choose<'a>(accept: &str, available: &[&'a str]) -> Option<&'a str> {
    let mut best = None;
    for &candidate in available {
        let weight = weight(accept, candidate);
        if weight > best.map_or(0.0, |(_, weight)| weight) {
            best = Some((candidate, weight));
        }
    }
    best.map(|(candidate, _)| candidate)
}

/// The weight that a client gives a type: that of the range which names it most closely.
fn weight(accept: &str, candidate: &str) -> f32 {
    let Ok(candidate) = MediaType::parse(candidate) else { return 0.0 };
    let mut found: Option<(u8, f32)> = None;
    for range in MediaTypeList::new(accept).flatten() {
        let closeness = if range.ty == candidate.ty && range.subty == candidate.subty {
            2
        } else if range.ty == candidate.ty && range.subty == _STAR {
            1
        } else if range.ty == _STAR && range.subty == _STAR {
            0
        } else {
            continue;
        };
        let weight = range.get_param(Q).and_then(|q| q.as_str().parse().ok()).unwrap_or(1.0);
        if found.is_none_or(|(best, _)| closeness > best) {
            found = Some((closeness, weight));
        }
    }
    found.map_or(0.0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_chosen() {
        let available = ["application/json", "text/csv"];
        for (accept, wanted) in [
            ("*/*", Some("application/json")),
            ("text/csv", Some("text/csv")),
            ("Text/*", Some("text/csv")),
            ("application/json;q=0.5, text/csv", Some("text/csv")),
            ("text/csv;q=0, */*", Some("application/json")),
            ("text/*;q=0.9, text/csv;q=0.1, application/json;q=0.2", Some("application/json")),
            ("image/png", None),
            ("*/*;q=0", None),
            ("nonsense", None),
        ] {
            assert_eq!(choose(accept, &available), wanted, "{accept}");
        }
    }

    #[test]
    fn types_are_stripped_of_their_parameters() {
        assert_eq!(essence("Text/CSV; charset=utf-8").as_deref(), Some("text/csv"));
        assert_eq!(essence("nonsense"), None);
    }
}
