//! `samara-bench peers`: the models of the zoo on Samara and on what else runs them, in one run.

mod bars;
mod catalogue;
pub mod child;
mod files;
mod growth;
mod http;
mod markdown;
mod naive;
pub mod nn;
pub mod peer;
mod report;
mod roofline;
pub mod tract;
mod turns;
mod wasm;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::catalogue::ALL;
use self::peer::{Lab, Peer, Subject};
use self::report::{Cell, ModelReport, PeerInfo, Report, Times};
use self::turns::Entry;
use crate::contention::Contention;
use crate::machine::Machine;
use crate::pace::Pace;
use crate::samara::Samara;
use crate::statistics::show;
use crate::tensor::largest_error;
use crate::zoo::Card;

/// By how much outputs may differ from the expected ones, relative where these are above 1.
const TOLERANCE: f64 = 1e-4;

/// Measures these models, or all of them and how cost grows; then the results go into `docs/` and the README. Of some, they
/// go to `target/bench-peers.json` only.
pub fn run(samara: &Samara, names: &[String]) -> Result<()> {
    let cards = choose(names)?;
    let lab = Lab::open(samara)?;
    let (start, contention, machine) = (Instant::now(), Contention::begin(), Machine::look(samara)?);
    let (mut versions, mut pace) = (BTreeMap::new(), Pace::default());
    let mut models = Vec::new();
    for (index, card) in cards.iter().enumerate() {
        eprintln!("[{}/{}] {}", index + 1, cards.len(), card.build.name);
        pace.begin(&card.build.name);
        models.push(measure(&lab, card, &mut versions, &mut pace)?);
    }
    let growth = if names.is_empty() {
        eprintln!("how cost grows");
        pace.begin("how cost grows");
        growth::measure(&lab, &mut pace)
    } else {
        Vec::new()
    };
    let peers = ALL.iter().map(|kind| PeerInfo {
        id: kind.id.to_owned(),
        name: kind.name.to_owned(),
        settings: kind.settings.to_owned(),
        version: versions.remove(kind.id).or_else(kind.version).unwrap_or_else(|| "unknown".to_owned()),
        against: kind.against.map(str::to_owned),
    });
    let seconds = start.elapsed().as_secs_f64();
    let peers = peers.collect();
    let (others, lags, waited) = (contention.share(), pace.lags(), pace.waited().as_secs_f64());
    let mut report = Report { machine, seconds, others, lags, waited, peers, models, growth, bars: Vec::new() };
    report.bars = bars::check(&report);
    files::write_json(&report, &samara.target().join("bench-peers.json"))?;
    print!("{}", markdown::document(&report));
    if names.is_empty() { files::write(&report) } else { Ok(()) }
}

/// The models of these names, or all.
fn choose(names: &[String]) -> Result<Vec<Card>> {
    let cards = Card::all()?;
    if let Some(unknown) = names.iter().find(|name| !cards.iter().any(|card| card.build.name == **name)) {
        let known: Vec<&str> = cards.iter().map(|card| card.build.name.as_str()).collect();
        bail!("there is no model {unknown:?}; there are {}", known.join(", "));
    }
    Ok(cards.into_iter().filter(|card| names.is_empty() || names.contains(&card.build.name)).collect())
}

/// A model on all peers, by turns.
fn measure(
    lab: &Lab<'_>,
    card: &Card,
    versions: &mut BTreeMap<&'static str, String>,
    pace: &mut Pace,
) -> Result<ModelReport> {
    let subject = Subject::of(card.first()?);
    let mut cells = BTreeMap::new();
    let (mut ids, mut errors, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for kind in ALL {
        match start(lab, kind.start, &subject) {
            Ok((peer, error)) if error <= TOLERANCE => {
                versions.extend(peer.version().map(|version| (kind.id, version)));
                ids.push(kind.id);
                errors.push(error);
                entries.push(Entry::new(peer));
            }
            Ok((_, error)) => {
                let reason = format!("an output is off by {error:.1e}");
                cells.insert(kind.id.to_owned(), Cell::Wrong { reason });
            }
            Err(error) => {
                cells.insert(kind.id.to_owned(), Cell::Failed { reason: format!("{error:#}") });
            }
        }
    }
    turns::measure(&mut entries, pace, turns::WAIT);
    for ((id, error), entry) in ids.into_iter().zip(errors).zip(entries) {
        cells.insert(id.to_owned(), cell(entry, error));
    }
    for kind in ALL {
        eprintln!("      {}: {}", kind.name, cells.get(kind.id).map_or_else(String::new, told));
    }
    let roofline = roofline::measure(lab, &subject).inspect_err(|error| eprintln!("      no roofline: {error:#}")).ok();
    Ok(ModelReport { name: card.build.name.clone(), cells, roofline })
}

/// Starts a peer, and finds out by how much its outputs are off.
fn start(
    lab: &Lab<'_>,
    start: fn(&Lab<'_>, &Subject) -> Result<Box<dyn Peer>>,
    subject: &Subject,
) -> Result<(Box<dyn Peer>, f64)> {
    // What is in this process may panic on a model that it does not know.
    let started = catch_unwind(AssertUnwindSafe(|| -> Result<_> {
        let mut peer = start(lab, subject)?;
        let outputs = peer.outputs()?;
        Ok((peer, outputs))
    }));
    let (peer, outputs) = started.unwrap_or_else(|_| bail!("it panicked"))?;
    let error = largest_error(&subject.expected, &outputs).context("its outputs are others than expected")?;
    Ok((peer, error))
}

/// What was measured of a peer whose outputs are off by so much.
fn cell(entry: Entry, error: f64) -> Cell {
    match entry.times() {
        Ok(_) if error > TOLERANCE => Cell::Wrong { reason: format!("an output is off by {error:.1e}") },
        Ok(times) => Cell::Measured(Times::of(&times, error)),
        Err(error) => Cell::Failed { reason: format!("{error:#}") },
    }
}

fn told(cell: &Cell) -> String {
    match cell {
        Cell::Measured(times) => {
            let shown = |nanoseconds| show(std::time::Duration::from_nanos(nanoseconds));
            format!("{}, p99 {}, {} runs", shown(times.p50_ns), shown(times.p99_ns), times.runs)
        }
        Cell::Wrong { reason } => format!("wrong: {reason}"),
        Cell::Failed { reason } => format!("cannot: {reason}"),
    }
}
