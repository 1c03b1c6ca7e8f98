//! `samara link`.

use std::path::Path;

use anyhow::Result;
use samara_artifact::Inspection;
use samara_compiler::Destination;
use serde::Serialize;

use crate::format;
use crate::functions::{self, Linked};
use crate::options::LinkOptions;

#[derive(Serialize)]
struct Output<'a> {
    output: &'a Path,
    bytes: u64,
    imports: &'a [String],
    exports: &'a [String],
}

pub fn run(arguments: &LinkOptions) -> Result<()> {
    let destination = Destination::claim(&arguments.output)?;
    let Linked { component, .. } = functions::link(&arguments.function, arguments.model.as_deref())?;
    destination.write(&component)?;
    let Inspection { bytes, imports, exports, .. } = Inspection::of(&component)?;
    if arguments.json {
        let output = Output { output: &arguments.output, bytes, imports: &imports, exports: &exports };
        println!("{}", serde_json::to_string_pretty(&output)?);
        return Ok(());
    }
    println!("{}", arguments.output.display());
    println!("  component    {}", format::bytes(bytes));
    for (what, names) in [("imports", &imports), ("exports", &exports)] {
        println!("  {what}");
        for name in names {
            println!("    {name}");
        }
    }
    Ok(())
}
