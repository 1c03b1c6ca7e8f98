//! All stages in their order, and what they tell.

use std::path::Path;
use std::time::{Duration, Instant};

use samara_artifact::{Cost, Inspection, Manifest, MemoryImage, Simd, Source};
use samara_protocol::{Datatype, InputTensor, TensorSpec};
use samara_runtime::{Model, Runtime};
use serde::Serialize;

use crate::nnef::{self, Part};
use crate::onnx::{InputShape, OnnxFile, TypedGraph};
use crate::snapshot::{Declaration, Prepared};
use crate::{CompileError, GENERATOR, component};

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

/// How long a step took.
#[derive(Clone, Debug, Serialize)]
pub struct StepTime {
    /// The step.
    pub step: &'static str,
    /// Its time in milliseconds.
    pub ms: f64,
}

/// Hears of each step as it begins: its position, how many there are, and what it does.
pub type Progress<'a> = dyn FnMut(usize, usize, &'static str) + 'a;

const STEPS: [&str; 7] = [
    "read and check the ONNX file",
    "simplify the graph",
    "prepare the engine",
    "optimise the graph and pack its weights in the engine",
    "take the snapshot",
    "make the machine code",
    "run it once",
];

/// Times the steps, one after the other.
struct Clock<'a> {
    progress: &'a mut Progress<'a>,
    times: Vec<StepTime>,
}

impl Clock<'_> {
    fn step<R>(&mut self, f: impl FnOnce() -> Result<R, CompileError>) -> Result<R, CompileError> {
        let index = self.times.len();
        (self.progress)(index, STEPS.len(), STEPS[index]);
        let start = Instant::now();
        let result = f()?;
        self.times.push(StepTime { step: STEPS[index], ms: milliseconds(start.elapsed()) });
        Ok(result)
    }
}

/// Compiles the ONNX model in the file at `path`, and runs it once.
///
/// The machine code is left in the runtime's code cache, so that the component starts at once.
pub fn compile<'a>(
    runtime: &Runtime,
    path: &Path,
    options: &Options,
    progress: &'a mut Progress<'a>,
) -> Result<Compiled, CompileError> {
    let mut clock = Clock { progress, times: Vec::with_capacity(STEPS.len()) };
    let onnx = clock.step(|| OnnxFile::read(path))?;
    let (graph, parts) = clock.step(|| simplify(&onnx, options))?;
    check_labels(options, &graph)?;
    let engine = clock.step(|| Prepared::new(options.simd, runtime.cache()))?;
    let declaration = Declaration {
        name: &options.name,
        version: &options.version,
        inputs: &graph.inputs,
        outputs: &graph.outputs,
        labels: options.labels.as_deref().unwrap_or_default(),
        per_item: graph.per_item,
        sample: &graph.sample,
    };
    let (loaded, frozen) = clock.step(|| engine.freeze(&declaration, parts).map_err(|error| blame(error, &graph)))?;
    let manifest = manifest(&onnx, path, options, &graph);
    let component = clock.step(|| {
        let mut component = component::encode(&frozen.module()?)?;
        manifest.append_to(&mut component)?;
        Ok(component)
    })?;
    let model = clock.step(|| runtime.load_bytes(&component).map_err(CompileError::Load))?;
    let latency = clock.step(|| first_inference(&model, &graph))?;
    let inspection = Inspection::of(&component).map_err(|error| CompileError::Encode(error.to_string()))?;
    let report = Report {
        name: options.name.clone(),
        version: options.version.clone(),
        simd: options.simd,
        source_sha256: onnx.sha256,
        inputs: graph.inputs,
        outputs: graph.outputs,
        cost: graph.cost,
        operators: loaded.operators,
        component_bytes: component.len() as u64,
        image: inspection.memory,
        image_density: inspection.memory.density(),
        latency_ms: milliseconds(latency),
        steps: clock.times,
    };
    Ok(Compiled { component, report })
}

fn simplify(onnx: &OnnxFile, options: &Options) -> Result<(TypedGraph, Vec<Part>), CompileError> {
    let graph = onnx.typed(&options.inputs)?;
    let parts = nnef::parts(&graph.model)?;
    Ok((graph, parts))
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
fn check_labels(options: &Options, graph: &TypedGraph) -> Result<(), CompileError> {
    let Some(labels) = &options.labels else { return Ok(()) };
    let classes: Vec<i64> = graph.outputs.iter().filter_map(|output| output.shape.last().copied()).collect();
    if classes.iter().any(|&classes| classes < 0 || classes == labels.len() as i64) {
        return Ok(());
    }
    Err(CompileError::Labels(format!(
        "there are {} of them, but the last dimension of the model's outputs is {}",
        labels.len(),
        classes.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
    )))
}

fn manifest(onnx: &OnnxFile, path: &Path, options: &Options, graph: &TypedGraph) -> Manifest {
    Manifest {
        format: Manifest::FORMAT,
        name: options.name.clone(),
        version: options.version.clone(),
        generator: GENERATOR.to_owned(),
        simd: options.simd,
        source: Source {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sha256: onnx.sha256.clone(),
        },
        inputs: graph.inputs.clone(),
        outputs: graph.outputs.clone(),
        sample: graph.sample.iter().map(|shape| shape.iter().map(|&size| size as u64).collect()).collect(),
        cost: graph.cost,
        labels: options.labels.clone(),
    }
}

/// Runs the model on zeros: once to see that it can, and once more for the time, each in a fresh instance.
fn first_inference(model: &Model, graph: &TypedGraph) -> Result<Duration, CompileError> {
    let inputs: Vec<InputTensor<'_>> = graph.inputs.iter().zip(&graph.sample).map(zeros).collect();
    let mut latency = Duration::ZERO;
    for _ in 0..2 {
        let mut instance = model.instantiate().map_err(CompileError::FirstInference)?;
        let start = Instant::now();
        let outputs = instance.infer(&inputs, &[]).map_err(CompileError::FirstInference)?;
        latency = start.elapsed();
        if outputs.len() != graph.outputs.len() {
            return Err(CompileError::Encode(format!(
                "the model gives {} outputs instead of {}",
                outputs.len(),
                graph.outputs.len()
            )));
        }
    }
    Ok(latency)
}

fn zeros((spec, shape): (&TensorSpec, &Vec<usize>)) -> InputTensor<'static> {
    let elements: usize = shape.iter().product();
    // An element of BYTES is its length before its bytes: an empty string is a length of zero.
    let size = if spec.datatype == Datatype::Bytes { 4 } else { spec.datatype.size().unwrap_or(0) };
    InputTensor {
        name: spec.name.clone().into(),
        datatype: spec.datatype,
        shape: shape.iter().map(|&size| size as u64).collect(),
        data: vec![0; elements * size].into(),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
