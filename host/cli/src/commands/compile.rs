//! `samara compile`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use samara_artifact::{Simd, Tune};
use samara_compiler::{Destination, Options, Report, ReportForHost, StepTime, compile, compile_for_host};
use samara_protocol::TensorSpec;
use samara_runtime::{Config, Runtime};
use serde::Serialize;

use crate::format;
use crate::options::{CompileOptions, Target};

/// How long the first inference may take: a model may be slow, but not stuck.
const FIRST_INFERENCE: Duration = Duration::from_secs(300);

#[derive(Serialize)]
struct Output<'a, R> {
    output: &'a Path,
    #[serde(flatten)]
    report: &'a R,
}

pub fn run(arguments: &CompileOptions) -> Result<()> {
    if arguments.target == Target::Nn {
        for (option, given) in [("--simd", arguments.simd.is_some()), ("--tune", arguments.tune.is_some())] {
            if given {
                bail!("{option} is for models that run in the component; with --target nn the host runs it");
            }
        }
    }
    let stem = arguments
        .model
        .file_stem()
        .with_context(|| format!("{} is not a file", arguments.model.display()))?
        .to_string_lossy()
        .into_owned();
    let output = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{stem}.wasm")));
    let options = Options {
        name: arguments.name.clone().unwrap_or_else(|| url_name(&stem)),
        version: arguments.version.clone(),
        inputs: arguments.input.clone(),
        simd: arguments.simd.unwrap_or(Simd::Relaxed),
        tune: arguments.tune.unwrap_or_else(Tune::here),
        labels: arguments.labels.as_deref().map(read_labels).transpose()?,
    };
    let destination = Destination::claim(&output)?;
    let mut config = Config::default();
    config.limits.deadline = FIRST_INFERENCE;
    config.limits.memory_bytes = 4 << 30;
    config.limits.instances = 2;
    arguments.cache.apply(&mut config);
    let runtime = Runtime::new(&config)?;

    let steps = Steps::new(arguments.json);
    let mut progress = |index: usize, count: usize, step: &'static str| steps.begin(index, count, step);
    match arguments.target {
        Target::Wasm => {
            let compiled = compile(&runtime, &arguments.model, &options, &mut progress)?;
            destination.write(&compiled.component)?;
            steps.end();
            tell(arguments.json, &output, &compiled.report, print)
        }
        Target::Nn => {
            let compiled = compile_for_host(&runtime, &arguments.model, &options, &mut progress)?;
            // The graph first: a component whose graph is missing would be of no use.
            destination.write_graph(&arguments.model, &compiled.report.nn)?;
            destination.write(&compiled.component)?;
            steps.end();
            tell(arguments.json, &output, &compiled.report, print_for_host)
        }
    }
}

fn tell<R: Serialize>(json: bool, output: &Path, report: &R, print: fn(&Path, &R)) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&Output { output, report })?);
    } else {
        print(output, report);
    }
    Ok(())
}

/// A name for URLs out of a file's.
fn url_name(stem: &str) -> String {
    let name: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+') { c } else { '_' })
        .take(128)
        .collect();
    if name.chars().all(|c| c == '.') { "model".to_owned() } else { name }
}

fn read_labels(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read labels from {}", path.display()))?;
    let labels: Vec<String> = text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect();
    if labels.is_empty() {
        bail!("{} is empty; the name of one class a line was expected", path.display());
    }
    Ok(labels)
}

/// Tells what is being done: a bar on a terminal, else a line for each step.
enum Steps {
    Bar(ProgressBar),
    Lines,
    Silent,
}

impl Steps {
    fn new(json: bool) -> Steps {
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} ({elapsed})");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(100));
            Steps::Bar(bar)
        } else if json {
            Steps::Silent
        } else {
            Steps::Lines
        }
    }

    fn begin(&self, index: usize, count: usize, step: &'static str) {
        match self {
            Steps::Bar(bar) => {
                bar.set_length(count as u64);
                bar.set_position(index as u64);
                bar.set_message(step);
            }
            Steps::Lines => eprintln!("[{}/{count}] {step}", index + 1),
            Steps::Silent => {}
        }
    }

    fn end(&self) {
        if let Steps::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn print(output: &Path, report: &Report) {
    println!("{}", output.display());
    println!(
        "  model        {} version {}, {} SIMD, tuned for {}",
        report.name, report.version, report.simd, report.tune
    );
    print_signature(&report.inputs, &report.outputs);
    println!(
        "  computation  {} parameters, {} multiply-accumulates, {} operators",
        format::count(report.cost.parameters),
        format::count(report.cost.multiply_accumulates),
        report.operators
    );
    println!("  component    {}", format::bytes(report.component_bytes));
    println!("  memory       {}", format::image(&report.image));
    println!(
        "  inference    {:.3} ms, in a fresh instance, on zeros; {}",
        report.latency_ms,
        format::activations(report.peak_bytes, report.arena_bytes)
    );
    if let Some(dirty) = &report.dirty {
        println!("  writes to    {}", format::dirty(dirty));
    }
    print_steps(&report.steps);
}

fn print_for_host(output: &Path, report: &ReportForHost) {
    println!("{}", output.display());
    println!("  model        {} version {}, run by the host", report.name, report.version);
    println!("  graph        {}", format::graph(&report.nn));
    print_signature(&report.inputs, &report.outputs);
    println!("  component    {}", format::bytes(report.component_bytes));
    println!("  memory       {}", format::image(&report.image));
    print_steps(&report.steps);
}

fn print_signature(inputs: &[TensorSpec], outputs: &[TensorSpec]) {
    for input in inputs {
        println!("  input        {}", format::spec(input));
    }
    for output in outputs {
        println!("  output       {}", format::spec(output));
    }
}

fn print_steps(steps: &[StepTime]) {
    let total: f64 = steps.iter().map(|step| step.ms).sum();
    println!("  compiled in  {total:.0} ms:");
    for step in steps {
        println!("    {:>8.1} ms  {}", step.ms, step.step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_becomes_fit_for_a_url() {
        assert_eq!(url_name("my model (1)"), "my_model__1_");
        assert_eq!(url_name(".."), "model");
    }
}
