//! OpenVINO, whose library is loaded when the first graph wants it.
//!
//! A graph is compiled once; a context is an inference request of OpenVINO's, which shares the weights with the others.
//!
//! On a CPU OpenVINO computes integers of 64 bits in 32, and FP64 in FP32. Inputs that do not fit into 32 bits are
//! refused; what exceeds them on the way to an output, it cuts off without a word. Strings it cannot take at all.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use openvino::{CompiledModel, Core, DeviceType, ElementType, InferRequest, RwPropertyKey, Shape};
use samara_protocol::{Datatype, TensorSpec};

use super::{Backend, Context, Loaded, Source};
use crate::spec::{BackendKind, Device, GraphSpec, Optimization};
use crate::{BackendError, ComputeError, Tensor, declared, library};

/// What to do where there is no library.
const INSTALL: &str = "install one (`pip install openvino`) or name libopenvino_c in OPENVINO_DYLIB_PATH";

struct Signature {
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

struct OpenvinoBackend {
    /// Locked while a context is made, not while one is used.
    model: Mutex<CompiledModel>,
    signature: Arc<Signature>,
}

struct OpenvinoContext {
    request: InferRequest,
    signature: Arc<Signature>,
}

/// Loads a graph.
pub fn load(source: Source<'_>, spec: &GraphSpec) -> Result<Loaded, BackendError> {
    check_settings(spec)?;
    let unusable = |reason: String| BackendError::Library { backend: BackendKind::Openvino, reason };
    let path =
        library::openvino().ok_or_else(|| unusable(format!("OpenVINO's library is not to be found: {INSTALL}")))?;
    openvino_sys::library::load_from(&path)
        .map_err(|error| unusable(format!("{}: {error}; {INSTALL}", path.display())))?;
    let mut core = Core::new().map_err(|error| unusable(format!("{error}; {INSTALL}")))?;
    let signature = Arc::new(signature(source)?);
    let failed = |error: openvino::InferenceError| model(error.to_string());
    // Each context has a stream of its own, so that computations do not wait for each other.
    let contexts = spec.context_count();
    let threads = contexts.saturating_mul(spec.threads).to_string();
    core.set_property(&DeviceType::CPU, &RwPropertyKey::NumStreams, &contexts.to_string()).map_err(failed)?;
    core.set_property(&DeviceType::CPU, &RwPropertyKey::InferenceNumThreads, &threads).map_err(failed)?;
    // On some CPUs it would compute in bfloat16 otherwise.
    core.set_property(&DeviceType::CPU, &RwPropertyKey::HintInferencePrecision, "f32").map_err(failed)?;
    let read = match source {
        Source::File(path) => {
            let path = path.to_str().ok_or_else(|| model("OpenVINO takes paths in UTF-8 only"))?;
            core.read_model_from_file(path, "")
        }
        Source::Bytes(bytes) => core.read_model_from_buffer(bytes, None),
    };
    let compiled = core.compile_model(&read.map_err(failed)?, DeviceType::CPU).map_err(failed)?;
    let (inputs, outputs) = (signature.inputs.clone(), signature.outputs.clone());
    Ok(Loaded {
        backend: Box::new(OpenvinoBackend { model: Mutex::new(compiled), signature }),
        version: openvino::version().build_number,
        device: Device::Cpu,
        fell_back: None,
        inputs,
        outputs,
    })
}

fn model(reason: impl Into<String>) -> BackendError {
    BackendError::Model { backend: BackendKind::Openvino, reason: reason.into() }
}

fn check_settings(spec: &GraphSpec) -> Result<(), BackendError> {
    let backend = BackendKind::Openvino;
    if let device @ (Device::Cuda(_) | Device::Tensorrt(_)) = spec.device {
        let reason = "OpenVINO has no CUDA; choose backend=onnxruntime for it".to_owned();
        return Err(BackendError::Device { device, backend, reason });
    }
    if spec.optimization != Optimization::All {
        let setting = format!("optimization={}", spec.optimization);
        return Err(BackendError::Setting { setting, backend, reason: "it always does all it can".to_owned() });
    }
    Ok(())
}

/// What the model declares, if OpenVINO can take and give it through its C interface.
fn signature(source: Source<'_>) -> Result<Signature, BackendError> {
    let proto = match source {
        Source::File(path) => {
            let bytes = std::fs::read(path).map_err(|error| model(error.to_string()))?;
            declared::decode(&bytes).map_err(model)?
        }
        Source::Bytes(bytes) => {
            let proto = declared::decode(bytes).map_err(model)?;
            declared::names_no_files(&proto).map_err(model)?;
            proto
        }
    };
    let graph = proto.graph.as_ref().ok_or_else(|| model("it holds no graph"))?;
    let inputs = declared::inputs(graph).map_err(model)?;
    let outputs: Option<Vec<TensorSpec>> = declared::outputs(graph).map_err(model)?.into_iter().collect();
    let outputs = outputs.ok_or_else(|| model("it does not declare the type and shape of each output"))?;
    match inputs.iter().chain(&outputs).find(|spec| element_type(spec.datatype).is_none()) {
        Some(spec) => Err(model(format!("{:?} is of strings, which its C interface cannot pass", spec.name))),
        None => Ok(Signature { inputs, outputs }),
    }
}

fn failed(error: impl std::fmt::Display) -> ComputeError {
    let message = error.to_string();
    if message.to_lowercase().contains("alloc") {
        ComputeError::TooLarge(message)
    } else {
        ComputeError::Failed(format!("OpenVINO: {message}"))
    }
}

impl Backend for OpenvinoBackend {
    fn context(&self) -> Result<Box<dyn Context>, ComputeError> {
        let request = self.model.lock().unwrap_or_else(PoisonError::into_inner).create_infer_request();
        let request = request.map_err(failed)?;
        Ok(Box::new(OpenvinoContext { request, signature: Arc::clone(&self.signature) }))
    }
}

impl Context for OpenvinoContext {
    fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> {
        for (spec, input) in self.signature.inputs.iter().zip(&inputs) {
            fits_32_bits(&spec.name, input)?;
            if input.shape.is_empty() {
                // The C interface makes no tensors without dimensions, but the request has one.
                fill(&mut self.request.get_tensor(&spec.name).map_err(failed)?, &input.data)?;
            } else {
                self.request.set_tensor(&spec.name, &to_openvino(input)?).map_err(failed)?;
            }
        }
        self.request.infer().map_err(failed)?;
        let output = |spec: &TensorSpec| from_openvino(spec, &self.request.get_tensor(&spec.name).map_err(failed)?);
        self.signature.outputs.iter().map(output).collect()
    }
}

fn to_openvino(tensor: &Tensor) -> Result<openvino::Tensor, ComputeError> {
    let strings = || ComputeError::Failed("OpenVINO's C interface has no strings".to_owned());
    let element = element_type(tensor.datatype).ok_or_else(strings)?;
    let sizes = tensor.shape.iter().map(|&size| i64::try_from(size)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let shape = Shape::new(&sizes).map_err(failed)?;
    let mut value = openvino::Tensor::new(element, &shape).map_err(failed)?;
    if !tensor.data.is_empty() {
        fill(&mut value, &tensor.data)?;
    }
    Ok(value)
}

fn fill(value: &mut openvino::Tensor, data: &[u8]) -> Result<(), ComputeError> {
    let bytes = value.get_raw_data_mut().map_err(failed)?;
    if bytes.len() != data.len() {
        return Err(failed(format!("{} bytes for a tensor of {}", data.len(), bytes.len())));
    }
    bytes.copy_from_slice(data);
    Ok(())
}

/// Checks that OpenVINO will not cut off any integer.
fn fits_32_bits(name: &str, tensor: &Tensor) -> Result<(), ComputeError> {
    let is_int32 = |value: Option<i32>| value.is_some();
    let fits = match tensor.datatype {
        Datatype::Int64 => {
            let (words, _) = tensor.data.as_chunks::<8>();
            words.iter().all(|word| is_int32(i64::from_le_bytes(*word).try_into().ok()))
        }
        Datatype::Uint64 => {
            let (words, _) = tensor.data.as_chunks::<8>();
            words.iter().all(|word| is_int32(u64::from_le_bytes(*word).try_into().ok()))
        }
        Datatype::Uint32 => {
            let (words, _) = tensor.data.as_chunks::<4>();
            words.iter().all(|word| is_int32(u32::from_le_bytes(*word).try_into().ok()))
        }
        _ => true,
    };
    if fits {
        return Ok(());
    }
    let datatype = tensor.datatype;
    let reason =
        format!("input {name:?}: OpenVINO computes {datatype} as INT32, and an element does not fit into that");
    Err(ComputeError::InvalidArgument(reason))
}

fn from_openvino(spec: &TensorSpec, value: &openvino::Tensor) -> Result<Tensor, ComputeError> {
    let element = value.get_element_type().map_err(failed)?;
    if element_type(spec.datatype) != Some(element) {
        return Err(failed(format!("output {:?} is of {element:?}, declared is {}", spec.name, spec.datatype)));
    }
    // Nor does the C interface tell the shape of a tensor without dimensions.
    let shape = if spec.shape.is_empty() { Vec::new() } else { shape_of(value)? };
    let data = if shape.contains(&0) { &[] } else { value.get_raw_data().map_err(failed)? };
    Ok(Tensor { datatype: spec.datatype, shape, data: Bytes::copy_from_slice(data) })
}

fn shape_of(value: &openvino::Tensor) -> Result<Vec<u64>, ComputeError> {
    let shape = value.get_shape().map_err(failed)?;
    shape.get_dimensions().iter().map(|&size| u64::try_from(size).map_err(failed)).collect()
}

fn element_type(datatype: Datatype) -> Option<ElementType> {
    Some(match datatype {
        Datatype::Bool => ElementType::Boolean,
        Datatype::Uint8 => ElementType::U8,
        Datatype::Uint16 => ElementType::U16,
        Datatype::Uint32 => ElementType::U32,
        Datatype::Uint64 => ElementType::U64,
        Datatype::Int8 => ElementType::I8,
        Datatype::Int16 => ElementType::I16,
        Datatype::Int32 => ElementType::I32,
        Datatype::Int64 => ElementType::I64,
        Datatype::Fp16 => ElementType::F16,
        Datatype::Fp32 => ElementType::F32,
        Datatype::Fp64 => ElementType::F64,
        Datatype::Bytes => return None,
    })
}
