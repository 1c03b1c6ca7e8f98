//! The document made of a fixed report.

use super::*;
use crate::peers::bars;
use crate::peers::report::Roofline;

fn report() -> Report {
    let mut report: Report = serde_json::from_str(include_str!("report.json")).expect("a report");
    report.bars = bars::check(&report);
    report
}

/// The row of a table below a heading that begins so.
fn row(document: &str, heading: &str, start: &str) -> String {
    let (_, section) = document.split_once(heading).expect("the heading");
    let line = section.lines().find(|line| line.starts_with(start));
    line.unwrap_or_else(|| panic!("no {start:?} below {heading:?}")).to_owned()
}

#[test]
fn times_are_shown_or_why_there_are_none() {
    let text = document(&report());
    let times = "## Time of one inference";
    assert_eq!(row(&text, times, "| Samara, wasm, fresh"), "| Samara, wasm, fresh instance | 20.0 ms | 8.0 µs |");
    assert_eq!(row(&text, times, "| tract, native"), "| tract, native | 30.0 ms | wrong: an output is off by 1.0e0 |");
    let cut = "| rten, native | 40.0 ms | cannot: unsupported operator TreeEnsembleClassif… |";
    assert_eq!(row(&text, times, "| rten, native"), cut);
    let whole = "- rten, native cannot run breast-random-forest: unsupported operator TreeEnsembleClassifier in the domain \
                 ai.onnx.ml \\| version 3 at node 0";
    assert_eq!(row(&text, "## What could not be measured", "- rten"), whole);
    let spread = "| onnxruntime-web on Node | 54.0 ms – 66.0 ms (7) | 18.0 µs – 22.0 µs (100) |";
    assert_eq!(row(&text, "## Least time", "| onnxruntime-web"), spread);
}

#[test]
fn ratios_are_of_what_both_can_run() {
    let text = document(&report());
    let ratios = "## Samara beside each peer";
    let python = "| ONNX Runtime in Python | 2.00x | 1.14x | **1.51x** |";
    assert_eq!(row(&text, ratios, "| ONNX Runtime in Python"), python);
    assert_eq!(row(&text, ratios, "| rten"), "| rten, native | 0.50x | – | **0.50x** of 1 |");
    // A server is compared with a server.
    let fastapi = "| FastAPI with ONNX Runtime over HTTP | 1.86x | 0.10x | **0.43x** |";
    assert_eq!(row(&text, ratios, "| FastAPI"), fastapi);
    let slower = "- **ONNX Runtime in Python**: on 2 of 2: efficientnet-lite0 (2.00x), breast-random-forest (1.14x).";
    assert_eq!(row(&text, "### Where Samara is slower", "- **ONNX Runtime in"), slower);
    assert_eq!(row(&text, "### Where Samara is slower", "- **rten"), "- **rten, native**: on none of 1.");
}

#[test]
fn bars_tell_what_holds_and_what_does_not() {
    let text = document(&report());
    let bars = "## What Samara must show";
    // The faster of the two ways to call ONNX Runtime counts.
    let native = "| efficientnet-lite0, fresh instance, against ONNX Runtime, the faster of C API and Python | \
                  20.0 ms ÷ 9.90 ms = 2.02x | ≤ 2.1x | yes |";
    assert_eq!(row(&text, bars, "| efficientnet-lite0, fresh instance, against ONNX"), native);
    let large =
        "| efficientnet-lite0, fresh against reused instance | 20.0 ms against 19.9 ms: 1.005x | ≤ 1.03x | yes |";
    assert_eq!(row(&text, bars, "| efficientnet-lite0, fresh against reused"), large);
    let small = "| breast-random-forest, fresh against reused instance | 8.0 µs against 5.0 µs: +3.0 µs | ≤ 25.0 µs more | yes |";
    assert_eq!(row(&text, bars, "| breast-random-forest, fresh against reused"), small);
    let growth = "| efficientnet-lite0, items of a batch, compiled for any batch: time per item against that of the smallest | \
                  1.20x at most, 1.20x at the largest | ≤ 1.10x at every size | **no** |";
    assert_eq!(row(&text, bars, "| efficientnet-lite0, items"), growth);
    assert!(text.contains("\n7 of 8 bars hold.\n"), "{text}");
    let cost = row(&text, "## How cost grows", "| … per item");
    assert_eq!(cost, "| … per item | 20.0 ms | 24.0 ms |");
}

#[test]
fn bars_that_this_cpu_cannot_hold_are_told() {
    let mut report = report();
    assert!(!document(&report).contains("What this CPU allows"), "nothing was measured of it");
    // Computing takes longer than reading.
    report.models[0].roofline =
        Some(Roofline { flops: 800_000_000, peak_gflops: 40.0, weight_bytes: 100_000_000, read_gb_s: 10.0 });
    let text = document(&report);
    let section = "## What this CPU allows";
    let model = "| efficientnet-lite0 | 0.800 | 20.0 ms at 40.0 | 100.00 | 10.0 ms at 10 | 20.0 ms | 100 % |";
    assert_eq!(row(&text, section, "| efficientnet-lite0 |"), model);
    let bar = "| efficientnet-lite0, fresh instance, against ONNX Runtime, the faster of C API and Python | 20.8 ms | 20.0 ms | 96 % |";
    assert_eq!(row(&text, section, "| efficientnet-lite0, fresh instance, against ONNX"), bar);
    report.models[0].roofline =
        Some(Roofline { flops: 0, peak_gflops: 40.0, weight_bytes: 100_000_000, read_gb_s: 4.0 });
    report.bars = bars::check(&report);
    let beyond = row(&document(&report), section, "| efficientnet-lite0, fresh instance, against ONNX");
    assert!(beyond.ends_with("| 20.8 ms | 25.0 ms | **120 %** |"), "{beyond}");
}

#[test]
fn a_bar_that_was_not_measured_does_not_hold() {
    let mut report = report();
    report.models[0].cells.insert(FRESH.to_owned(), Cell::Failed { reason: "a trap".to_owned() });
    let bars = bars::check(&report);
    let native = bars.iter().find(|bar| bar.what.contains("against tract")).expect("a bar");
    assert_eq!((native.measured.as_str(), native.holds), ("not measured", false));
}

#[test]
fn growth_that_was_not_measured_says_why() {
    let mut report = report();
    report.growth[0] = Growth { points: Vec::new(), failed: Some("no memory".to_owned()), ..report.growth[0].clone() };
    report.bars = bars::check(&report);
    let text = document(&report);
    assert!(text.contains("compiled for any batch: not measured: no memory\n"), "{text}");
    assert_eq!(report.bars.last().map(|bar| (bar.measured.as_str(), bar.holds)), Some(("not measured", false)));
}

#[test]
fn the_readme_gets_the_chart_the_ratios_and_the_machine() {
    let text = excerpt(&report());
    for part in [
        "](docs/performance.svg)",
        "Some CPU (2 cores",
        "| rten, native | 0.50x |",
        "- **tract, native**: on none of 1.",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}
