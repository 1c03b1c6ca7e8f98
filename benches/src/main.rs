//! Measures what Samara must show, and prints it beside what it is compared with.
//!
//! ```text
//! cargo run --release -p samara-bench                  everything
//! cargo run --release -p samara-bench -- start http    only these
//! cargo run --release -p samara-bench -- --list        what there is
//! cargo run --release -p samara-bench -- peers         Samara beside what else runs the models; see [`peers`]
//! cargo run --release -p samara-bench -- node          a node under load; see [`node`]
//! ```
//!
//! The table goes to standard output in Markdown, progress to standard error, and all of it with details to
//! `target/bench.json`. The binary under test is `target/release/samara`, or the one that `SAMARA_BIN` names. Every
//! measurement has a fixed number of rounds and stops by itself; what it starts is ended with it. The exit status says
//! whether everything could be measured, not whether every bar was met: on a busy machine they are not.

#![forbid(unsafe_code)]

mod contention;
mod hello;
mod http;
mod load;
mod machine;
mod measurements;
mod node;
mod pace;
mod peers;
mod process;
mod report;
mod samara;
mod statistics;
mod tensor;
mod zoo;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::contention::Contention;
use crate::machine::Machine;
use crate::measurements::Measurement;
use crate::report::{Report, Row};
use crate::samara::Samara;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the command line asks for; `false` when a measurement failed.
fn run() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| matches!(argument.as_str(), "--list" | "--help" | "-h")) {
        for measurement in measurements::ALL {
            println!("{:<12}{}", measurement.name, measurement.title);
        }
        println!("{:<12}all models, or those named, on Samara and on what else runs them; alone", "peers [MODEL]");
        println!("{:<12}a node under load, or what of it is named; alone:", "node [NAME]");
        for measurement in node::ALL {
            println!("  {:<12}{}", measurement.name, measurement.title);
        }
        return Ok(true);
    }
    if let [first, models @ ..] = &arguments[..]
        && first == "peers"
    {
        peers::run(&Samara::find()?, models)?;
        return Ok(true);
    }
    let (chosen, results) = match &arguments[..] {
        [first, names @ ..] if first == "node" => (choose(node::ALL, names)?, "bench-node.json"),
        names => (choose(measurements::ALL, names)?, "bench.json"),
    };
    let samara = Samara::find()?;
    let machine = Machine::look(&samara)?;
    let mut report = Report::new(machine);
    let mut complete = true;
    for (index, measurement) in chosen.iter().enumerate() {
        eprintln!("[{}/{}] {}: {}", index + 1, chosen.len(), measurement.name, measurement.title);
        let (start, contention) = (Instant::now(), Contention::begin());
        let rows = (measurement.run)(&samara).unwrap_or_else(|error| vec![Row::failed(measurement.title, &error)]);
        let others = contention.share();
        for row in &rows {
            eprintln!("      {}: {}", row.what, row.measured);
        }
        eprint!("      took {:.1} s", start.elapsed().as_secs_f64());
        eprintln!(
            "{}",
            others.map_or(String::new(), |share| format!(", others used {:.0} % of the cores", share * 100.0))
        );
        complete &= !rows.iter().any(|row| row.failed);
        report.add(measurement.name, others, rows);
    }
    report.finish(&samara.target().join(results))?;
    print!("{}", report.to_markdown());
    Ok(complete)
}

/// Of these measurements those of these names, or all of them.
fn choose(all: &'static [Measurement], names: &[String]) -> Result<Vec<&'static Measurement>> {
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    names
        .iter()
        .map(|name| match all.iter().find(|measurement| measurement.name == name) {
            Some(measurement) => Ok(measurement),
            None => {
                let known: Vec<&str> = all.iter().map(|measurement| measurement.name).collect();
                bail!("there is no measurement {name:?}; there are {}", known.join(", "))
            }
        })
        .collect()
}
