//! Whether all models give what ONNX Runtime gives, through `samara serve`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use crate::http::Connection;
use crate::report::Row;
use crate::samara::Samara;
use crate::tensor::{Form, infer_request, outputs_of};
use crate::zoo::{Build, Card, Vector};

/// How far an output may be off: relative, or absolute below 1.
const TOLERANCE: f64 = 1e-4;

/// Runs every vector of every model, in JSON and in binary.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let cards = Card::all()?;
    // A model that cannot be compiled says nothing about the others.
    let compiled: Vec<Result<Vec<PathBuf>>> = cards.iter().map(|card| components(samara, card)).collect();
    let served: Vec<PathBuf> = compiled.iter().flatten().flatten().cloned().collect();
    let server = samara.serve(&served)?;
    let mut connection = Connection::open(server.address())?;
    let measure = |(card, components): (&Card, Result<Vec<PathBuf>>)| {
        let row = components.and_then(|_| row(card, &mut connection));
        row.unwrap_or_else(|error| Row::failed(&card.build.name, &error))
    };
    Ok(cards.iter().zip(compiled).map(measure).collect())
}

/// The model in all the ways that its vectors want it compiled.
fn components(samara: &Samara, card: &Card) -> Result<Vec<PathBuf>> {
    let mut builds: Vec<&Build> = vec![&card.build];
    for vector in &card.vectors {
        if !builds.contains(&&vector.build) {
            builds.push(&vector.build);
        }
    }
    builds.into_iter().map(|build| samara.component(build)).collect()
}

fn row(card: &Card, connection: &mut Connection) -> Result<Row> {
    let json = largest_error(&card.vectors, connection, Form::Json)?;
    let binary = largest_error(&card.vectors, connection, Form::Binary)?;
    let count = card.vectors.len();
    Ok(Row::new(
        format!("{}: largest error of an output, through `serve`", card.build.name),
        format!("JSON {json:.1e}, binary {binary:.1e}"),
    )
    .compared_with(format!("ONNX Runtime, {count} {}", if count == 1 { "vector" } else { "vectors" }))
    .bar("≤ 1e-4", json.max(binary) <= TOLERANCE)
    .details(json!({"json": json, "binary": binary, "vectors": count})))
}

fn largest_error(vectors: &[Vector], connection: &mut Connection, form: Form) -> Result<f64> {
    let mut largest = 0.0_f64;
    for vector in vectors {
        let request = infer_request(&vector.build.name, &vector.inputs, form)?;
        let outputs = outputs_of(&connection.send(&request)?)?;
        for expected in &vector.expected {
            let output = outputs.iter().find(|output| output.name == expected.name);
            let output = output.with_context(|| format!("no output {}", expected.name))?;
            largest = largest.max(expected.error_of(output)?);
        }
    }
    Ok(largest)
}
