//! What was measured, for people: `docs/performance.md`, and a part of the README.

use std::time::Duration;

use super::catalogue::FRESH;
use super::report::{Bar, Cell, Growth, ModelReport, PeerInfo, Report, geometric_mean};
use crate::report::{DISTURBED, escape};
use crate::statistics::show;

/// How many characters of a reason fit into a cell; the list below the tables has all of it.
const REASON: usize = 40;

/// The whole document.
pub fn document(report: &Report) -> String {
    let mut sections = vec![
        format!(
            "# Performance\n\nWritten by `make bench-peers`, which measured all of it in one run of {:.0} minutes; edit \
             nothing here. [benches](../benches/README.md) says how it is measured, \
             [performance.json](performance.json) has the numbers.\n\n{}",
            report.seconds / 60.0,
            circumstances(report)
        ),
        format!(
            "## Time of one inference\n\nThe median. One thread each, the same inputs, outputs held against the expected \
             ones before they are timed.\n\n![Time of one inference](performance.svg)\n\n{}",
            times_table(report, |times| show(Duration::from_nanos(times.p50_ns)))
        ),
        format!("## Samara beside each peer\n\n{}", ratios(report)),
        format!("### Where Samara is slower\n\n{}", slower(report)),
        format!("## What Samara must show\n\n{}", bars(&report.bars)),
        format!(
            "## Least time, and what 99 of 100 runs are within\n\nThe number of runs is in brackets.\n\n{}",
            times_table(report, |times| format!(
                "{} – {} ({})",
                show(Duration::from_nanos(times.min_ns)),
                show(Duration::from_nanos(times.p99_ns)),
                times.runs
            ))
        ),
        format!("## Who is compared\n\n{}", legend(&report.peers)),
    ];
    if let Some(roofline) = roofline(report) {
        let at = sections.len() - 2;
        sections.insert(at, format!("## What this CPU allows\n\n{roofline}"));
    }
    if !report.growth.is_empty() {
        let tables: Vec<String> = report.growth.iter().map(growth).collect();
        sections.insert(4, format!("## How cost grows\n\n{}", tables.join("\n")));
    }
    sections.extend(reasons(report).map(|reasons| format!("## What could not be measured\n\n{reasons}")));
    sections.join("\n")
}

/// What the README tells of it.
pub fn excerpt(report: &Report) -> String {
    format!(
        "![Time of one inference](docs/performance.svg)\n\n{}\n{}\n{}",
        circumstances(report),
        ratios(report),
        slower(report)
    )
}

/// On what it was measured, how much of that others used, and how evenly it computed.
fn circumstances(report: &Report) -> String {
    let again = |share: f64| if share >= DISTURBED { ": **measure again**" } else { "" };
    let others = report.others.map_or_else(String::new, |share| {
        format!("\nOther processes used {:.0} % of the cores meanwhile{}.", share * 100.0, again(share))
    });
    let most = report.lags.iter().max_by(|one, other| one.1.total_cmp(other.1));
    let lag = most.map_or_else(String::new, |(name, lag)| {
        format!(
            "\nWhat else ran on the hardware cost {:.0} % at the most (in the median, of the same work, beside {name}){}; {:.0} s went \
             by until it was quiet, or on what it disturbed.",
            lag * 100.0,
            again(*lag),
            report.waited
        )
    });
    format!("{}.\n{others}{lag}\n", report.machine.to_markdown())
}

/// Peers by models.
fn times_table(report: &Report, show: impl Fn(&super::report::Times) -> String) -> String {
    let head = report.models.iter().map(|model| model.name.clone()).collect();
    let rows = report.peers.iter().map(|peer| {
        let cells = report.models.iter().map(|model| match model.cells.get(&peer.id) {
            Some(Cell::Measured(times)) => show(times),
            Some(Cell::Wrong { reason }) => format!("wrong: {}", short(reason)),
            Some(Cell::Failed { reason }) => format!("cannot: {}", short(reason)),
            None => String::new(),
        });
        (peer.name.clone(), cells.collect())
    });
    table("", head, rows)
}

/// Samara's time divided by that of each peer.
fn ratios(report: &Report) -> String {
    let mut head: Vec<String> = report.models.iter().map(|model| model.name.clone()).collect();
    head.push("geometric mean".to_owned());
    let rows = compared(report).map(|(peer, against)| {
        let ratio = |model: &ModelReport| report.ratio(&model.name, against, &peer.id);
        let mut cells: Vec<String> =
            report.models.iter().map(|model| ratio(model).map_or_else(|| "–".to_owned(), times)).collect();
        let all = report.ratios(against, &peer.id);
        cells.push(geometric_mean(&all).map_or_else(
            || "–".to_owned(),
            |mean| match all.len() == report.models.len() {
                true => format!("**{}**", times(mean)),
                false => format!("**{}** of {}", times(mean), all.len()),
            },
        ));
        (peer.name.clone(), cells)
    });
    format!(
        "Samara's median divided by the peer's: below 1, Samara is faster. Samara in wasm in a fresh instance; where the peer is \
         a server, Samara over HTTP.\n\n{}",
        table("", head, rows)
    )
}

/// In words, for each peer.
fn slower(report: &Report) -> String {
    let line = |(peer, against): (&PeerInfo, &str)| {
        let mut ratios: Vec<(&str, f64)> = report
            .models
            .iter()
            .filter_map(|model| Some((model.name.as_str(), report.ratio(&model.name, against, &peer.id)?)))
            .filter(|(_, ratio)| *ratio > 1.0)
            .collect();
        ratios.sort_by(|a, b| b.1.total_cmp(&a.1));
        let common = report.ratios(against, &peer.id).len();
        let listed: Vec<String> = ratios.iter().map(|(model, ratio)| format!("{model} ({})", times(*ratio))).collect();
        match (common, listed.is_empty()) {
            (0, _) => format!("- **{}**: no model that both can run.\n", peer.name),
            (_, true) => format!("- **{}**: on none of {common}.\n", peer.name),
            _ => format!("- **{}**: on {} of {common}: {}.\n", peer.name, listed.len(), listed.join(", ")),
        }
    };
    format!("Samara is slower than\n\n{}", compared(report).map(line).collect::<String>())
}

/// The peers that are not Samara, and what of Samara's they are compared with.
fn compared(report: &Report) -> impl Iterator<Item = (&PeerInfo, &str)> {
    report.peers.iter().filter_map(|peer| Some((peer, peer.against.as_deref()?)))
}

fn bars(bars: &[Bar]) -> String {
    let rows = bars.iter().map(|bar| {
        let holds = if bar.holds { "yes" } else { "**no**" };
        (bar.what.clone(), vec![bar.measured.clone(), bar.bar.clone(), holds.to_owned()])
    });
    let head = ["measured", "bar", "holds"].map(str::to_owned).to_vec();
    let hold = bars.iter().filter(|bar| bar.holds).count();
    format!("{}\n{hold} of {} bars hold.\n", table("what", head, rows), bars.len())
}

/// The least time of each model, and what of the time that bars allow that is.
fn roofline(report: &Report) -> Option<String> {
    let shown = |nanoseconds: f64| show(Duration::from_nanos(nanoseconds as u64));
    let known = || report.models.iter().filter_map(|model| Some((model, model.roofline?)));
    known().next()?;
    let models = known().map(|(model, roofline)| {
        let fresh = model.cells.get(FRESH).and_then(Cell::p50);
        let reached = fresh.map_or_else(|| "–".to_owned(), |fresh| percent(roofline.least_ns() / fresh));
        let cells = vec![
            format!("{:.3}", roofline.flops as f64 / 1e9),
            format!("{} at {:.1}", shown(roofline.computing_ns()), roofline.peak_gflops),
            format!("{:.2}", roofline.weight_bytes as f64 / 1e6),
            format!("{} at {:.0}", shown(roofline.reading_ns()), roofline.read_gb_s),
            fresh.map_or_else(|| "–".to_owned(), shown),
            reached,
        ];
        (model.name.clone(), cells)
    });
    let head = ["GFLOP", "computed, GFLOP/s", "weights, MB", "read, GB/s", "fresh instance", "of which the longer"];
    let models = table("", head.map(str::to_owned).to_vec(), models);
    let bars = report.bars.iter().filter_map(|bar| {
        let allowed = bar.allowed.as_ref()?;
        let (_, roofline) = known().find(|(model, _)| model.name == allowed.model)?;
        let least = roofline.least_ns();
        let part = least / allowed.nanoseconds;
        let part = if part > 1.0 { format!("**{}**", percent(part)) } else { percent(part) };
        Some((bar.what.clone(), vec![shown(allowed.nanoseconds), shown(least), part]))
    });
    let head = ["allows", "least time", "of what is allowed"].map(str::to_owned).to_vec();
    Some(format!(
        "The [roofline](https://doi.org/10.1145/1498765.1498785) of each model, in one thread: what its floating-point \
         operations take at the rate that was measured for multiply-adds on registers in WebAssembly's vectors of 128 bits, and \
         what it takes to read its packed weights once, from wherever they lie. Activations, and all that is no multiply-add, come \
         on top.\n\n{models}\nA bar that allows less than the longer of the two is beyond this CPU, as long as vectors have 128 \
         bits.\n\n{}",
        table("bar", head, bars)
    ))
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

fn growth(growth: &Growth) -> String {
    let names =
        [("Samara, wasm, fresh instance", FRESH), ("ONNX Runtime, C API", super::catalogue::ONNXRUNTIME_NATIVE)];
    if let Some(reason) = &growth.failed {
        return format!("{}: not measured: {}\n", growth.what, escape(reason));
    }
    let head = growth.points.iter().map(|point| point.size.to_string()).collect();
    let rows = names.iter().flat_map(|&(name, id)| {
        let median = |work: bool| {
            growth.points.iter().map(move |point| {
                let time = point.cells.get(id).and_then(Cell::p50);
                time.map_or_else(
                    || "–".to_owned(),
                    |time| show(Duration::from_nanos((time / if work { point.work } else { 1.0 }) as u64)),
                )
            })
        };
        [(name.to_owned(), median(false).collect()), (format!("… per {}", growth.per), median(true).collect())]
    });
    format!("{}:\n\n{}", growth.what, table(&growth.unit, head, rows))
}

fn legend(peers: &[PeerInfo]) -> String {
    let rows = peers.iter().map(|peer| (peer.name.clone(), vec![peer.settings.clone(), peer.version.clone()]));
    table("", ["settings", "versions"].map(str::to_owned).to_vec(), rows)
}

/// Why there are no times, at length.
fn reasons(report: &Report) -> Option<String> {
    let lines: String = report
        .peers
        .iter()
        .flat_map(|peer| report.models.iter().map(move |model| (peer, model)))
        .filter_map(|(peer, model)| {
            let (what, reason) = match model.cells.get(&peer.id)? {
                Cell::Measured(_) => return None,
                Cell::Wrong { reason } => ("gives wrong outputs for", reason),
                Cell::Failed { reason } => ("cannot run", reason),
            };
            Some(format!("- {} {what} {}: {}\n", peer.name, model.name, escape(reason)))
        })
        .collect();
    (!lines.is_empty()).then_some(lines)
}

/// A table with a name before each row.
fn table(corner: &str, head: Vec<String>, rows: impl Iterator<Item = (String, Vec<String>)>) -> String {
    let mut text = format!("| {corner} | {} |\n|---|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for (name, cells) in rows {
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        text.push_str(&format!("| {} | {} |\n", escape(&name), cells.join(" | ")));
    }
    text
}

/// A ratio with as many digits as mean something.
fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 0.1 => format!("{ratio:.3}x"),
        ratio if ratio < 10.0 => format!("{ratio:.2}x"),
        ratio => format!("{ratio:.1}x"),
    }
}

/// The beginning of a reason.
fn short(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    match line.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
