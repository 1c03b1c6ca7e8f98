//! What was measured, for programs: `docs/performance.json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::statistics::quantile;

/// A run of `samara-bench peers`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Report {
    /// On what it was measured.
    pub machine: Machine,
    /// How long the run took.
    pub seconds: f64,
    /// The share of the cores' time, from 0 to 1, that other processes used.
    pub others: Option<f64>,
    /// By how much the same work took longer in the median than when it took least, for each that was measured: 0.1 is a tenth.
    #[serde(default)]
    pub lags: BTreeMap<String, f64>,
    /// Seconds that were waited until what else runs on the hardware was quiet, and spent on what it disturbed.
    #[serde(default)]
    pub waited: f64,
    /// Who is compared, in the order of the tables.
    pub peers: Vec<PeerInfo>,
    /// The models, in the order of the tables.
    pub models: Vec<ModelReport>,
    /// How cost grows.
    pub growth: Vec<Growth>,
    /// What Samara must show.
    pub bars: Vec<Bar>,
}

/// Who is compared.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PeerInfo {
    /// What programs call it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its settings.
    pub settings: String,
    /// The versions of what it is made of.
    pub version: String,
    /// What of Samara's it is compared with; absent for what is Samara's.
    pub against: Option<String>,
}

/// What was measured of a model.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ModelReport {
    /// Its card's name.
    pub name: String,
    /// The results, by peer.
    pub cells: BTreeMap<String, Cell>,
    /// What this CPU needs for it at least.
    #[serde(default)]
    pub roofline: Option<Roofline>,
}

/// What a model has to do, and how fast this CPU can do that in one thread.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq)]
pub struct Roofline {
    /// Floating-point operations, two for each multiply-add.
    pub flops: u64,
    /// The rate of multiply-adds on numbers in registers, in WebAssembly's vectors, in 10⁹ operations a second.
    pub peak_gflops: f64,
    /// Bytes of packed weights.
    pub weight_bytes: u64,
    /// How fast so many are read, in 10⁹ bytes a second.
    pub read_gb_s: f64,
}

impl Roofline {
    /// What the operations take at the peak, in nanoseconds.
    pub fn computing_ns(&self) -> f64 {
        self.flops as f64 / self.peak_gflops
    }

    /// What reading the weights takes, in nanoseconds.
    pub fn reading_ns(&self) -> f64 {
        self.weight_bytes as f64 / self.read_gb_s
    }

    /// The least time, in nanoseconds: of the two, which a CPU can do at once, the longer.
    pub fn least_ns(&self) -> f64 {
        self.computing_ns().max(self.reading_ns())
    }
}

/// What was measured of a model on a peer.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Cell {
    /// It gives what it must.
    Measured(Times),
    /// It gives something else.
    Wrong {
        /// What it gives.
        reason: String,
    },
    /// It gives nothing.
    Failed {
        /// What it says.
        reason: String,
    },
}

/// How long runs took.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq)]
pub struct Times {
    /// How many there were.
    pub runs: usize,
    /// The least, in nanoseconds.
    pub min_ns: u64,
    /// The median, in nanoseconds.
    pub p50_ns: u64,
    /// What 99 of 100 are within, in nanoseconds.
    pub p99_ns: u64,
    /// By how much the outputs differ from those of the test vector, relative where these are above 1.
    pub error: f64,
}

/// How the cost of a model grows with its input.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Growth {
    /// What grows.
    pub what: String,
    /// In what the size is counted.
    pub unit: String,
    /// What the time is divided by.
    pub per: String,
    /// The sizes, from the smallest.
    pub points: Vec<GrowthPoint>,
    /// Why there are none, where there are none.
    pub failed: Option<String>,
}

/// One size.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GrowthPoint {
    /// How many units the input has.
    pub size: u64,
    /// How much work there is, in what the time is divided by.
    pub work: f64,
    /// The results, by peer.
    pub cells: BTreeMap<String, Cell>,
}

/// Something that Samara must show.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Bar {
    /// What is looked at.
    pub what: String,
    /// What it is.
    pub measured: String,
    /// What it must be.
    pub bar: String,
    /// Whether it is that.
    pub holds: bool,
    /// Where it allows a model a time in a fresh instance: which.
    #[serde(default)]
    pub allowed: Option<Allowed>,
}

/// A time that a bar allows.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Allowed {
    /// The model.
    pub model: String,
    /// In nanoseconds.
    pub nanoseconds: f64,
}

// === impl Bar ===

impl Bar {
    /// One that allows no model a time.
    pub fn new(what: String, measured: String, bar: String, holds: bool) -> Bar {
        Bar { what, measured, bar, holds, allowed: None }
    }

    /// The same, which allows a model this time.
    pub fn allowing(self, model: &str, nanoseconds: f64) -> Bar {
        Bar { allowed: Some(Allowed { model: model.to_owned(), nanoseconds }), ..self }
    }
}

// === impl Report ===

impl Report {
    /// The median of a model on a peer, in nanoseconds, where it gives what it must.
    pub fn p50(&self, model: &str, peer: &str) -> Option<f64> {
        self.models.iter().find(|entry| entry.name == model)?.cells.get(peer)?.p50()
    }

    /// How long one peer takes, divided by another's time, on a model that both can run.
    pub fn ratio(&self, model: &str, peer: &str, other: &str) -> Option<f64> {
        Some(self.p50(model, peer)? / self.p50(model, other)?)
    }

    /// The ratios on all models that both can run.
    pub fn ratios(&self, peer: &str, other: &str) -> Vec<f64> {
        self.models.iter().filter_map(|model| self.ratio(&model.name, peer, other)).collect()
    }
}

/// The geometric mean; nothing of nothing.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (sum / values.len() as f64).exp())
}

// === impl Cell ===

impl Cell {
    /// The median in nanoseconds, where the outputs are right.
    pub fn p50(&self) -> Option<f64> {
        match self {
            Cell::Measured(times) => Some(times.p50_ns as f64),
            _ => None,
        }
    }
}

// === impl Times ===

impl Times {
    /// Of these runs, whose outputs are off by so much.
    ///
    /// # Panics
    ///
    /// Without runs.
    pub fn of(samples: &[Duration], error: f64) -> Times {
        let at = |share| u64::try_from(quantile(samples, share).as_nanos()).unwrap_or(u64::MAX);
        Times { runs: samples.len(), min_ns: at(0.0), p50_ns: at(0.5), p99_ns: at(0.99), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_geometric_mean_is_of_ratios() {
        let mean = geometric_mean(&[0.5, 2.0, 8.0]).expect("a mean");
        assert!((mean - 2.0).abs() < 1e-12, "{mean}");
        assert_eq!(geometric_mean(&[]), None);
    }
}
