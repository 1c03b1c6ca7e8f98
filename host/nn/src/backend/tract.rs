//! tract: written in Rust, and part of Samara.
//!
//! tract chooses its kernels by concrete shapes, and packs the weights for them. So there is a plan for each combination
//! of input shapes, made when it is first seen and kept for the next request. A graph without dynamic dimensions has one
//! plan, made when it is loaded.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use samara_protocol::{Datatype, TensorSpec, bytes_elements, push_bytes_element};
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::tract_core::ops::unimpl::UnimplementedOp;
use tract_onnx::tract_hir::internal::*;

use super::{Backend, Context, Loaded, Source};
use crate::spec::{BackendKind, Device, GraphSpec, Optimization};
use crate::{BackendError, ComputeError, Tensor, declared};

/// The version of tract that this crate is built with.
const VERSION: &str = "0.23.9";

/// The most plans that a graph keeps, and the bytes of its model's file, times plans, beyond which it keeps fewer: a plan
/// has weights packed for its kernels.
const MAX_PLANS: usize = 16;
const MAX_PLAN_BYTES: usize = 2 << 30;

type Plan = Arc<TypedSimplePlan>;
type Shapes = Vec<Vec<usize>>;
type PlanSlot = Arc<Mutex<Option<Plan>>>;

/// A graph that tract runs.
struct Graph {
    /// As it was parsed; its weights are shared with every plan that does not need them packed.
    model: InferenceModel,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    optimization: Optimization,
    /// The plans by the shapes of their inputs, the one used last at the end.
    plans: Mutex<Vec<(Shapes, PlanSlot)>>,
    max_plans: usize,
}

struct TractBackend(Arc<Graph>);

struct TractContext(Arc<Graph>);

/// Loads a graph.
pub fn load(source: Source<'_>, spec: &GraphSpec) -> Result<Loaded, BackendError> {
    check_settings(spec)?;
    let wrong = |reason: String| BackendError::Model { backend: BackendKind::Tract, reason };
    let (proto, directory, bytes) = match source {
        Source::File(path) => {
            let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (declared::decode(&bytes).map_err(wrong)?, directory.to_str(), bytes.len())
        }
        Source::Bytes(bytes) => {
            let proto = declared::decode(bytes).map_err(wrong)?;
            declared::names_no_files(&proto).map_err(wrong)?;
            (proto, None, bytes.len())
        }
    };
    let graph = parse(&proto, directory, bytes, spec).map_err(wrong)?;
    let (inputs, outputs) = (graph.inputs.clone(), graph.outputs.clone());
    Ok(Loaded {
        backend: Box::new(TractBackend(Arc::new(graph))),
        version: VERSION.to_owned(),
        device: Device::Cpu,
        fell_back: None,
        inputs,
        outputs,
    })
}

fn check_settings(spec: &GraphSpec) -> Result<(), BackendError> {
    let backend = BackendKind::Tract;
    if let device @ (Device::Cuda(_) | Device::Tensorrt(_)) = spec.device {
        let reason = "tract runs on the CPU; choose backend=onnxruntime for a GPU".to_owned();
        return Err(BackendError::Device { device, backend, reason });
    }
    if spec.threads != 1 {
        let setting = format!("threads={}", spec.threads);
        let reason = "a computation uses one thread there; raise contexts to use more cores".to_owned();
        return Err(BackendError::Setting { setting, backend, reason });
    }
    Ok(())
}

fn parse(proto: &ModelProto, directory: Option<&str>, bytes: usize, spec: &GraphSpec) -> Result<Graph, String> {
    let graph = proto.graph.as_ref().ok_or_else(|| "it holds no graph".to_owned())?;
    // Declared shapes of inner tensors have the names of dimensions, which contradict the sizes that a plan is made for.
    let parsed = tract_onnx::onnx()
        .with_ignore_value_info(true)
        .parse(proto, directory)
        .map_err(|error| format!("{error:#}"))?;
    if let Some(name) = parsed.unresolved_inputs.first() {
        return Err(format!("no node makes the tensor {name:?}"));
    }
    if let Some(operator) = parsed.model.nodes().iter().find_map(|node| node.op_as::<UnimplementedOp>()) {
        return Err(format!("tract has no operator {}", operator.name()));
    }
    let inputs = declared::inputs(graph)?;
    if inputs.len() != parsed.model.inputs.len() {
        return Err(format!("it declares {} inputs, tract finds {}", inputs.len(), parsed.model.inputs.len()));
    }
    let mut loaded = Graph {
        model: parsed.model,
        inputs,
        outputs: Vec::new(),
        optimization: spec.optimization,
        plans: Mutex::default(),
        max_plans: (MAX_PLAN_BYTES / bytes.max(1)).clamp(1, MAX_PLANS),
    };
    loaded.outputs = loaded.declared_outputs(graph)?;
    if let Some(shapes) = loaded.fixed_shapes() {
        loaded.plan(shapes).map_err(|error| format!("{error:#}"))?;
    }
    Ok(loaded)
}

// === impl Graph ===

impl Graph {
    /// The outputs as the file declares them, and as tract infers them where it does not.
    fn declared_outputs(&self, graph: &GraphProto) -> Result<Vec<TensorSpec>, String> {
        let declared = declared::outputs(graph)?;
        if declared.iter().all(Option::is_some) {
            return Ok(declared.into_iter().flatten().collect());
        }
        let model = self.typed(None).map_err(|error| format!("it does not declare its outputs: {error:#}"))?;
        let infer = |(index, spec): (usize, Option<TensorSpec>)| match spec {
            Some(spec) => Ok(spec),
            None => {
                let fact = model.output_fact(index).map_err(|error| format!("{error:#}"))?;
                let name = graph.output.get(index).map(|output| output.name.clone()).unwrap_or_default();
                let datatype = datatype(fact.datum_type)
                    .ok_or_else(|| format!("output {name:?} is of type {:?}", fact.datum_type))?;
                let shape = fact.shape.iter().map(|size| size.to_i64().unwrap_or(-1)).collect();
                Ok(TensorSpec { name, datatype, shape })
            }
        };
        declared.into_iter().enumerate().map(infer).collect()
    }

    /// The inputs' shapes, where none has a dynamic dimension.
    fn fixed_shapes(&self) -> Option<Shapes> {
        let fixed = |spec: &TensorSpec| spec.shape.iter().map(|&size| usize::try_from(size).ok()).collect();
        self.inputs.iter().map(fixed).collect()
    }

    /// The plan for inputs of these shapes. Whoever needs one that another thread is making waits for that one only.
    fn plan(&self, shapes: Shapes) -> TractResult<Plan> {
        let slot = {
            let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
            let position = plans.iter().position(|(known, _)| *known == shapes);
            let entry = match position {
                Some(position) => plans.remove(position),
                None => (shapes.clone(), PlanSlot::default()),
            };
            if plans.len() >= self.max_plans && !plans.is_empty() {
                plans.remove(0);
            }
            let slot = Arc::clone(&entry.1);
            plans.push(entry);
            slot
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = &*slot {
            return Ok(Arc::clone(plan));
        }
        match self.make_plan(&shapes) {
            Ok(plan) => Ok(Arc::clone(slot.insert(plan))),
            Err(error) => {
                // Shapes that do not fit take no other plan's place.
                self.plans.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| *known != shapes);
                Err(error)
            }
        }
    }

    fn make_plan(&self, shapes: &Shapes) -> TractResult<Plan> {
        let mut model = self.typed(Some(shapes))?;
        if matches!(self.optimization, Optimization::Extended | Optimization::All) {
            samara_graph::optimize(&mut model)?;
        }
        model.into_runnable()
    }

    /// The typed graph, for inputs of these shapes, or of any.
    fn typed(&self, shapes: Option<&Shapes>) -> TractResult<TypedModel> {
        let mut model = self.model.clone();
        for (index, spec) in self.inputs.iter().enumerate() {
            let sizes: TVec<TDim> = match shapes.and_then(|shapes| shapes.get(index)) {
                Some(shape) => shape.iter().map(|size| size.to_dim()).collect(),
                None => spec
                    .shape
                    .iter()
                    .enumerate()
                    .map(|(position, &size)| match size {
                        0.. => size.to_dim(),
                        _ => model.symbols.new_with_prefix(&format!("d{index}_{position}")).into(),
                    })
                    .collect(),
            };
            model.set_input_fact(index, InferenceFact::dt_shape(datum_type(spec.datatype), sizes))?;
        }
        let mut model = model.into_typed()?;
        samara_graph::repair_binary_trees(&mut model)?;
        if self.optimization != Optimization::None {
            samara_graph::simplify(&mut model)?;
        }
        Ok(model)
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> {
        let invalid = |index: usize, reason: String| {
            let name = self.inputs.get(index).map(|spec| spec.name.as_str()).unwrap_or_default();
            ComputeError::InvalidArgument(format!("input {name:?}: {reason}"))
        };
        let mut shapes = Shapes::with_capacity(inputs.len());
        let mut values = TVec::with_capacity(inputs.len());
        for (index, input) in inputs.into_iter().enumerate() {
            let value = to_tract(input).map_err(|error| invalid(index, format!("{error:#}")))?;
            shapes.push(value.shape().to_vec());
            values.push(value.into_tvalue());
        }
        let failed = |error: TractError| ComputeError::Failed(format!("tract: {error:#}"));
        // That no plan can be made for these shapes is as much as the model refusing them.
        let plan = self.plan(shapes).map_err(|error| {
            ComputeError::InvalidArgument(format!("the graph cannot be run on inputs of these shapes: {error:#}"))
        })?;
        let outputs = plan.run(values).map_err(failed)?;
        let specs = self.outputs.iter().zip(&outputs);
        specs.map(|(spec, output)| from_tract(spec, output).map_err(failed)).collect()
    }
}

impl Backend for TractBackend {
    fn context(&self) -> Result<Box<dyn Context>, ComputeError> {
        Ok(Box::new(TractContext(Arc::clone(&self.0))))
    }
}

impl Context for TractContext {
    fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> {
        self.0.run(inputs)
    }
}

fn datum_type(datatype: Datatype) -> DatumType {
    match datatype {
        Datatype::Bool => DatumType::Bool,
        Datatype::Uint8 => DatumType::U8,
        Datatype::Uint16 => DatumType::U16,
        Datatype::Uint32 => DatumType::U32,
        Datatype::Uint64 => DatumType::U64,
        Datatype::Int8 => DatumType::I8,
        Datatype::Int16 => DatumType::I16,
        Datatype::Int32 => DatumType::I32,
        Datatype::Int64 => DatumType::I64,
        Datatype::Fp16 => DatumType::F16,
        Datatype::Fp32 => DatumType::F32,
        Datatype::Fp64 => DatumType::F64,
        Datatype::Bytes => DatumType::String,
    }
}

fn datatype(datum_type: DatumType) -> Option<Datatype> {
    let plain = if datum_type.is_tdim() { DatumType::I64 } else { datum_type.unquantized() };
    Datatype::ALL.into_iter().find(|&datatype| self::datum_type(datatype) == plain)
}

fn to_tract(tensor: Tensor) -> TractResult<tract_onnx::prelude::Tensor> {
    let Tensor { datatype, shape, data } = tensor;
    let shape: TVec<usize> = shape.iter().map(|&size| usize::try_from(size)).collect::<Result<_, _>>()?;
    if datatype == Datatype::Bytes {
        let elements = bytes_elements(&data)
            .map(|element| String::from_utf8(element?.to_vec()).context("tract's strings are UTF-8"))
            .collect::<TractResult<Vec<String>>>()?;
        return tensor1(&elements).into_shape(&shape);
    }
    let mut value = tract_onnx::prelude::Tensor::zero_dt(datum_type(datatype), &shape)?;
    let mut plain = value.try_as_plain_ram_mut()?;
    let bytes = plain.as_bytes_mut();
    ensure!(bytes.len() == data.len(), "{} bytes of data for {} bytes of {shape:?}", data.len(), bytes.len());
    bytes.copy_from_slice(&data);
    Ok(value)
}

fn from_tract(spec: &TensorSpec, value: &TValue) -> TractResult<Tensor> {
    let datatype = spec.datatype;
    let shape = value.shape().iter().map(|&size| size as u64).collect();
    if datatype == Datatype::Bytes {
        let mut data = Vec::new();
        for element in value.try_as_plain_ram()?.as_slice::<String>()? {
            push_bytes_element(&mut data, element.as_bytes());
        }
        return Ok(Tensor { datatype, shape, data: data.into() });
    }
    let plain = value.cast_to_dt(datum_type(datatype))?;
    let data = Bytes::copy_from_slice(plain.try_as_plain_ram()?.as_bytes());
    Ok(Tensor { datatype, shape, data })
}
