//! What Samara must show beside its peers.

use std::time::Duration;

use super::catalogue::{FRESH, IN_ALL, ONNXRUNTIME, ONNXRUNTIME_NATIVE, ONNXRUNTIME_WEB, REUSED, TRACT};
use super::report::{Bar, Growth, Report, geometric_mean};
use crate::statistics::show;

/// How much longer a fresh instance may take than ONNX Runtime and than tract, natively.
const AGAINST_NATIVE: [(&str, f64, Option<f64>); 7] = [
    ("efficientnet-lite0", 2.1, Some(0.7)),
    ("ppocrv4-rec", 2.2, Some(1.0)),
    ("minilm-l6", 2.2, Some(1.2)),
    ("magika", 1.8, Some(1.0)),
    ("fashion-cnn", 2.5, Some(1.0)),
    ("silero-vad", 2.0, None),
    ("anomaly-autoencoder", 2.0, None),
];

/// The models of a fresh instance of which everything has to be done in a time.
const SMALLEST: [&str; 2] = ["silero-vad", "anomaly-autoencoder"];
const IN_ALL_NS: f64 = 60_000.0;

/// From which time on a model is no small one, and what a fresh instance may add to either.
const LARGE_NS: f64 = 5e6;
const FRESH_SHARE: f64 = 1.03;
const FRESH_FIXED_NS: f64 = 25_000.0;

/// How much more of a time a larger input may take for each of its parts.
const GROWTH: f64 = 1.10;

/// All of them, for the models that were measured.
pub fn check(report: &Report) -> Vec<Bar> {
    let measured = |name: &str| report.models.iter().any(|model| model.name == name);
    let mut bars = Vec::new();
    for (model, onnxruntime, tract) in AGAINST_NATIVE.into_iter().filter(|(model, ..)| measured(model)) {
        // Of the two ways to call it, the faster one counts.
        let fastest = [ONNXRUNTIME, ONNXRUNTIME_NATIVE].into_iter().min_by(|a, b| {
            let time = |peer| report.p50(model, peer).unwrap_or(f64::INFINITY);
            time(a).total_cmp(&time(b))
        });
        let name = "ONNX Runtime, the faster of C API and Python";
        bars.push(times(report, model, fastest.unwrap_or(ONNXRUNTIME), name, onnxruntime));
        bars.extend(tract.map(|limit| times(report, model, TRACT, "tract, native", limit)));
    }
    bars.extend(SMALLEST.into_iter().filter(|model| measured(model)).map(|model| in_all(report, model)));
    for model in &report.models {
        bars.push(times(report, &model.name, ONNXRUNTIME_WEB, "onnxruntime-web", 1.0));
    }
    bars.push(on_average(report));
    bars.extend(report.models.iter().map(|model| against_reused(report, &model.name)));
    bars.extend(report.growth.iter().map(growth));
    bars
}

/// A fresh instance against a peer.
fn times(report: &Report, model: &str, peer: &str, name: &str, limit: f64) -> Bar {
    let what = format!("{model}, fresh instance, against {name}");
    let bar = format!("≤ {limit}x");
    match (report.p50(model, FRESH), report.p50(model, peer)) {
        (Some(ours), Some(theirs)) => {
            let ratio = ours / theirs;
            let measured = format!("{} ÷ {} = {ratio:.2}x", shown(ours), shown(theirs));
            Bar::new(what, measured, bar, ratio <= limit).allowing(model, limit * theirs)
        }
        // Nobody is slower than one that cannot run the model at all.
        (Some(ours), None) => Bar::new(what, format!("{}; the other has no right answer", shown(ours)), bar, true),
        _ => Bar::new(what, "not measured".to_owned(), bar, false),
    }
}

fn in_all(report: &Report, model: &str) -> Bar {
    let time = report.p50(model, IN_ALL);
    let what = format!("{model}, fresh instance: made, run and reset");
    let measured = time.map_or("not measured".to_owned(), shown);
    let holds = time.is_some_and(|time| time <= IN_ALL_NS);
    Bar::new(what, measured, format!("≤ {}", shown(IN_ALL_NS)), holds).allowing(model, IN_ALL_NS)
}

/// Over all models that both can run.
fn on_average(report: &Report) -> Bar {
    let ratios = report.ratios(FRESH, ONNXRUNTIME_WEB);
    let mean = geometric_mean(&ratios);
    let what = format!("geometric mean of {} models, fresh instance, against onnxruntime-web", ratios.len());
    let measured = mean.map_or("not measured".to_owned(), |mean| format!("{mean:.2}x"));
    Bar::new(what, measured, "≤ 1x".to_owned(), mean.is_some_and(|mean| mean <= 1.0))
}

fn against_reused(report: &Report, model: &str) -> Bar {
    let what = format!("{model}, fresh against reused instance");
    let (Some(fresh), Some(reused)) = (report.p50(model, FRESH), report.p50(model, REUSED)) else {
        return Bar::new(what, "not measured".to_owned(), String::new(), false);
    };
    let compared = format!("{} against {}", shown(fresh), shown(reused));
    if reused > LARGE_NS {
        let ratio = fresh / reused;
        let measured = format!("{compared}: {ratio:.3}x");
        Bar::new(what, measured, format!("≤ {FRESH_SHARE}x"), ratio <= FRESH_SHARE)
    } else {
        let more = fresh - reused;
        let measured = format!("{compared}: {:+.1} µs", more / 1e3);
        Bar::new(what, measured, format!("≤ {} more", shown(FRESH_FIXED_NS)), more <= FRESH_FIXED_NS)
    }
}

/// Every size against the smallest. That a larger one costs less for each of its parts is no fault.
fn growth(growth: &Growth) -> Bar {
    let what = format!("{}: time per {} against that of the smallest", growth.what, growth.per);
    let bar = format!("≤ {GROWTH:.2}x at every size");
    let costs: Option<Vec<f64>> =
        growth.points.iter().map(|point| Some(point.cells.get(FRESH)?.p50()? / point.work)).collect();
    let Some((costs, &smallest)) = costs.as_deref().and_then(|costs| Some((costs, costs.first()?))) else {
        return Bar::new(what, "not measured".to_owned(), bar, false);
    };
    let most = costs.iter().fold(0.0_f64, |most, cost| most.max(cost / smallest));
    let last = costs.last().map_or(1.0, |cost| cost / smallest);
    Bar::new(what, format!("{most:.2}x at most, {last:.2}x at the largest"), bar, most <= GROWTH)
}

fn shown(nanoseconds: f64) -> String {
    show(Duration::from_nanos(nanoseconds as u64))
}
