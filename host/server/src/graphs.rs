//! The graphs that the host runs, as they are told about.

use samara_nn::{Graph, GraphInfo, Statistics};
use samara_protocol::repository::{GraphMetadata, GraphStatistics};

/// A graph, with what of it is written otherwise in JSON.
pub struct Described<'a> {
    info: &'a GraphInfo,
    statistics: Statistics,
    file: String,
    device: String,
    device_asked: String,
    backend: String,
    optimization: String,
}

// === impl Described ===

impl<'a> Described<'a> {
    pub fn new(graph: &'a Graph) -> Described<'a> {
        let info = graph.info();
        Described {
            info,
            statistics: graph.statistics(),
            file: info.path.display().to_string(),
            device: info.device.to_string(),
            device_asked: info.device_asked.to_string(),
            backend: info.backend.to_string(),
            optimization: info.optimization.to_string(),
        }
    }

    pub fn metadata(&self) -> GraphMetadata<'_> {
        GraphMetadata {
            name: &self.info.name,
            file: &self.file,
            sha256: &self.info.sha256,
            backend: &self.backend,
            backend_version: &self.info.version,
            device: &self.device,
            device_asked: &self.device_asked,
            fell_back: self.info.fell_back.as_deref(),
            contexts: self.info.contexts,
            threads: self.info.threads,
            optimization: &self.optimization,
            load_ns: u64::try_from(self.info.load_time.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    pub fn statistics(&self) -> GraphStatistics<'_> {
        let Statistics { requests, failures, compute_ns, loads, .. } = self.statistics;
        GraphStatistics { graph: self.metadata(), loads, requests, failures, compute_ns }
    }
}
