//! What a compiled model asks of its host.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;
use samara_artifact::Inspection;
use serde_json::json;

use crate::report::Row;
use crate::samara::Samara;
use crate::zoo::Card;

/// The packages that a component may import from: those that its HTTP export needs.
const ALLOWED: [&str; 2] = ["wasi:http/", "wasi:io/"];

/// Lists the imports of all models.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let cards = Card::all()?;
    let mut imports = BTreeSet::new();
    for card in &cards {
        let component = fs::read(samara.component(&card.build)?)?;
        imports.extend(Inspection::of(&component)?.imports);
    }
    let only_allowed = imports.iter().all(|import| ALLOWED.iter().any(|package| import.starts_with(package)));
    let list: Vec<String> = imports.iter().map(|import| format!("`{import}`")).collect();
    Ok(vec![
        Row::new(format!("imports of all {} compiled models", cards.len()), list.join(", "))
            .bar("only `wasi:http/*` and `wasi:io/*`", only_allowed)
            .details(json!({"imports": imports})),
    ])
}
