//! What a file may say: sections of models, functions and graphs.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use samara_nn::GraphSpec;
use samara_server::{Batching, FunctionRoute, HeaderName, InvalidSplit, Split, Terms};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use crate::node::Milliseconds;
use crate::{Bounded, ConfigurationError, NodeSettings};

/// A file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub node: NodeSettings,
    pub model: BTreeMap<String, Spanned<ModelSettings>>,
    pub function: Vec<Spanned<FunctionSettings>>,
    pub graph: Vec<Spanned<GraphSpec>>,
}

/// `[model.NAME]`: what holds for a model, in all its versions, where it is not to be the node's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    pub weight: Option<Bounded<1, 1000>>,
    pub concurrency: Option<Bounded<1, 1024>>,
    pub queue: Option<Bounded<1, 1_000_000>>,
    pub queue_deadline_ms: Option<Milliseconds>,
    pub deadline_ms: Option<Milliseconds>,
    pub split: Option<Percentages>,
    #[serde(deserialize_with = "header")]
    pub sticky: Option<HeaderName>,
    pub max_batch_size: Option<Bounded<1, 1024>>,
    pub max_batch_delay_ms: Option<Bounded<0, 60_000>>,
    pub pad_batches: Option<bool>,
    pub idle_ttl_ms: Option<Milliseconds>,
}

/// The percentages of a split, by version.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Bounded<0, 100>>")]
pub struct Percentages(Split);

/// `[[function]]`: a function, and what holds for it where it is not to be the node's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSettings {
    component: PathBuf,
    model: Option<PathBuf>,
    #[serde(default, deserialize_with = "route")]
    route: Option<FunctionRoute>,
    reuse: Option<Bounded<1, { u32::MAX as u64 }>>,
    weight: Option<Bounded<1, 1000>>,
    concurrency: Option<Bounded<1, 1024>>,
    queue: Option<Bounded<1, 1_000_000>>,
    queue_deadline_ms: Option<Milliseconds>,
    deadline_ms: Option<Milliseconds>,
}

/// A function that is to be served.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its component.
    pub component: PathBuf,
    /// The model that it asks.
    pub model: Option<PathBuf>,
    /// Where it is served.
    pub route: FunctionRoute,
    /// How many requests an instance answers.
    pub reuse: NonZeroU32,
    /// What holds for it alone.
    pub terms: Terms,
}

// === impl ModelSettings ===

impl ModelSettings {
    /// The terms that it is served on.
    pub fn terms(&self) -> Terms {
        let number = |setting: u64| usize::try_from(setting).unwrap_or(usize::MAX);
        Terms {
            deadline: self.deadline_ms.map(duration),
            weight: self.weight.and_then(|weight| NonZeroU32::new(u32::try_from(weight.get()).unwrap_or(u32::MAX))),
            concurrency: self.concurrency.and_then(|most| NonZeroUsize::new(number(most.get()))),
            queue: self.queue.map(|most| number(most.get())),
            queue_deadline: self.queue_deadline_ms.map(duration),
            split: self.split.clone().map(|Percentages(split)| split),
            sticky: self.sticky.clone(),
            batching: self.batching(),
            pad_batches: self.pad_batches,
            idle_ttl: self.idle_ttl_ms.map(duration),
        }
    }

    /// How its requests run together. One item by itself is no batch.
    fn batching(&self) -> Option<Batching> {
        let most = self.max_batch_size.filter(|most| most.get() > 1)?;
        let max_size = NonZeroUsize::new(usize::try_from(most.get()).unwrap_or(usize::MAX))?;
        let max_delay = Duration::from_millis(self.max_batch_delay_ms.map_or(0, Bounded::get));
        Some(Batching { max_size, max_delay })
    }
}

// === impl Percentages ===

impl TryFrom<BTreeMap<String, Bounded<0, 100>>> for Percentages {
    type Error = InvalidSplit;

    fn try_from(percentages: BTreeMap<String, Bounded<0, 100>>) -> Result<Percentages, InvalidSplit> {
        let percentages = percentages.into_iter().map(|(version, percentage)| (version, percentage.get()));
        Split::new(percentages.collect()).map(Percentages)
    }
}

// === impl FunctionSettings ===

impl FunctionSettings {
    /// The function, with paths that are relative to a directory.
    ///
    /// # Errors
    ///
    /// It has no route, and the file's name is none.
    pub fn resolve(&self, directory: &Path) -> Result<Function, ConfigurationError> {
        let component = directory.join(&self.component);
        let own = ModelSettings {
            weight: self.weight,
            concurrency: self.concurrency,
            queue: self.queue,
            queue_deadline_ms: self.queue_deadline_ms,
            deadline_ms: self.deadline_ms,
            ..ModelSettings::default()
        };
        Ok(Function {
            route: self.route.clone().map_or_else(|| default_route(&component), Ok)?,
            model: self.model.as_ref().map(|model| directory.join(model)),
            reuse: self
                .reuse
                .and_then(|reuse| NonZeroU32::new(u32::try_from(reuse.get()).unwrap_or(u32::MAX)))
                .unwrap_or(NonZeroU32::MIN),
            terms: own.terms(),
            component,
        })
    }
}

fn duration(time: Milliseconds) -> Duration {
    Duration::from_millis(time.get())
}

/// `/` and the function's name.
pub fn default_route(component: &Path) -> Result<FunctionRoute, ConfigurationError> {
    let name = component.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let route = format!("/{name}").parse();
    route.map_err(|reason| ConfigurationError::Route { path: component.to_owned(), reason })
}

fn header<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderName>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let invalid = |_| de::Error::custom(format!("expected the name of a header, found {text:?}"));
    text.parse().map(Some).map_err(invalid)
}

fn route<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<FunctionRoute>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
}
