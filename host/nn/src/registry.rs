//! The graphs of a process, each loaded once.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
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
#[derive(Debug, Default)]
pub struct Registry {
    graphs: RwLock<Graphs>,
    /// How graphs are to run whose files lie beside the components that ask for them.
    settings: BTreeMap<String, GraphSpec>,
    options: Options,
    /// What guests have brought, by its SHA-256.
    brought: Mutex<HashMap<[u8; 32], Slot>>,
}

#[derive(Debug, Default)]
struct Graphs {
    by_name: BTreeMap<String, Registered>,
    /// By everything but the name.
    loaded: HashMap<GraphSpec, Arc<Graph>>,
    /// How often each file has been loaded.
    loads: HashMap<PathBuf, Arc<AtomicU64>>,
}

#[derive(Debug)]
struct Registered {
    graph: Arc<Graph>,
    /// Whether its file lies beside a component.
    beside: bool,
}

/// A graph that a guest has brought: absent while it is loaded, so that whoever brings the same one waits.
type Slot = Arc<Mutex<Option<Arc<Graph>>>>;

/// How many graphs of guests are kept.
const MAX_BROUGHT: usize = 16;

impl Registry {
    /// Loads every graph that has a file. Graphs of the same file and settings are loaded once and share their contexts.
    ///
    /// Those without wait for [`Registry::provide`].
    pub fn load(specs: impl IntoIterator<Item = GraphSpec>, options: &Options) -> Result<Registry, LoadError> {
        let mut registry = Registry { options: options.clone(), ..Registry::default() };
        for spec in specs {
            if registry.settings.contains_key(&spec.name) || registry.read().by_name.contains_key(&spec.name) {
                return Err(LoadError::Duplicate { name: spec.name });
            }
            match &spec.path {
                Some(path) => drop(registry.register(&spec, path, None)?),
                None => drop(registry.settings.insert(spec.name.clone(), spec)),
            }
        }
        Ok(registry)
    }

    /// The graph of that name: the one that is registered, else the one in the file beside a component, whose SHA-256 the
    /// component knows.
    ///
    /// # Errors
    ///
    /// The file cannot be loaded, is another than the component was made with, or has the name of one beside another
    /// component that is not the same.
    pub fn provide(&self, name: &str, path: &Path, sha256: &str) -> Result<Arc<Graph>, LoadError> {
        if let Some(Registered { graph, beside }) = self.read().by_name.get(name) {
            return if *beside && graph.info().sha256 != sha256 {
                let (graph, first) = (name.to_owned(), graph.info().path.clone());
                Err(LoadError::Conflict { graph, first, second: path.to_owned() })
            } else {
                Ok(Arc::clone(graph))
            };
        }
        let settings = self.settings.get(name).cloned();
        let spec = settings.unwrap_or_else(|| GraphSpec::new(name)).with_path(path);
        self.register(&spec, path, Some(sha256))
    }

    /// Whether guests find nothing here, and cannot bring anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.options.allow_load && self.read().by_name.is_empty()
    }

    /// The names of graphs that have settings but no file yet.
    #[must_use]
    pub fn without_file(&self) -> Vec<&str> {
        let graphs = self.read();
        self.settings.keys().filter(|name| !graphs.by_name.contains_key(*name)).map(String::as_str).collect()
    }

    /// Loads a graph, unless that has been done, and registers it. One beside a component has the SHA-256 that is given.
    fn register(&self, spec: &GraphSpec, path: &Path, sha256: Option<&str>) -> Result<Arc<Graph>, LoadError> {
        let path = path.canonicalize().map_err(|reason| unreadable(&spec.name, path, reason))?;
        let settings = GraphSpec { name: String::new(), ..spec.clone() }.with_path(&path);
        let loaded = self.read().loaded.get(&settings).cloned();
        let graph = match loaded {
            Some(graph) if sha256.is_some_and(|sha256| sha256 != graph.info().sha256) => {
                return Err(LoadError::Changed { graph: spec.name.clone(), path });
            }
            Some(graph) => Arc::new(graph.renamed(&spec.name)),
            None => Arc::new(self.load_file(spec, &path, sha256)?),
        };
        let beside = sha256.is_some();
        let mut graphs = self.write();
        graphs.loaded.entry(settings).or_insert_with(|| Arc::clone(&graph));
        graphs.by_name.insert(spec.name.clone(), Registered { graph: Arc::clone(&graph), beside });
        Ok(graph)
    }

    /// Loads the graph in a file, which has the SHA-256 that is given, if one is.
    fn load_file(&self, spec: &GraphSpec, path: &Path, sha256: Option<&str>) -> Result<Graph, LoadError> {
        let (hash, bytes) = hash_file(path).map_err(|reason| unreadable(&spec.name, path, reason))?;
        // Before any backend sees it.
        if sha256.is_some_and(|sha256| sha256 != hex(&hash)) {
            return Err(LoadError::Changed { graph: spec.name.clone(), path: path.to_owned() });
        }
        let loads = Arc::clone(self.write().loads.entry(path.to_owned()).or_default());
        loads.fetch_add(1, Ordering::Relaxed);
        let graph = load_from(Source::File(path), spec, &self.options, (hash, bytes), loads)
            .map_err(|reason| LoadError::File { graph: spec.name.clone(), path: path.to_owned(), reason })?;
        tell(graph.info());
        Ok(graph)
    }

    fn read(&self) -> RwLockReadGuard<'_, Graphs> {
        self.graphs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Graphs> {
        self.graphs.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The graph of that name.
    pub fn get(&self, name: &str) -> Result<Arc<Graph>, UnknownGraph> {
        let graphs = self.read();
        let found = graphs.by_name.get(name).map(|registered| Arc::clone(&registered.graph));
        found.ok_or_else(|| UnknownGraph { name: name.to_owned(), known: graphs.by_name.keys().cloned().collect() })
    }

    /// All graphs that are registered, by name.
    #[must_use]
    pub fn graphs(&self) -> Vec<Arc<Graph>> {
        self.read().by_name.values().map(|registered| Arc::clone(&registered.graph)).collect()
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
        let spec = GraphSpec { device: Device::Cpu, backend: BackendKind::Tract, ..GraphSpec::new(hex(&hash)) };
        match load_from(Source::Bytes(model), &spec, &self.options, (hash, model.len() as u64), Arc::new(1.into())) {
            Ok(graph) => Ok(Arc::clone(slot.insert(Arc::new(graph)))),
            Err(reason) => {
                // What cannot be loaded does not count.
                self.brought.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
                Err(LoadError::Bytes(reason))
            }
        }
    }
}

fn unreadable(graph: &str, path: &Path, reason: std::io::Error) -> LoadError {
    LoadError::Read { graph: graph.to_owned(), path: path.to_owned(), reason }
}

fn tell(info: &GraphInfo) {
    tracing::info!(
        graph = info.name,
        path = %info.path.display(),
        backend = %info.backend,
        version = info.version,
        device = %info.device,
        contexts = info.contexts,
        threads = info.threads,
        ms = info.load_time.as_millis(),
        "loaded"
    );
    if let Some(reason) = &info.fell_back {
        tracing::warn!(graph = info.name, backend = %info.backend, reason, "no GPU: the graph runs on the CPU");
    }
}

fn load_from(
    source: Source<'_>,
    spec: &GraphSpec,
    options: &Options,
    (hash, bytes): ([u8; 32], u64),
    loads: Arc<AtomicU64>,
) -> Result<Graph, BackendError> {
    let start = Instant::now();
    let Loaded { backend, version, device, fell_back, inputs, outputs } = backend::load(source, spec, options)?;
    let contexts = spec.context_count();
    let info = GraphInfo {
        name: spec.name.clone(),
        path: match source {
            Source::File(path) => path.to_owned(),
            Source::Bytes(_) => PathBuf::new(),
        },
        sha256: hex(&hash),
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
    Ok(Graph::new(info, Core::new(backend, contexts, loads)))
}

fn hash_file(path: &Path) -> std::io::Result<([u8; 32], u64)> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
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
