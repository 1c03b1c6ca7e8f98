//! Which graph is loaded from where, and how it runs.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// Which graph is loaded from where, and how it runs.
///
/// On a command line it is `NAME[=MODEL.onnx][,backend=…][,device=…][,contexts=N][,threads=N][,optimization=…]`; the path
/// can have no comma there. In a file it is a table with the keys `name`, `model`, and the same settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// The name under which guests ask for it.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The ONNX file; absent for the one that lies beside the component that asks for the graph.
    #[serde(rename = "model", default)]
    pub path: Option<PathBuf>,
    /// What runs it.
    #[serde(default)]
    pub backend: BackendKind,
    /// Where it runs.
    #[serde(default)]
    pub device: Device,
    /// How many computations it can do at once; absent for one a core.
    #[serde(default, deserialize_with = "some_count")]
    pub contexts: Option<usize>,
    /// How many threads one computation may use.
    #[serde(default = "one", deserialize_with = "count")]
    pub threads: usize,
    /// How far the backend changes the graph to make it faster.
    #[serde(default)]
    pub optimization: Optimization,
}

/// What runs a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// tract, which is part of Samara.
    #[default]
    Tract,
    /// ONNX Runtime, from its own library.
    Onnxruntime,
    /// OpenVINO, from its own library. It computes 64-bit integers in 32 bits, and FP64 in FP32.
    Openvino,
}

/// Where a graph runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// On the first GPU that the backend can use, else on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On the CUDA device with this number, and nowhere else.
    Cuda(u32),
    /// On the CUDA device with this number, by TensorRT where that can, which compiles the graph for each shape it meets.
    Tensorrt(u32),
}

/// How far a backend changes a graph to make it faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Optimization {
    /// Not at all.
    None,
    /// It removes what is not needed.
    Basic,
    /// It also fuses operators.
    Extended,
    /// Whatever the backend has, layouts included.
    #[default]
    All,
}

/// What is wrong with the text of a [`GraphSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// There is no name, an empty path, or a setting without a value.
    #[error("{text:?} is not NAME[=MODEL.onnx][,KEY=VALUE…]")]
    Form {
        /// The whole text.
        text: String,
    },
    /// The key of a setting is unknown.
    #[error("unknown setting {key:?}, expected one of {KEYS}")]
    Key {
        /// The key.
        key: String,
    },
    /// A setting is given twice.
    #[error("{key} is given twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// A setting cannot have the value.
    #[error("{key}={value:?}: expected {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// The values that are possible.
        allowed: &'static str,
    },
}

const KEYS: &str = "backend, device, contexts, threads, optimization";
const COUNT: &str = "a number from 1 to 1024";
const MAX_COUNT: usize = 1024;

// === impl GraphSpec ===

impl GraphSpec {
    /// A graph under a name, with every setting at its default and without a file.
    #[must_use]
    pub fn new(name: impl Into<String>) -> GraphSpec {
        GraphSpec {
            name: name.into(),
            path: None,
            backend: BackendKind::default(),
            device: Device::default(),
            contexts: None,
            threads: 1,
            optimization: Optimization::default(),
        }
    }

    /// The same with the ONNX file at `path`.
    #[must_use]
    pub fn with_path(self, path: impl Into<PathBuf>) -> GraphSpec {
        GraphSpec { path: Some(path.into()), ..self }
    }

    /// How many contexts it has: as many as are set, else one a core.
    #[must_use]
    pub fn context_count(&self) -> usize {
        self.contexts.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

impl FromStr for GraphSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || SpecError::Form { text: text.to_owned() };
        let mut parts = text.split(',');
        let (name, path) = match parts.next().map(|part| part.split_once('=').ok_or(part)) {
            Some(Ok((name, path))) => (name, Some(path)),
            Some(Err(name)) => (name, None),
            None => return Err(form()),
        };
        if name.is_empty() || path.is_some_and(str::is_empty) {
            return Err(form());
        }
        let mut spec = GraphSpec { path: path.map(PathBuf::from), ..GraphSpec::new(name) };
        let mut seen = HashSet::new();
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(form)?;
            match key {
                "backend" => spec.backend = value.parse()?,
                "device" => spec.device = value.parse()?,
                "contexts" => spec.contexts = Some(parse_count("contexts", value)?),
                "threads" => spec.threads = parse_count("threads", value)?,
                "optimization" => spec.optimization = value.parse()?,
                other => return Err(SpecError::Key { key: other.to_owned() }),
            }
            if !seen.insert(key) {
                return Err(SpecError::Twice { key: key.to_owned() });
            }
        }
        Ok(spec)
    }
}

fn parse_count(key: &'static str, value: &str) -> Result<usize, SpecError> {
    value.parse().ok().filter(|count| (1..=MAX_COUNT).contains(count)).ok_or_else(|| SpecError::Value {
        key,
        value: value.to_owned(),
        allowed: COUNT,
    })
}

fn one() -> usize {
    1
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() { Err(de::Error::custom("a graph's name is empty")) } else { Ok(name) }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let count = usize::deserialize(deserializer)?;
    if (1..=MAX_COUNT).contains(&count) {
        Ok(count)
    } else {
        Err(de::Error::custom(format!("{count}: expected {COUNT}")))
    }
}

fn some_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    count(deserializer).map(Some)
}

/// Reads a value from the text that a command line has for it.
fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err = SpecError>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

// === impl BackendKind ===

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendKind::Tract => "tract",
            BackendKind::Onnxruntime => "onnxruntime",
            BackendKind::Openvino => "openvino",
        })
    }
}

impl FromStr for BackendKind {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tract" => Ok(BackendKind::Tract),
            "onnxruntime" => Ok(BackendKind::Onnxruntime),
            "openvino" => Ok(BackendKind::Openvino),
            other => Err(SpecError::Value {
                key: "backend",
                value: other.to_owned(),
                allowed: "one of tract, onnxruntime, openvino",
            }),
        }
    }
}

impl<'de> Deserialize<'de> for BackendKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

// === impl Device ===

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
            Device::Tensorrt(number) => write!(f, "tensorrt:{number}"),
        }
    }
}

impl FromStr for Device {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |prefix| text.strip_prefix(prefix)?.parse().ok().filter(|number| *number <= i32::MAX as u32);
        let device = || number("cuda:").map(Device::Cuda).or_else(|| number("tensorrt:").map(Device::Tensorrt));
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            "tensorrt" => Ok(Device::Tensorrt(0)),
            _ => device().ok_or_else(|| SpecError::Value {
                key: "device",
                value: text.to_owned(),
                allowed: "one of auto, cpu, cuda:N, tensorrt:N",
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

// === impl Optimization ===

impl fmt::Display for Optimization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Optimization::None => "none",
            Optimization::Basic => "basic",
            Optimization::Extended => "extended",
            Optimization::All => "all",
        })
    }
}

impl FromStr for Optimization {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Optimization::None),
            "basic" => Ok(Optimization::Basic),
            "extended" => Ok(Optimization::Extended),
            "all" => Ok(Optimization::All),
            other => Err(SpecError::Value {
                key: "optimization",
                value: other.to_owned(),
                allowed: "one of none, basic, extended, all",
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Optimization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

#[cfg(test)]
mod tests;
