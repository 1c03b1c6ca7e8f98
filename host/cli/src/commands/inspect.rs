//! `samara inspect`.

use anyhow::{Context, Result};
use samara_artifact::{Inspection, Manifest, ManifestError};
use serde::Serialize;

use crate::format;
use crate::options::InspectOptions;

#[derive(Serialize)]
struct Output<'a> {
    manifest: Option<&'a Manifest>,
    #[serde(flatten)]
    inspection: &'a Inspection,
    image_density: f64,
    copy_on_write_by_default: bool,
}

pub fn run(arguments: &InspectOptions) -> Result<()> {
    let path = &arguments.model;
    let component = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest = match Manifest::read_from(&component) {
        Ok(manifest) => Some(manifest),
        Err(ManifestError::Missing) => None,
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let inspection = Inspection::of(&component).with_context(|| path.display().to_string())?;
    if arguments.json {
        let output = Output {
            manifest: manifest.as_ref(),
            inspection: &inspection,
            image_density: inspection.memory.density(),
            copy_on_write_by_default: inspection.memory.is_copy_on_write_by_default(),
        };
        println!("{}", serde_json::to_string_pretty(&output)?);
        return Ok(());
    }
    println!("{}", path.display());
    match &manifest {
        Some(manifest) => print_manifest(manifest),
        None => println!("  model        unknown: the component was not made by `samara compile`"),
    }
    println!("  component    {}, {} functions", format::bytes(inspection.bytes), inspection.functions);
    for part in &inspection.parts {
        println!("    {:>12}  {}", format::bytes(part.bytes), part.name);
    }
    println!("  memory       {}", format::image(&inspection.memory));
    println!(
        "               {} on hosts with Wasmtime's default settings",
        if inspection.memory.is_copy_on_write_by_default() {
            "mapped copy-on-write"
        } else {
            "copied into each instance"
        }
    );
    for (title, names) in [("imports", &inspection.imports), ("exports", &inspection.exports)] {
        println!("  {title}");
        for name in names {
            println!("    {name}");
        }
    }
    Ok(())
}

fn print_manifest(manifest: &Manifest) {
    match &manifest.nn {
        None => println!("  model        {} version {}, {} SIMD", manifest.name, manifest.version, manifest.simd),
        Some(graph) => {
            println!("  model        {} version {}, run by the host", manifest.name, manifest.version);
            println!("  graph        {}", format::graph(graph));
        }
    }
    println!("  made by      {}", manifest.generator);
    println!("  from         {}, SHA-256 {}", manifest.source.file, manifest.source.sha256);
    for input in &manifest.inputs {
        println!("  input        {}", format::spec(input));
    }
    for output in &manifest.outputs {
        println!("  output       {}", format::spec(output));
    }
    if let Some(cost) = &manifest.cost {
        println!(
            "  computation  {} parameters, {} multiply-accumulates",
            format::count(cost.parameters),
            format::count(cost.multiply_accumulates)
        );
    }
    if let Some(labels) = &manifest.labels {
        let first: Vec<&str> = labels.iter().take(3).map(String::as_str).collect();
        println!("  labels       {}: {}, …", labels.len(), first.join(", "));
    }
}
