//! All stages in their order, and what they tell.

use std::path::Path;
use std::time::{Duration, Instant};

use samara_artifact::{Cost, Inspection, Manifest, MemoryImage, Simd, Tune};
use samara_protocol::{ModelMetadata, PLATFORM, TensorSpec};
use samara_runtime::{DirtyPages, Model, Runtime};
use serde::{Deserialize, Serialize};

use crate::nnef::{self, Part};
use crate::onnx::{InputShape, OnnxFile, TypedGraph};
use crate::progress::{Clock, Progress, StepTime, milliseconds};
use crate::snapshot::Prepared;
use crate::{CompileError, GENERATOR, component, engine};

/// How a model is to be compiled.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name to serve it under.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Shapes to fix, by input.
    pub inputs: Vec<InputShape>,
    /// The vector instructions to use.
    pub simd: Simd,
    /// What to choose the kernels for.
    pub tune: Tune,
    /// What its classes are called.
    pub labels: Option<Vec<String>>,
}

/// A compiled model.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The component.
    pub component: Vec<u8>,
    /// What is to be told about it.
    pub report: Report,
}

/// What is to be told about a compiled model.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// The vector instructions that it uses.
    pub simd: Simd,
    /// What its kernels were chosen for.
    pub tune: Tune,
    /// SHA-256 of the ONNX file.
    pub source_sha256: String,
    /// What an inference takes.
    pub inputs: Vec<TensorSpec>,
    /// What an inference gives.
    pub outputs: Vec<TensorSpec>,
    /// How much an inference computes.
    #[serde(flatten)]
    pub cost: Cost,
    /// Operators of the optimised graph, constants not counted.
    pub operators: u64,
    /// The most memory that an inference had in use at once, beside the weights, in bytes.
    pub peak_bytes: u64,
    /// The memory in which all that was planned, in bytes: the peak, and what is lost between blocks.
    pub arena_bytes: u64,
    /// The pages of an instance's memory that a request writes to; none where the system does not tell.
    #[serde(flatten)]
    pub dirty: Option<DirtyPages>,
    /// Bytes of the component.
    pub component_bytes: u64,
    /// What an instance's memory holds when it starts.
    #[serde(flatten)]
    pub image: MemoryImage,
    /// The initialised share of the image, from 0 to 1.
    pub image_density: f64,
    /// How long one inference took, in a fresh instance that was made before.
    pub latency_ms: f64,
    /// How long each step took.
    pub steps: Vec<StepTime>,
}

/// What the engine is told about the model.
#[derive(Serialize)]
struct Declaration<'a> {
    model: ModelMetadata,
    labels: &'a [String],
    per_item: bool,
    sample: &'a [Vec<usize>],
    tune: Tune,
}

/// What the engine tells about the loaded model.
#[derive(Deserialize)]
struct Loaded {
    /// Operators of the optimised graph, constants not counted.
    operators: u64,
    /// The most memory that an inference had in use at once, beside the weights, in bytes.
    peak_bytes: u64,
    /// The memory in which all that was planned, in bytes.
    arena_bytes: u64,
}

const STEPS: [&str; 7] = [
    "read and check the ONNX file",
    "simplify the graph",
    "prepare the engine",
    "optimise the graph and pack its weights in the engine",
    "take the snapshot",
    "make the machine code",
    "run it once",
];

/// Compiles the ONNX model in the file at `path`, and runs it once.
///
/// The machine code is left in the runtime's code cache, so that the component starts at once.
pub fn compile<'a>(
    runtime: &Runtime,
    path: &Path,
    options: &Options,
    progress: &'a mut Progress<'a>,
) -> Result<Compiled, CompileError> {
    let mut clock = Clock::new(&STEPS, progress);
    let onnx = clock.step(|| {
        let onnx = OnnxFile::read(path)?;
        onnx.check_for_engine()?;
        Ok(onnx)
    })?;
    let (graph, parts) = clock.step(|| simplify(&onnx, options))?;
    check_labels(options, &graph.outputs)?;
    let engine = clock.step(|| Prepared::new(engine::module(options.simd), runtime.cache()))?;
    let declaration = Declaration {
        model: metadata(options, &graph.inputs, &graph.outputs),
        labels: options.labels.as_deref().unwrap_or_default(),
        per_item: graph.per_item,
        sample: &graph.sample,
        tune: options.tune,
    };
    let (loaded, frozen): (Loaded, _) =
        clock.step(|| engine.freeze(&declaration, parts).map_err(|error| blame(error, &graph)))?;
    let manifest = manifest(&onnx, options, &graph);
    let component = clock.step(|| {
        let mut component = component::encode(&frozen.module()?)?;
        manifest.append_to(&mut component)?;
        Ok(component)
    })?;
    let model = clock.step(|| runtime.load_bytes(&component).map_err(CompileError::Load))?;
    let (latency, dirty) = clock.step(|| first_inferences(&model, &manifest))?;
    let inspection = Inspection::of(&component).map_err(|error| CompileError::Encode(error.to_string()))?;
    let report = Report {
        name: options.name.clone(),
        version: options.version.clone(),
        simd: options.simd,
        tune: options.tune,
        source_sha256: onnx.sha256,
        inputs: graph.inputs,
        outputs: graph.outputs,
        cost: graph.cost,
        operators: loaded.operators,
        peak_bytes: loaded.peak_bytes,
        arena_bytes: loaded.arena_bytes,
        dirty,
        component_bytes: component.len() as u64,
        image: inspection.memory,
        image_density: inspection.memory.density(),
        latency_ms: milliseconds(latency),
        steps: clock.into_times(),
    };
    Ok(Compiled { component, report })
}

fn simplify(onnx: &OnnxFile, options: &Options) -> Result<(TypedGraph, Vec<Part>), CompileError> {
    let graph = onnx.typed(&options.inputs)?;
    let parts = nnef::parts(&graph.model)?;
    Ok((graph, parts))
}

/// What the inference protocol shows of a model.
pub fn metadata(options: &Options, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> ModelMetadata {
    ModelMetadata {
        name: options.name.clone(),
        version: options.version.clone(),
        platform: PLATFORM.to_owned(),
        inputs: inputs.to_vec(),
        outputs: outputs.to_vec(),
    }
}

/// Puts a failure inside the engine down to dynamic dimensions, if there are any.
fn blame(error: CompileError, graph: &TypedGraph) -> CompileError {
    match error {
        CompileError::Engine(reason) => {
            let dynamic: Vec<_> = graph
                .inputs
                .iter()
                .filter(|input| input.shape.contains(&-1))
                .map(|input| (input.name.clone(), input.shape.clone()))
                .collect();
            if dynamic.is_empty() {
                CompileError::Engine(reason)
            } else {
                crate::onnx::blame_dimensions(dynamic, reason)
            }
        }
        other => other,
    }
}

/// Checks that there is a label for each class: the last dimension of an output.
pub fn check_labels(options: &Options, outputs: &[TensorSpec]) -> Result<(), CompileError> {
    let Some(labels) = &options.labels else { return Ok(()) };
    let classes: Vec<i64> = outputs.iter().filter_map(|output| output.shape.last().copied()).collect();
    if classes.iter().any(|&classes| classes < 0 || classes == labels.len() as i64) {
        return Ok(());
    }
    Err(CompileError::Labels(format!(
        "there are {} of them, but the last dimension of the model's outputs is {}",
        labels.len(),
        classes.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
    )))
}

fn manifest(onnx: &OnnxFile, options: &Options, graph: &TypedGraph) -> Manifest {
    Manifest {
        format: Manifest::FORMAT,
        name: options.name.clone(),
        version: options.version.clone(),
        generator: GENERATOR.to_owned(),
        simd: options.simd,
        tune: Some(options.tune),
        source: onnx.source(),
        inputs: graph.inputs.clone(),
        outputs: graph.outputs.clone(),
        sample: graph.sample.iter().map(|shape| shape.iter().map(|&size| size as u64).collect()).collect(),
        cost: Some(graph.cost),
        labels: options.labels.clone(),
        nn: None,
    }
}

/// Runs the model on zeros, each time in a fresh instance: to see that it can and what it writes to, and once more for the time.
fn first_inferences(model: &Model, manifest: &Manifest) -> Result<(Duration, Option<DirtyPages>), CompileError> {
    let inputs = manifest.sample_inputs().ok_or(CompileError::OutOfMemory)?;
    let dirty = model.dirty_pages(&inputs).map_err(CompileError::FirstInference)?;
    let mut instance = model.instantiate().map_err(CompileError::FirstInference)?;
    let start = Instant::now();
    let outputs = instance.infer(&inputs, &[]).map_err(CompileError::FirstInference)?;
    let latency = start.elapsed();
    if outputs.len() != manifest.outputs.len() {
        return Err(CompileError::Encode(format!(
            "the model gives {} outputs instead of {}",
            outputs.len(),
            manifest.outputs.len()
        )));
    }
    Ok((latency, dirty))
}
