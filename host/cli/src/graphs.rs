//! The graphs that the host runs, through `wasi:nn`.

use std::sync::Arc;

use anyhow::{Result, ensure};
use samara_nn::{GraphSpec, Registry};

use crate::options::NnOptions;

/// Loads the graphs that have a file; the others wait for the component that asks for them.
pub fn load(graphs: Vec<GraphSpec>, options: &samara_nn::Options) -> Result<Arc<Registry>> {
    Ok(Arc::new(Registry::load(graphs, options)?))
}

impl NnOptions {
    /// What holds for all graphs.
    pub fn options(&self) -> samara_nn::Options {
        samara_nn::Options { ort_dylib: self.ort_dylib.clone(), allow_load: self.nn_load }
    }
}

/// Checks that each graph of which settings were given is there, once all components are.
pub fn check(registry: &Registry) -> Result<()> {
    let missing = registry.without_file();
    ensure!(
        missing.is_empty(),
        "no component here asks for the graph {}: name its file, as --nn {}=MODEL.onnx",
        missing.join(", "),
        missing.first().copied().unwrap_or_default()
    );
    Ok(())
}
