//! The results: a table for people, and a file for programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::machine::Machine;

/// The share of the cores from which on others disturb a measurement.
pub const DISTURBED: f64 = 0.1;

/// One result.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The result, in words.
    pub measured: String,
    /// What it is compared with.
    pub compared_with: String,
    /// What it must be; empty for a row that is there to explain another.
    pub bar: String,
    /// Whether it is that.
    pub holds: Option<bool>,
    /// Whether it could not be measured.
    pub failed: bool,
    /// The numbers behind it.
    pub details: Value,
}

/// All results of a run.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    seconds: f64,
    /// The share of the cores' time that others used, by measurement.
    others: BTreeMap<&'static str, f64>,
    rows: Vec<Entry>,
    #[serde(skip)]
    start: Instant,
}

#[derive(Serialize)]
struct Entry {
    measurement: &'static str,
    #[serde(flatten)]
    row: Row,
}

// === impl Row ===

impl Row {
    /// A result.
    pub fn new(what: impl Into<String>, measured: impl Into<String>) -> Row {
        Row {
            what: what.into(),
            measured: measured.into(),
            compared_with: String::new(),
            bar: String::new(),
            holds: None,
            failed: false,
            details: Value::Null,
        }
    }

    /// No result.
    pub fn failed(what: impl Into<String>, error: &anyhow::Error) -> Row {
        let row = Row::new(what, format!("not measured: {error:#}"));
        Row { holds: Some(false), failed: true, ..row }
    }

    /// Says what it is compared with.
    pub fn compared_with(mut self, what: impl Into<String>) -> Row {
        self.compared_with = what.into();
        self
    }

    /// Says what it must be, and whether it is.
    pub fn bar(mut self, bar: impl Into<String>, holds: bool) -> Row {
        self.bar = bar.into();
        self.holds = Some(holds);
        self
    }

    /// Adds the numbers behind it.
    pub fn details(mut self, details: Value) -> Row {
        self.details = details;
        self
    }
}

// === impl Report ===

impl Report {
    /// A report without results.
    pub fn new(machine: Machine) -> Report {
        Report { machine, seconds: 0.0, others: BTreeMap::new(), rows: Vec::new(), start: Instant::now() }
    }

    /// Adds the results of a measurement, and how much of the machine others used meanwhile.
    pub fn add(&mut self, measurement: &'static str, others: Option<f64>, rows: Vec<Row>) {
        self.others.extend(others.map(|share| (measurement, share)));
        self.rows.extend(rows.into_iter().map(|row| Entry { measurement, row }));
    }

    /// Writes the file for programs.
    pub fn finish(&mut self, path: &Path) -> Result<()> {
        self.seconds = self.start.elapsed().as_secs_f64();
        let written = || format!("cannot write {}", path.display());
        let json = serde_json::to_vec_pretty(self)?;
        std::fs::write(path, json).with_context(written)
    }

    /// The table for people, in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.machine.to_markdown());
        text.push_str("| what | measured | compared with | bar | holds |\n|---|---|---|---|---|\n");
        for Entry { row, .. } in &self.rows {
            let holds = match row.holds {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "",
            };
            let cells = [&row.what, &row.measured, &row.compared_with, &row.bar].map(|cell| escape(cell));
            text.push_str(&format!("| {} | {holds} |\n", cells.join(" | ")));
        }
        let missed = self.rows.iter().filter(|entry| entry.row.holds == Some(false)).count();
        let bars = self.rows.iter().filter(|entry| entry.row.holds.is_some()).count();
        text.push_str(&format!("\n{} of {bars} bars hold. The run took {:.0} s.\n", bars - missed, self.seconds));
        let disturbed: Vec<String> = self
            .others
            .iter()
            .filter(|(_, share)| **share >= DISTURBED)
            .map(|(measurement, share)| format!("{measurement} ({:.0} % of the cores)", share * 100.0))
            .collect();
        if !disturbed.is_empty() {
            text.push_str(&format!("Other processes disturbed {}: measure again.\n", disturbed.join(", ")));
        }
        text
    }
}

/// A text as the cell of a table.
pub fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_keeps_to_its_line() {
        assert_eq!(escape("a | b\nc"), "a \\| b c");
    }

    #[test]
    fn a_row_without_a_bar_says_nothing_about_it() {
        let mut report = Report::new(Machine::default());
        report.add(
            "x",
            Some(0.25),
            vec![Row::new("a", "1").bar("≤ 2", true), Row::new("b", "2"), Row::new("c", "3").bar("≤ 2", false)],
        );
        let text = report.to_markdown();
        assert!(text.contains("| a | 1 |  | ≤ 2 | yes |\n| b | 2 |  |  |  |\n| c | 3 |  | ≤ 2 | **no** |\n"), "{text}");
        assert!(text.contains("1 of 2 bars hold."), "{text}");
        assert!(text.contains("disturbed x (25 % of the cores)"), "{text}");
    }
}
