//! Samara on the host's backends, and one of them called directly.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use samara_nn::{BackendKind, Device, Graph, GraphSpec, Options, Registry};
use samara_runtime::{Config, Model, Runtime};

use super::peer::{Lab, Peer, Subject};
use super::wasm;
use crate::samara::Samara;
use crate::tensor::Tensor;

/// Samara on tract.
pub fn tract(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    through_component(lab, subject, BackendKind::Tract)
}

/// Samara on ONNX Runtime.
pub fn onnxruntime(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    through_component(lab, subject, BackendKind::Onnxruntime)
}

/// ONNX Runtime, called directly.
pub fn onnxruntime_directly(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    let name = &subject.build.name;
    let spec = graph(name, BackendKind::Onnxruntime).with_path(&subject.build.onnx);
    let graph = Registry::load([spec], &options(Some(&lab.onnxruntime)))?.get(name)?;
    let inputs = subject.inputs.iter().map(|input| (input.name.clone(), input.into())).collect();
    Ok(Box::new(Direct { graph, inputs }))
}

fn through_component(lab: &Lab<'_>, subject: &Subject, backend: BackendKind) -> Result<Box<dyn Peer>> {
    let component = lab.samara.component_for_host(&subject.build)?;
    let model = load(lab.samara, &subject.build.name, &component, backend, Some(&lab.onnxruntime))?;
    Ok(wasm::fresh_of(model, subject))
}

/// A component, with a graph of one context on the CPU.
pub fn load(
    samara: &Samara,
    name: &str,
    component: &Path,
    backend: BackendKind,
    onnxruntime: Option<&Path>,
) -> Result<Model> {
    let mut config = Config::default();
    config.cache_directory = Some(samara.code_cache());
    config.graphs = Arc::new(Registry::load([graph(name, backend)], &options(onnxruntime))?);
    Ok(Runtime::new(&config)?.load(component)?)
}

fn graph(name: &str, backend: BackendKind) -> GraphSpec {
    GraphSpec { backend, device: Device::Cpu, contexts: Some(1), ..GraphSpec::new(name) }
}

fn options(onnxruntime: Option<&Path>) -> Options {
    Options { ort_dylib: onnxruntime.map(Path::to_owned), allow_load: false }
}

/// A graph without a component around it.
struct Direct {
    graph: Arc<Graph>,
    inputs: Vec<(String, samara_nn::Tensor)>,
}

impl Peer for Direct {
    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        Ok(self.graph.compute(self.inputs.clone(), None)?.into_iter().map(Tensor::from).collect())
    }

    fn time(&mut self, count: usize) -> Result<Vec<Duration>> {
        let run = |_| {
            let inputs = self.inputs.clone();
            let start = Instant::now();
            let outputs = self.graph.compute(inputs, None)?;
            let time = start.elapsed();
            drop(outputs);
            Ok(time)
        };
        (0..count).map(run).collect()
    }

    fn version(&self) -> Option<String> {
        Some(format!("onnxruntime {}", self.graph.info().version))
    }
}
