//! The graphs of a process, each loaded once.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::backend::{self, Loaded, Source};
use crate::graph::{Core, Graph, GraphInfo};
use crate::spec::{BackendKind, Device, GraphSpec};
use crate::{BackendError, LoadError, UnknownGraph};

/// What holds for all graphs of a registry.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// ONNX Runtime's library; absent to look for it as [`crate::library`] says.
    pub ort_dylib: Option<PathBuf>,
    /// Whether guests may bring graphs of their own, which run on tract.
    pub allow_load: bool,
}

/// The graphs of a process, each loaded once and shared by all requests.
#[derive(Debug)]
pub struct Registry {
    graphs: BTreeMap<String, Arc<Graph>>,
    options: Options,
    /// What guests have brought, by its SHA-256.
    brought: Mutex<HashMap<[u8; 32], Slot>>,
}

/// A graph that a guest has brought: absent while it is loaded, so that whoever brings the same one waits.
type Slot = Arc<Mutex<Option<Arc<Graph>>>>;

/// How many graphs of guests are kept.
const MAX_BROUGHT: usize = 16;

impl Registry {
    /// Loads every graph. Graphs of the same file and settings are loaded once and share their contexts.
    pub fn load(specs: impl IntoIterator<Item = GraphSpec>, options: &Options) -> Result<Registry, LoadError> {
        let mut graphs: BTreeMap<String, Arc<Graph>> = BTreeMap::new();
        let mut loaded: HashMap<GraphSpec, Arc<Graph>> = HashMap::new();
        for spec in specs {
            if graphs.contains_key(&spec.name) {
                return Err(LoadError::Duplicate { name: spec.name });
            }
            let path = spec.path.canonicalize().map_err(|reason| unreadable(&spec, reason))?;
            let settings = GraphSpec { name: String::new(), path, ..spec.clone() };
            let graph = match loaded.get(&settings) {
                Some(graph) => Arc::new(graph.renamed(&spec.name)),
                None => {
                    let graph = Arc::new(load_file(&spec, options)?);
                    loaded.insert(settings, Arc::clone(&graph));
                    graph
                }
            };
            graphs.insert(spec.name, graph);
        }
        Ok(Registry { graphs, options: options.clone(), brought: Mutex::default() })
    }

    /// The graph of that name.
    pub fn get(&self, name: &str) -> Result<Arc<Graph>, UnknownGraph> {
        self.graphs
            .get(name)
            .cloned()
            .ok_or_else(|| UnknownGraph { name: name.to_owned(), known: self.graphs.keys().cloned().collect() })
    }

    /// All graphs that were registered, by name.
    pub fn graphs(&self) -> impl ExactSizeIterator<Item = &Arc<Graph>> {
        self.graphs.values()
    }

    /// Whether guests may bring graphs of their own.
    #[must_use]
    pub fn allows_load(&self) -> bool {
        self.options.allow_load
    }

    /// Loads a graph that a guest brings, unless one has brought it before.
    ///
    /// It runs on tract and on the CPU: what a guest may choose is the graph, not what in the host reads it.
    pub fn load_bytes(&self, model: &[u8]) -> Result<Arc<Graph>, LoadError> {
        if !self.options.allow_load {
            return Err(LoadError::Forbidden);
        }
        let hash: [u8; 32] = Sha256::digest(model).into();
        let slot = {
            let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
            if !brought.contains_key(&hash) && brought.len() >= MAX_BROUGHT {
                return Err(LoadError::Full { limit: MAX_BROUGHT });
            }
            Arc::clone(brought.entry(hash).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(graph) = &*slot {
            return Ok(Arc::clone(graph));
        }
        let spec = GraphSpec { device: Device::Cpu, backend: BackendKind::Tract, ..GraphSpec::new(hex(&hash), "") };
        match load_from(Source::Bytes(model), &spec, &self.options, &hash, model.len() as u64) {
            Ok(graph) => Ok(Arc::clone(slot.insert(Arc::new(graph)))),
            Err(reason) => {
                // What cannot be loaded does not count.
                self.brought.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
                Err(LoadError::Bytes(reason))
            }
        }
    }
}

fn unreadable(spec: &GraphSpec, reason: std::io::Error) -> LoadError {
    LoadError::Read { graph: spec.name.clone(), path: spec.path.clone(), reason }
}

fn load_file(spec: &GraphSpec, options: &Options) -> Result<Graph, LoadError> {
    let (hash, bytes) = hash_file(&spec.path).map_err(|reason| unreadable(spec, reason))?;
    let graph = load_from(Source::File(&spec.path), spec, options, &hash, bytes).map_err(|reason| LoadError::File {
        graph: spec.name.clone(),
        path: spec.path.clone(),
        reason,
    })?;
    let info = graph.info();
    if let Some(reason) = &info.fell_back {
        tracing::warn!(graph = info.name, backend = %info.backend, reason, "no GPU: the graph runs on the CPU");
    }
    Ok(graph)
}

fn load_from(
    source: Source<'_>,
    spec: &GraphSpec,
    options: &Options,
    hash: &[u8],
    bytes: u64,
) -> Result<Graph, BackendError> {
    let start = Instant::now();
    let Loaded { backend, version, device, fell_back, inputs, outputs } = backend::load(source, spec, options)?;
    let contexts = spec.context_count();
    let info = GraphInfo {
        name: spec.name.clone(),
        path: spec.path.clone(),
        sha256: hex(hash),
        bytes,
        backend: spec.backend,
        version,
        device,
        device_asked: spec.device,
        fell_back,
        contexts,
        threads: spec.threads,
        optimization: spec.optimization,
        load_time: start.elapsed(),
        inputs,
        outputs,
    };
    Ok(Graph::new(info, Core::new(backend, contexts)))
}

fn hash_file(path: &Path) -> std::io::Result<([u8; 32], u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher.finalize().into(), bytes));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        bytes += read as u64;
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
