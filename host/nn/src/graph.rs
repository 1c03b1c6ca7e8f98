//! A loaded graph, its pool of contexts, and what it did.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use samara_protocol::TensorSpec;

use crate::backend::{Backend, Context, panic_message};
use crate::error::shown;
use crate::pool::{Pool, TakeError};
use crate::spec::{BackendKind, Device, Optimization};
use crate::{ComputeError, Tensor};

/// A loaded graph under a name. Any number of threads can compute with it at once, as many as it has contexts.
pub struct Graph {
    info: GraphInfo,
    core: Arc<Core>,
    counters: Counters,
}

/// What graphs of several names can share: what was loaded, and its contexts.
pub(crate) struct Core {
    backend: Box<dyn Backend>,
    contexts: Pool<Box<dyn Context>>,
    /// How often its file has been loaded.
    loads: Arc<AtomicU64>,
}

/// What a graph is, takes and gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GraphInfo {
    /// Its name.
    pub name: String,
    /// The file that it was loaded from; empty where a guest brought it.
    pub path: PathBuf,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// What runs it.
    pub backend: BackendKind,
    /// The version of what runs it.
    pub version: String,
    /// Where it runs; never [`Device::Auto`].
    pub device: Device,
    /// Where it was to run.
    pub device_asked: Device,
    /// Why it runs on the CPU although a GPU was looked for.
    pub fell_back: Option<String>,
    /// How many computations it can do at once.
    pub contexts: usize,
    /// How many threads a computation may use.
    pub threads: usize,
    /// How far the backend has changed it to make it faster.
    pub optimization: Optimization,
    /// How long loading took.
    pub load_time: Duration,
    /// What it takes, in its own order.
    pub inputs: Vec<TensorSpec>,
    /// What it gives, in its own order.
    pub outputs: Vec<TensorSpec>,
}

/// What a graph did since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Computations that were asked for, those that failed included.
    pub requests: u64,
    /// Computations that gave no outputs.
    pub failures: u64,
    /// How long the backend computed, in nanoseconds, over all computations.
    pub compute_ns: u64,
    /// How often the graph's file was loaded.
    pub loads: u64,
}

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    failures: AtomicU64,
    compute_ns: AtomicU64,
}

// === impl Core ===

impl Core {
    pub(crate) fn new(backend: Box<dyn Backend>, contexts: usize, loads: Arc<AtomicU64>) -> Arc<Core> {
        Arc::new(Core { backend, contexts: Pool::new(contexts), loads })
    }
}

// === impl Graph ===

impl Graph {
    pub(crate) fn new(info: GraphInfo, core: Arc<Core>) -> Graph {
        Graph { info, core, counters: Counters::default() }
    }

    /// The same graph under another name, with counters of its own.
    pub(crate) fn renamed(&self, name: &str) -> Graph {
        let info = GraphInfo { name: name.to_owned(), ..self.info.clone() };
        Graph::new(info, Arc::clone(&self.core))
    }

    /// What it is, takes and gives.
    #[must_use]
    pub fn info(&self) -> &GraphInfo {
        &self.info
    }

    /// What it did since it was loaded.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            requests: read(&self.counters.requests),
            failures: read(&self.counters.failures),
            compute_ns: read(&self.counters.compute_ns),
            loads: read(&self.core.loads),
        }
    }

    /// Computes all outputs, in the graph's order.
    ///
    /// Waits for a context until `deadline`, for as long as it takes if there is none. A computation that has begun is not
    /// interrupted.
    ///
    /// # Errors
    ///
    /// [`ComputeError::InvalidArgument`] says which input is not as the graph declares it; the backend has then not been
    /// asked.
    pub fn compute(
        &self,
        inputs: Vec<(String, Tensor)>,
        deadline: Option<Instant>,
    ) -> Result<Vec<(String, Tensor)>, ComputeError> {
        let result = self.compute_uncounted(inputs, deadline);
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        if result.is_err() {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn compute_uncounted(
        &self,
        inputs: Vec<(String, Tensor)>,
        deadline: Option<Instant>,
    ) -> Result<Vec<(String, Tensor)>, ComputeError> {
        let inputs = in_order(&self.info.inputs, inputs)?;
        let failed = |panic: Box<dyn std::any::Any + Send>| {
            let GraphInfo { backend, name, .. } = &self.info;
            ComputeError::Failed(format!("{backend} panicked in graph {name:?}: {}", panic_message(&*panic)))
        };
        let make = || {
            catch_unwind(AssertUnwindSafe(|| self.core.backend.context())).unwrap_or_else(|panic| Err(failed(panic)))
        };
        let mut lease = self.core.contexts.take(deadline, make).map_err(|error| match error {
            TakeError::Busy => {
                ComputeError::Timeout { graph: self.info.name.clone(), contexts: self.core.contexts.limit() }
            }
            TakeError::Make(error) => error,
        })?;
        let start = Instant::now();
        // A context that panicked is lost, and another made in its place.
        let outputs = catch_unwind(AssertUnwindSafe(|| lease.with(|context| context.run(inputs))));
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.counters.compute_ns.fetch_add(nanoseconds, Ordering::Relaxed);
        drop(lease);
        let outputs = match outputs {
            Ok(Some(outputs)) => outputs?,
            Ok(None) => return Err(ComputeError::Failed("the context is gone".to_owned())),
            Err(panic) => return Err(failed(panic)),
        };
        self.named(outputs)
    }

    /// Gives outputs their names, after checking that they are what the graph declares.
    fn named(&self, outputs: Vec<Tensor>) -> Result<Vec<(String, Tensor)>, ComputeError> {
        let specs = &self.info.outputs;
        if outputs.len() != specs.len() {
            let reason = format!("{} gave {} outputs instead of {}", self.info.backend, outputs.len(), specs.len());
            return Err(ComputeError::Failed(reason));
        }
        let name = |(spec, output): (&TensorSpec, Tensor)| {
            if output.datatype != spec.datatype {
                let reason = format!("output {:?} is {}, declared is {}", spec.name, output.datatype, spec.datatype);
                return Err(ComputeError::Failed(reason));
            }
            Ok((spec.name.clone(), output))
        };
        specs.iter().zip(outputs).map(name).collect()
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Puts inputs into the order of `specs`, after checking each.
fn in_order(specs: &[TensorSpec], inputs: Vec<(String, Tensor)>) -> Result<Vec<Tensor>, ComputeError> {
    let names = || specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut slots: Vec<Option<Tensor>> = specs.iter().map(|_| None).collect();
    for (name, tensor) in inputs {
        let Some((spec, slot)) = specs.iter().zip(&mut slots).find(|(spec, _)| spec.name == name) else {
            let (name, names) = (shown(&name), names());
            return Err(ComputeError::InvalidArgument(format!("unknown input {name:?}, the graph takes {names}")));
        };
        if slot.is_some() {
            return Err(ComputeError::InvalidArgument(format!("input {name:?} is given twice")));
        }
        fits(spec, &tensor).map_err(|reason| ComputeError::InvalidArgument(format!("input {name:?}: {reason}")))?;
        *slot = Some(tensor);
    }
    let missing = |spec: &TensorSpec| {
        let TensorSpec { name, datatype, shape } = spec;
        ComputeError::InvalidArgument(format!("input {name:?} is missing, expected {datatype} {shape:?}"))
    };
    specs.iter().zip(slots).map(|(spec, slot)| slot.ok_or_else(|| missing(spec))).collect()
}

/// How many dimensions a message shows of a shape that does not fit: a guest can give as many as it likes.
const SHOWN_DIMENSIONS: usize = 16;

/// Checks a tensor against a declaration.
fn fits(spec: &TensorSpec, tensor: &Tensor) -> Result<(), String> {
    let TensorSpec { datatype, shape, .. } = spec;
    if tensor.datatype != *datatype {
        return Err(format!("expected {datatype}, got {}", tensor.datatype));
    }
    let same = |(&size, &declared): (&u64, &i64)| u64::try_from(declared).map_or(true, |declared| size == declared);
    if tensor.shape.len() != shape.len() && tensor.shape.len() > SHOWN_DIMENSIONS {
        return Err(format!("expected the shape {shape:?}, got one of {} dimensions", tensor.shape.len()));
    }
    if tensor.shape.len() != shape.len() || !tensor.shape.iter().zip(shape).all(same) {
        return Err(format!("expected the shape {shape:?}, got {:?} (-1 is any size)", tensor.shape));
    }
    if tensor.shape.iter().any(|&size| i64::try_from(size).is_err()) {
        return Err(format!("the shape {:?} has a dimension that is too large", tensor.shape));
    }
    tensor.check().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
