//! What is wrong with a file, and where.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// There is something wrong in it.
    #[error("{}", lines(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
    /// A function that the command line names has a name that is no path.
    #[error("{}: {reason}: give it a --route", path.display())]
    Route {
        /// The function.
        path: PathBuf,
        /// Why it has no route of its own.
        reason: samara_server::InvalidRoute,
    },
    /// The command line says something for some functions only.
    #[error(
        "{functions} functions, but {count} of {option}: give it once for each --function, in the same order, or not at \
         all"
    )]
    Uneven {
        /// The option.
        option: &'static str,
        /// How often it is given.
        count: usize,
        /// How many functions there are.
        functions: usize,
    },
}

// === impl Problem ===

impl Problem {
    /// A problem with the part of a text that begins there.
    pub(crate) fn at(text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Problem {
        let start = span.map_or(0, |span| span.start).min(text.len());
        let before = text.get(..start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Problem {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// As compilers write it, so that editors find the place.
fn lines(path: &std::path::Path, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect();
    lines.join("\n")
}

/// Adds what was probably meant to serde's message about a key or a value that it does not know.
pub(crate) fn with_suggestion(message: &str) -> String {
    // `unknown field `x`, expected one of `a`, `b``: serde has no other form for what it tells here.
    let mut names = message.split('`').skip(1).step_by(2);
    let (Some(kind), Some(found)) = (message.split(' ').nth(1), names.next()) else { return message.to_owned() };
    if !message.starts_with("unknown ") {
        return message.to_owned();
    }
    let kind = if kind == "field" { "key" } else { "value" };
    let known: Vec<&str> = names.collect();
    let nearest = known.iter().map(|name| (strsim::jaro_winkler(found, name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, name)) if likeness > 0.8 => format!("unknown {kind} \"{found}\": did you mean \"{name}\"?"),
        _ if known.is_empty() => format!("unknown {kind} \"{found}\": none is known here"),
        _ => format!("unknown {kind} \"{found}\": expected one of {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_a_character() {
        let text = "ä = 1\nbö = 2\n";
        let at = |offset| {
            let Problem { line, column, .. } = Problem::at(text, Some(offset..offset), "");
            (line, column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(text.find('=').unwrap()), (1, 3));
        assert_eq!(at(text.rfind('=').unwrap()), (2, 4));
        assert_eq!(at(1000), (3, 1));
    }

    #[test]
    fn what_was_meant_is_told() {
        let meant = with_suggestion("unknown field `worker`, expected one of `listen`, `workers`");
        assert_eq!(meant, r#"unknown key "worker": did you mean "workers"?"#);
        let other = with_suggestion("unknown field `frob`, expected `listen` or `workers`");
        assert_eq!(other, r#"unknown key "frob": expected one of listen, workers"#);
        let value = with_suggestion("unknown variant `jsn`, expected `text` or `json`");
        assert_eq!(value, r#"unknown value "jsn": did you mean "json"?"#);
        assert_eq!(with_suggestion("missing field `component`"), "missing field `component`");
    }
}
