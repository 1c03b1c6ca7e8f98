//! `samara bench`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use samara_profile::{Latency, Operator, Profile, Quantiles};
use serde::Serialize;

use crate::options::{BenchOptions, ModelOptions};
use crate::{format, model};

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    version: &'a str,
    #[serde(flatten)]
    latency: &'a Latency,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a Profile>,
}

/// How many of the operators that take longest are shown.
const SHOWN: usize = 20;

/// The fewest runs and the most of which the fastest counts.
const RUNS: std::ops::RangeInclusive<usize> = 3..=1000;

pub fn run(arguments: &BenchOptions) -> Result<()> {
    let ModelOptions { path, input, .. } = &arguments.model;
    let (runtime, model) = model::load(&arguments.model)?;
    let inputs = match model.manifest() {
        Some(manifest) if input.is_empty() => {
            let inputs = manifest.sample_inputs();
            inputs
                .context("the component tells no shapes to run it with: give each input with --input NAME=FILE.npy")?
        }
        _ => model::read_inputs(&model.metadata().inputs, input)?,
    };
    ensure!(
        !arguments.profile || model.graph().is_none(),
        "--profile tells of operators that run in WebAssembly, and the host runs this model"
    );
    // What is wrong is said before anything is measured.
    let component = if arguments.profile {
        let component = std::fs::read(path).with_context(|| path.display().to_string())?;
        samara_profile::check(&component, &inputs)?;
        Some(component)
    } else {
        None
    };
    let time = Duration::from_secs(arguments.seconds.into());
    let latency = samara_profile::latency(&model, &inputs, time)?;
    let profile = if let Some(component) = component {
        let runs = time.as_nanos() / u128::from(latency.reused.p50_ns.max(1));
        let runs = usize::try_from(runs).unwrap_or(usize::MAX).clamp(*RUNS.start(), *RUNS.end());
        Some(samara_profile::operators(&component, &inputs, runs, runtime.limits(), runtime.cache())?)
    } else {
        None
    };
    let metadata = model.metadata();
    if arguments.json {
        let profile = profile.as_ref();
        let report = Report { model: &metadata.name, version: &metadata.version, latency: &latency, profile };
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        show_latency(&latency);
        if let Some(profile) = &profile {
            println!();
            show_profile(profile);
        }
    }
    Ok(())
}

fn show_latency(latency: &Latency) {
    let row = |what: &str, Quantiles { min_ns, p50_ns, p99_ns }: Quantiles| {
        let [min, p50, p99] = [min_ns, p50_ns, p99_ns].map(format::time);
        println!("{what:28}{p50:>12}{p99:>12}{min:>12}");
    };
    println!("{:28}{:>12}{:>12}{:>12}", format!("{} samples of each", latency.samples), "p50", "p99", "min");
    row("make an instance", latency.instantiate);
    row("infer in a fresh instance", latency.fresh);
    row("infer in a reused instance", latency.reused);
    println!("page faults of a fresh instance and its inference: {}", latency.page_faults);
    if let Some(dirty) = &latency.dirty {
        println!("an inference writes to {}", format::dirty(dirty));
    }
}

fn show_profile(profile: &Profile) {
    let total = profile.operators.iter().map(|operator| operator.nanoseconds).fold(0, u64::saturating_add);
    println!(
        "{} operators, {}, of {} for the fastest run; peak of this CPU: {:.1} GFLOP/s",
        profile.operators.len(),
        format::time(total),
        format::time(profile.nanoseconds),
        profile.peak_gflops
    );
    println!(
        "{}{}",
        format::activations(profile.peak_bytes, profile.arena_bytes),
        if profile.planned { "" } else { ", for other shapes than these" }
    );
    let mut kinds: BTreeMap<&str, Sum> = BTreeMap::new();
    for operator in &profile.operators {
        kinds.entry(&operator.kind).or_default().add(operator);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.nanoseconds));
    let head = |what: &str| {
        println!("\n{:>10}{:>8}{:>10}{:>8}{:>10}  {what}", "time", "share", "GFLOP/s", "peak", "GB/s");
    };
    head("kind");
    for (kind, sum) in kinds {
        println!("{}  {} x {}", sum.row(total, profile.peak_gflops), sum.count, kind.escape_debug());
    }
    head("operator");
    let mut slowest: Vec<&Operator> = profile.operators.iter().collect();
    slowest.sort_by_key(|operator| std::cmp::Reverse(operator.nanoseconds));
    for operator in slowest.into_iter().take(SHOWN) {
        let mut sum = Sum::default();
        sum.add(operator);
        let Operator { kind, name, outputs, .. } = operator;
        let (kind, name) = (kind.escape_debug(), name.escape_debug());
        println!("{}  {kind} {name} {outputs:?}", sum.row(total, profile.peak_gflops));
    }
}

/// What operators take together.
#[derive(Default)]
struct Sum {
    count: usize,
    nanoseconds: u64,
    flops: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, operator: &Operator) {
        self.count += 1;
        self.nanoseconds = self.nanoseconds.saturating_add(operator.nanoseconds);
        self.flops = self.flops.saturating_add(operator.flops);
        self.bytes = self.bytes.saturating_add(operator.bytes).saturating_add(operator.weight_bytes);
    }

    fn row(&self, total: u64, peak_gflops: f64) -> String {
        // Operations in a nanosecond are 10⁹ in a second.
        let rate = |count: u64| count as f64 / self.nanoseconds.max(1) as f64;
        let share = self.nanoseconds as f64 / total.max(1) as f64 * 100.0;
        let (gflops, of_peak) = if self.flops == 0 {
            (String::new(), String::new())
        } else {
            (format!("{:.1}", rate(self.flops)), format!("{:.0} %", rate(self.flops) / peak_gflops * 100.0))
        };
        let time = format::time(self.nanoseconds);
        format!("{time:>10}{share:>6.1} %{gflops:>10}{of_peak:>8}{:>10.1}", rate(self.bytes))
    }
}
