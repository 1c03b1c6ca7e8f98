//! All stages for a model that its host runs through `wasi:nn`, and what they tell.

use std::path::Path;

use samara_artifact::{Inspection, Manifest, MemoryImage, NnGraph, Signature, Simd};
use samara_protocol::{ModelMetadata, TensorSpec};
use samara_runtime::Runtime;
use serde::{Deserialize, Serialize};

use crate::compile::{check_labels, metadata};
use crate::onnx::OnnxFile;
use crate::progress::{Clock, Progress, StepTime};
use crate::snapshot::Prepared;
use crate::{CompileError, GENERATOR, Options, adapter, component};

/// A component that has its host run the model.
#[derive(Clone, Debug)]
pub struct CompiledForHost {
    /// The component.
    pub component: Vec<u8>,
    /// What is to be told about it.
    pub report: ReportForHost,
}

/// What is to be told about a component that has its host run the model.
#[derive(Clone, Debug, Serialize)]
pub struct ReportForHost {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// What the component asks its host for.
    pub nn: NnGraph,
    /// SHA-256 of the ONNX file.
    pub source_sha256: String,
    /// What an inference takes.
    pub inputs: Vec<TensorSpec>,
    /// What an inference gives.
    pub outputs: Vec<TensorSpec>,
    /// Bytes of the component.
    pub component_bytes: u64,
    /// What an instance's memory holds when it starts.
    #[serde(flatten)]
    pub image: MemoryImage,
    /// The initialised share of the image, from 0 to 1.
    pub image_density: f64,
    /// How long each step took.
    pub steps: Vec<StepTime>,
}

/// What the adapter is told about the model.
#[derive(Serialize)]
struct Declaration<'a> {
    model: ModelMetadata,
    labels: &'a [String],
    graph: &'a str,
}

/// What the adapter tells about the model: nothing.
#[derive(Deserialize)]
struct Loaded {}

const STEPS: [&str; 3] = ["read and check the ONNX file", "prepare the adapter", "take the snapshot"];

/// The size that a dynamic dimension has in a sample input.
const SAMPLE_SIZE: u64 = 1;

/// Makes a component of the ONNX model in the file at `path` that has its host run it, as a graph of the model's name: `NAME`,
/// or `NAME:VERSION` where the version is not 1.
///
/// The file itself is to be put beside the component: see [`Destination::write_graph`](crate::Destination::write_graph).
/// [`Options::simd`] and [`Options::tune`] are passed over, since the adapter computes nothing. Nothing is run, which takes a host that has
/// the graph.
pub fn compile_for_host<'a>(
    runtime: &Runtime,
    path: &Path,
    options: &Options,
    progress: &'a mut Progress<'a>,
) -> Result<CompiledForHost, CompileError> {
    let mut clock = Clock::new(&STEPS, progress);
    let (onnx, signature) = clock.step(|| {
        let onnx = OnnxFile::read(path)?;
        onnx.check_for_host()?;
        let signature = onnx.signature(&options.inputs)?;
        check_labels(options, &signature.outputs)?;
        Ok((onnx, signature))
    })?;
    let adapter = clock.step(|| Prepared::new(adapter::module(), runtime.cache()))?;
    let manifest = manifest(&onnx, options, &signature);
    let component = clock.step(|| {
        let declaration = Declaration {
            model: metadata(options, &signature.inputs, &signature.outputs),
            labels: options.labels.as_deref().unwrap_or_default(),
            graph: &graph_name(options),
        };
        let (Loaded {}, frozen) = adapter.freeze(&declaration, Vec::new())?;
        let mut component = component::encode(&frozen.module()?)?;
        manifest.append_to(&mut component)?;
        Ok(component)
    })?;
    let inspection = Inspection::of(&component).map_err(|error| CompileError::Encode(error.to_string()))?;
    let report = ReportForHost {
        name: options.name.clone(),
        version: options.version.clone(),
        nn: graph(&onnx, options),
        source_sha256: onnx.sha256,
        inputs: signature.inputs,
        outputs: signature.outputs,
        component_bytes: component.len() as u64,
        image: inspection.memory,
        image_density: inspection.memory.density(),
        steps: clock.into_times(),
    };
    Ok(CompiledForHost { component, report })
}

/// The name of the graph that the component asks for: the model's, and its version's where it is not the first, so that
/// several can be served.
fn graph_name(options: &Options) -> String {
    match options.version.as_str() {
        "1" => options.name.clone(),
        version => format!("{}:{version}", options.name),
    }
}

/// The graph that the component asks for.
fn graph(onnx: &OnnxFile, options: &Options) -> NnGraph {
    NnGraph {
        graph: graph_name(options),
        file: format!("{}.onnx", onnx.sha256),
        sha256: onnx.sha256.clone(),
        bytes: onnx.bytes,
    }
}

fn manifest(onnx: &OnnxFile, options: &Options, signature: &Signature) -> Manifest {
    let sample = |input: &TensorSpec| {
        input.shape.iter().map(|&size| u64::try_from(size).unwrap_or(SAMPLE_SIZE)).collect::<Vec<_>>()
    };
    Manifest {
        format: Manifest::FORMAT,
        name: options.name.clone(),
        version: options.version.clone(),
        generator: GENERATOR.to_owned(),
        simd: Simd::Baseline,
        tune: None,
        source: onnx.source(),
        inputs: signature.inputs.clone(),
        outputs: signature.outputs.clone(),
        sample: signature.inputs.iter().map(sample).collect(),
        cost: None,
        labels: options.labels.clone(),
        nn: Some(graph(onnx, options)),
    }
}
