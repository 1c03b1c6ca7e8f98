//! `wasi:nn` for components: the world `wasi:nn/ml@0.2.0-rc-2024-10-28`.
//!
//! `load-by-name` gives a graph of the [`Registry`]; `load` takes a graph from the guest where that is allowed, and has
//! error code `security` where it is not. An execution context costs nothing: it is while computing that it needs one of
//! the graph's own, and waits for it.
//!
//! `wasi:nn` has no name for the datatypes BOOL, INT8, INT16, UINT16, UINT32, UINT64 and BYTES. Such a tensor crosses as
//! `U8` with its own dimensions and its raw bytes; an element of BYTES is its length as a little-endian `u32`, then that
//! many bytes. The graph knows what it declares, and takes and gives them so. No graph takes `BF16`. A graph that takes a
//! scalar takes the dimensions `[]` and `[1]`; one that gives a scalar gives `[]`.
//!
//! A tensor's bytes are copied once on each way. What a guest's tensors take of the host's memory is limited: beyond
//! that, a new tensor is a trap, and outputs are error code `too-large`.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use samara_protocol::Datatype;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable, ResourceType};
use wasmtime::{Result, StoreContextMut};

use crate::budget::{Budget, HANDLE_BYTES};
use crate::crossing::{self, Named};
use crate::error::shown;
use crate::{ComputeError, Graph, LoadError, Registry, Tensor};

#[allow(missing_docs, reason = "generated from wit/deps/nn/wasi-nn.wit, which documents each item")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/nn",
        world: "wasi:nn/ml",
        with: {
            "wasi:nn/tensor.tensor": super::GuestTensor,
            "wasi:nn/graph.graph": super::GuestGraph,
            "wasi:nn/inference.graph-execution-context": super::GuestContext,
            "wasi:nn/errors.error": super::GuestError,
        },
        imports: { default: trappable },
    });
}

use bindings::wasi::nn::errors::{self, ErrorCode};
use bindings::wasi::nn::graph::{self, ExecutionTarget, GraphEncoding};
use bindings::wasi::nn::inference;
use bindings::wasi::nn::tensor::TensorType;

/// How long an error's message may be.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The interface whose functions are written by hand below.
const TENSOR_INTERFACE: &str = "wasi:nn/tensor@0.2.0-rc-2024-10-28";

/// The interfaces that use the resources of others.
const GRAPH_INTERFACE: &str = "wasi:nn/graph@0.2.0-rc-2024-10-28";
const INFERENCE_INTERFACE: &str = "wasi:nn/inference@0.2.0-rc-2024-10-28";

/// Whether an interface of this name is one of those that [`add_to_linker`] adds.
#[must_use]
pub fn provides(interface: &str) -> bool {
    interface.starts_with("wasi:nn/") && interface.ends_with("@0.2.0-rc-2024-10-28")
}

/// What a guest's tensors may take of the host's memory, where nothing else is set.
pub(crate) const DEFAULT_MEMORY_BYTES: usize = 1 << 30;

/// What a store needs to serve `wasi:nn`. Making one costs next to nothing.
#[derive(Debug)]
pub struct NnCtx {
    registry: Arc<Registry>,
    budget: Budget,
    deadline: Option<Instant>,
    /// Why the last computation gave nothing.
    failure: Option<ComputeError>,
}

/// What the functions of `wasi:nn` work on.
pub struct NnView<'a> {
    /// Where the guest's resources are.
    pub table: &'a mut ResourceTable,
    /// The graphs, and what the guest may use.
    pub ctx: &'a mut NnCtx,
}

/// A guest's tensor.
pub struct GuestTensor {
    dimensions: Vec<u32>,
    ty: TensorType,
    /// Shared, so that it is copied to the guest from here.
    data: Bytes,
}

/// A guest's graph.
pub struct GuestGraph(Arc<Graph>);

/// A guest's execution context.
pub struct GuestContext(Arc<Graph>);

/// A guest's error.
pub struct GuestError {
    code: ErrorCode,
    message: String,
}

/// Adds `wasi:nn` to a linker; `view` gives a store's part in it.
pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> NnView<'_>) -> Result<()> {
    graph::add_to_linker::<T, HasView>(linker, view)?;
    inference::add_to_linker::<T, HasView>(linker, view)?;
    errors::add_to_linker::<T, HasView>(linker, view)?;
    add_tensor_to_linker(linker, view)?;
    add_used_resources_to_linker(linker, view)
}

struct HasView;

impl HasData for HasView {
    type Data<'a> = NnView<'a>;
}

/// Adds the resources to the interfaces that use them. A component finds them by the interfaces that define them; but
/// `Linker::define_unknown_imports_as_traps` would put others in their places.
fn add_used_resources_to_linker<T: 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> NnView<'_>) -> Result<()> {
    for interface in [GRAPH_INTERFACE, INFERENCE_INTERFACE] {
        let mut interface = linker.instance(interface)?;
        interface.resource("tensor", ResourceType::host::<GuestTensor>(), move |mut store, rep| {
            view(store.data_mut()).take(Resource::new_own(rep)).map(drop)
        })?;
        interface.resource("error", ResourceType::host::<GuestError>(), move |mut store, rep| {
            view(store.data_mut()).release_error(Resource::new_own(rep))
        })?;
    }
    let mut graph = linker.instance(GRAPH_INTERFACE)?;
    graph.resource("graph-execution-context", ResourceType::host::<GuestContext>(), move |mut store, rep| {
        view(store.data_mut()).release(Resource::<GuestContext>::new_own(rep))
    })
}

/// Adds the interface `tensor`. What `bindgen` generates would copy the bytes of `data` before they are copied to the guest.
fn add_tensor_to_linker<T: 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> NnView<'_>) -> Result<()> {
    type Borrowed = (Resource<GuestTensor>,);
    type New = (Vec<u32>, TensorType, Bytes);
    let mut interface = linker.instance(TENSOR_INTERFACE)?;
    interface.resource("tensor", ResourceType::host::<GuestTensor>(), move |mut store, rep| {
        view(store.data_mut()).take(Resource::new_own(rep)).map(drop)
    })?;
    let new = move |mut store: StoreContextMut<'_, T>, (dimensions, ty, data): New| {
        let tensor = GuestTensor { dimensions, ty, data };
        Ok((view(store.data_mut()).push(tensor)?,))
    };
    interface.func_wrap("[constructor]tensor", new)?;
    let dimensions = move |mut store: StoreContextMut<'_, T>, (tensor,): Borrowed| {
        Ok((view(store.data_mut()).table.get(&tensor)?.dimensions.clone(),))
    };
    interface.func_wrap("[method]tensor.dimensions", dimensions)?;
    let ty = move |mut store: StoreContextMut<'_, T>, (tensor,): Borrowed| {
        Ok((view(store.data_mut()).table.get(&tensor)?.ty,))
    };
    interface.func_wrap("[method]tensor.ty", ty)?;
    let data = move |mut store: StoreContextMut<'_, T>, (tensor,): Borrowed| {
        Ok((view(store.data_mut()).table.get(&tensor)?.data.clone(),))
    };
    interface.func_wrap("[method]tensor.data", data)
}

// === impl NnCtx ===

impl NnCtx {
    /// A context with the graphs of a registry.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> NnCtx {
        NnCtx { registry, budget: Budget::new(DEFAULT_MEMORY_BYTES), deadline: None, failure: None }
    }

    /// Until when a computation waits for a context; absent for as long as it takes, which is the default.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// How many bytes of the host's memory the guest's tensors may take; 1 GiB is the default. It holds for those to come.
    pub fn set_memory_limit(&mut self, bytes: usize) {
        self.budget.set_limit(bytes);
    }

    /// Why the last computation gave nothing, if that is so: a guest can tell its own clients only in words.
    pub fn take_failure(&mut self) -> Option<ComputeError> {
        self.failure.take()
    }
}

// === impl GuestTensor ===

impl GuestTensor {
    /// What it costs the host, a handle's part left out.
    fn cost(&self) -> usize {
        self.data.len().saturating_add(self.dimensions.len().saturating_mul(size_of::<u32>()))
    }
}

// === impl GuestError ===

impl GuestError {
    fn new(code: ErrorCode, message: impl Into<String>) -> GuestError {
        let mut message = message.into();
        // What a backend says can be as long as it likes.
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        GuestError { code, message }
    }
}

impl From<ComputeError> for GuestError {
    fn from(error: ComputeError) -> GuestError {
        let code = match &error {
            ComputeError::InvalidArgument(_) => ErrorCode::InvalidArgument,
            ComputeError::Timeout { .. } => ErrorCode::Timeout,
            ComputeError::TooLarge(_) => ErrorCode::TooLarge,
            ComputeError::Failed(_) => ErrorCode::RuntimeError,
        };
        GuestError::new(code, error.to_string())
    }
}

impl From<LoadError> for GuestError {
    fn from(error: LoadError) -> GuestError {
        let code = match &error {
            LoadError::Forbidden => ErrorCode::Security,
            LoadError::Full { .. } => ErrorCode::TooLarge,
            LoadError::Bytes(_) => ErrorCode::InvalidArgument,
            _ => ErrorCode::RuntimeError,
        };
        GuestError::new(code, error.to_string())
    }
}

// === impl NnView ===

impl NnView<'_> {
    /// Keeps a tensor for the guest.
    fn push(&mut self, tensor: GuestTensor) -> Result<Resource<GuestTensor>> {
        let cost = tensor.cost();
        self.ctx.budget.take(cost)?;
        self.table.push(tensor).map_err(|error| {
            self.ctx.budget.give(cost);
            error.into()
        })
    }

    /// Takes a tensor from the guest.
    fn take(&mut self, tensor: Resource<GuestTensor>) -> Result<GuestTensor> {
        let tensor = self.table.delete(tensor)?;
        self.ctx.budget.give(tensor.cost());
        Ok(tensor)
    }

    /// Keeps a graph or a context for the guest.
    fn keep<R: Send + 'static>(&mut self, resource: R) -> Result<Resource<R>> {
        self.ctx.budget.take(0)?;
        Ok(self.table.push(resource)?)
    }

    fn release<R: 'static>(&mut self, resource: Resource<R>) -> Result<()> {
        self.table.delete(resource)?;
        self.ctx.budget.give(0);
        Ok(())
    }

    /// Hands over what was asked for, or the error.
    fn answer<R: Send + 'static>(
        &mut self,
        result: Result<R, GuestError>,
    ) -> Result<Result<Resource<R>, Resource<GuestError>>> {
        match result {
            Ok(resource) => Ok(Ok(self.keep(resource)?)),
            Err(error) => Ok(Err(self.fail(error)?)),
        }
    }

    fn fail(&mut self, error: GuestError) -> Result<Resource<GuestError>> {
        tracing::debug!(code = ?error.code, message = error.message, "wasi:nn failed");
        self.ctx.budget.take(error.message.len())?;
        Ok(self.table.push(error)?)
    }

    fn release_error(&mut self, error: Resource<GuestError>) -> Result<()> {
        let error = self.table.delete(error)?;
        self.ctx.budget.give(error.message.len());
        Ok(())
    }

    fn load_graph(
        &self,
        builders: &[Vec<u8>],
        encoding: GraphEncoding,
        target: ExecutionTarget,
    ) -> Result<GuestGraph, GuestError> {
        if !self.ctx.registry.allows_load() {
            return Err(LoadError::Forbidden.into());
        }
        if !matches!(encoding, GraphEncoding::Onnx | GraphEncoding::Autodetect) {
            return Err(GuestError::new(ErrorCode::InvalidEncoding, "only ONNX can be loaded"));
        }
        if target != ExecutionTarget::Cpu {
            let message = "a graph from bytes runs on the CPU; have the host register it for a GPU";
            return Err(GuestError::new(ErrorCode::UnsupportedOperation, message));
        }
        let [model] = builders else {
            let message = format!("an ONNX graph is one sequence of bytes, not {}", builders.len());
            return Err(GuestError::new(ErrorCode::InvalidArgument, message));
        };
        Ok(GuestGraph(self.ctx.registry.load_bytes(model)?))
    }

    fn compute_graph(
        &mut self,
        graph: &Graph,
        inputs: Vec<(String, GuestTensor)>,
    ) -> Result<Vec<(String, GuestTensor)>, GuestError> {
        let inputs = inputs.into_iter().map(|(name, tensor)| {
            let tensor = from_guest(graph, &name, tensor)?;
            Ok((name, tensor))
        });
        let inputs = inputs.collect::<Result<Vec<_>, ComputeError>>()?;
        self.ctx.failure = None;
        let outputs = graph.compute(inputs, self.ctx.deadline).inspect_err(|error| {
            self.ctx.failure = Some(error.clone());
        })?;
        let outputs = outputs.into_iter().map(|(name, tensor)| {
            let dimensions = crossing::dimensions(&name, &tensor)?;
            let ty = tensor_type(Named::of(tensor.datatype));
            Ok((name, GuestTensor { dimensions, ty, data: tensor.data }))
        });
        let outputs = outputs.collect::<Result<Vec<_>, ComputeError>>()?;
        let cost = |(_, tensor): &(String, GuestTensor)| tensor.cost().saturating_add(HANDLE_BYTES);
        self.ctx
            .budget
            .has(outputs.iter().map(cost).fold(0, usize::saturating_add))
            .map_err(|error| GuestError::new(ErrorCode::TooLarge, error.to_string()))?;
        Ok(outputs)
    }
}

/// Takes a guest's tensor for what the graph declares under that name.
fn from_guest(graph: &Graph, name: &str, tensor: GuestTensor) -> Result<Tensor, ComputeError> {
    let GuestTensor { dimensions, ty, data } = tensor;
    let given = match ty {
        TensorType::Fp16 => Named::Fp16,
        TensorType::Fp32 => Named::Fp32,
        TensorType::Fp64 => Named::Fp64,
        TensorType::U8 => Named::U8,
        TensorType::I32 => Named::I32,
        TensorType::I64 => Named::I64,
        TensorType::Bf16 => {
            return Err(ComputeError::InvalidArgument(format!("input {:?}: no graph takes BF16", shown(name))));
        }
    };
    match graph.info().inputs.iter().find(|spec| spec.name == name) {
        Some(spec) => crossing::from_guest(spec, given, &dimensions, data),
        // Whatever it is, the graph will say that it takes none of that name.
        None => Ok(Tensor { datatype: Datatype::Uint8, shape: Vec::new(), data: Bytes::new() }),
    }
}

fn tensor_type(named: Named) -> TensorType {
    match named {
        Named::Fp16 => TensorType::Fp16,
        Named::Fp32 => TensorType::Fp32,
        Named::Fp64 => TensorType::Fp64,
        Named::U8 => TensorType::U8,
        Named::I32 => TensorType::I32,
        Named::I64 => TensorType::I64,
    }
}

impl graph::Host for NnView<'_> {
    fn load(
        &mut self,
        builders: Vec<Vec<u8>>,
        encoding: GraphEncoding,
        target: ExecutionTarget,
    ) -> Result<Result<Resource<GuestGraph>, Resource<GuestError>>> {
        let result = self.load_graph(&builders, encoding, target);
        self.answer(result)
    }

    fn load_by_name(&mut self, name: String) -> Result<Result<Resource<GuestGraph>, Resource<GuestError>>> {
        let graph = self.ctx.registry.get(&name).map(GuestGraph);
        self.answer(graph.map_err(|error| GuestError::new(ErrorCode::NotFound, error.to_string())))
    }
}

impl graph::HostGraph for NnView<'_> {
    fn init_execution_context(
        &mut self,
        graph: Resource<GuestGraph>,
    ) -> Result<Result<Resource<GuestContext>, Resource<GuestError>>> {
        let context = GuestContext(Arc::clone(&self.table.get(&graph)?.0));
        self.answer(Ok(context))
    }

    fn drop(&mut self, graph: Resource<GuestGraph>) -> Result<()> {
        self.release(graph)
    }
}

impl inference::Host for NnView<'_> {}

impl inference::HostGraphExecutionContext for NnView<'_> {
    fn compute(
        &mut self,
        context: Resource<GuestContext>,
        inputs: Vec<(String, Resource<GuestTensor>)>,
    ) -> Result<Result<Vec<(String, Resource<GuestTensor>)>, Resource<GuestError>>> {
        let graph = Arc::clone(&self.table.get(&context)?.0);
        let inputs = inputs.into_iter().map(|(name, tensor)| Ok((name, self.take(tensor)?)));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        match self.compute_graph(&graph, inputs) {
            Ok(outputs) => {
                let outputs = outputs.into_iter().map(|(name, tensor)| Ok((name, self.push(tensor)?)));
                Ok(Ok(outputs.collect::<Result<_>>()?))
            }
            Err(error) => Ok(Err(self.fail(error)?)),
        }
    }

    fn drop(&mut self, context: Resource<GuestContext>) -> Result<()> {
        self.release(context)
    }
}

impl errors::Host for NnView<'_> {}

impl errors::HostError for NnView<'_> {
    fn code(&mut self, error: Resource<GuestError>) -> Result<ErrorCode> {
        Ok(self.table.get(&error)?.code)
    }

    fn data(&mut self, error: Resource<GuestError>) -> Result<String> {
        Ok(self.table.get(&error)?.message.clone())
    }

    fn drop(&mut self, error: Resource<GuestError>) -> Result<()> {
        self.release_error(error)
    }
}
