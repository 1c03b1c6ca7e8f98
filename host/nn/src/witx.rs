//! `wasi:nn` for core modules: the module `wasi_ephemeral_nn`, as programs import it that are built with crate `wasi-nn`.
//!
//! Inputs and outputs have numbers there, which are their places in the graph's declaration. An input stays set for
//! further computations. Datatypes without a name cross as they do in [`crate::wit`]. Nothing can be dropped in this form
//! of the interface; so what the guest has made counts against its memory limit until the store is gone.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wasmtime::{Caller, Extern, Linker, Result};

use crate::budget::{Budget, BudgetExceeded};
use crate::crossing::{self, Named};
use crate::wit::DEFAULT_MEMORY_BYTES;
use crate::{ComputeError, Graph, LoadError, Registry, Tensor};

/// The module's name.
const MODULE: &str = "wasi_ephemeral_nn";

/// Bytes of a `(ptr, len)` of a list in the guest's memory.
const LIST_BYTES: u32 = 8;

/// The numbers of ONNX and of "find out" in the guest's encodings, and of the CPU in its targets.
const ENCODING_ONNX: u32 = 1;
const ENCODING_AUTODETECT: u32 = 5;
const TARGET_CPU: u32 = 0;

/// What a store needs to serve core modules. Making one costs next to nothing.
#[derive(Debug)]
pub struct WitxCtx {
    registry: Arc<Registry>,
    budget: Budget,
    deadline: Option<Instant>,
    graphs: Vec<Arc<Graph>>,
    contexts: Vec<Execution>,
}

#[derive(Debug)]
struct Execution {
    graph: Arc<Graph>,
    inputs: Vec<Option<Tensor>>,
    /// Absent until something was computed.
    outputs: Option<Vec<Tensor>>,
}

/// The errors of the interface, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errno {
    InvalidArgument = 1,
    InvalidEncoding = 2,
    MissingMemory = 3,
    Busy = 4,
    RuntimeError = 5,
    UnsupportedOperation = 6,
    TooLarge = 7,
    NotFound = 8,
}

/// Adds the module to a linker; `ctx` gives a store's part in it.
pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, ctx: fn(&mut T) -> &mut WitxCtx) -> Result<()> {
    let load = move |mut caller: Caller<'_, T>, builders: u32, count: u32, encoding: u32, target: u32, out: u32| {
        call(&mut caller, ctx, |ctx, memory| {
            let graph = ctx.load(memory, builders, count, encoding, target)?;
            put_u32(memory, out, graph)
        })
    };
    linker.func_wrap(MODULE, "load", load)?;
    let load_by_name = move |mut caller: Caller<'_, T>, name: u32, length: u32, out: u32| {
        call(&mut caller, ctx, |ctx, memory| {
            let graph = ctx.load_by_name(slice(memory, name, length)?)?;
            put_u32(memory, out, graph)
        })
    };
    linker.func_wrap(MODULE, "load_by_name", load_by_name)?;
    let init_execution_context = move |mut caller: Caller<'_, T>, graph: u32, out: u32| {
        call(&mut caller, ctx, |ctx, memory| {
            let context = ctx.init_execution_context(graph)?;
            put_u32(memory, out, context)
        })
    };
    linker.func_wrap(MODULE, "init_execution_context", init_execution_context)?;
    let set_input = move |mut caller: Caller<'_, T>, context: u32, index: u32, tensor: u32| {
        call(&mut caller, ctx, |ctx, memory| ctx.set_input(memory, context, index, tensor))
    };
    linker.func_wrap(MODULE, "set_input", set_input)?;
    let compute = move |mut caller: Caller<'_, T>, context: u32| call(&mut caller, ctx, |ctx, _| ctx.compute(context));
    linker.func_wrap(MODULE, "compute", compute)?;
    let get_output = move |mut caller: Caller<'_, T>, context: u32, index: u32, buffer: u32, size: u32, out: u32| {
        call(&mut caller, ctx, |ctx, memory| {
            let output = ctx.output(context, index)?;
            let length = u32::try_from(output.len()).map_err(|_| Errno::TooLarge)?;
            if length > size {
                return Err(Errno::TooLarge);
            }
            slice_mut(memory, buffer, length)?.copy_from_slice(output);
            put_u32(memory, out, length)
        })
    };
    linker.func_wrap(MODULE, "get_output", get_output)?;
    Ok(())
}

/// Gives a function of the interface the guest's memory, and the guest the number of its error, or 0.
fn call<T: 'static>(
    caller: &mut Caller<'_, T>,
    ctx: fn(&mut T) -> &mut WitxCtx,
    function: impl FnOnce(&mut WitxCtx, &mut [u8]) -> Result<(), Errno>,
) -> u32 {
    let result = match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => {
            let (memory, data) = memory.data_and_store_mut(caller);
            function(ctx(data), memory)
        }
        _ => Err(Errno::MissingMemory),
    };
    result.map_or_else(|errno| errno as u32, |()| 0)
}

// === impl WitxCtx ===

impl WitxCtx {
    /// A context with the graphs of a registry.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> WitxCtx {
        WitxCtx {
            registry,
            budget: Budget::new(DEFAULT_MEMORY_BYTES),
            deadline: None,
            graphs: Vec::new(),
            contexts: Vec::new(),
        }
    }

    /// Until when a computation waits for a context; absent for as long as it takes, which is the default.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// How many bytes of the host's memory the guest's tensors may take; 1 GiB is the default. It holds for those to come.
    pub fn set_memory_limit(&mut self, bytes: usize) {
        self.budget.set_limit(bytes);
    }

    fn load(&mut self, memory: &[u8], builders: u32, count: u32, encoding: u32, target: u32) -> Result<u32, Errno> {
        if !self.registry.allows_load() {
            return Err(LoadError::Forbidden.into());
        }
        if encoding != ENCODING_ONNX && encoding != ENCODING_AUTODETECT {
            return Err(Errno::InvalidEncoding);
        }
        if target != TARGET_CPU {
            return Err(Errno::UnsupportedOperation);
        }
        // An ONNX graph is one sequence of bytes.
        if count != 1 {
            return Err(Errno::InvalidArgument);
        }
        let model = list(memory, builders, 1)?;
        let graph = self.registry.load_bytes(model)?;
        self.keep_graph(graph)
    }

    fn load_by_name(&mut self, name: &[u8]) -> Result<u32, Errno> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::InvalidArgument)?;
        let graph = self.registry.get(name).map_err(|error| {
            tracing::debug!(%error, "wasi_ephemeral_nn failed");
            Errno::NotFound
        })?;
        self.keep_graph(graph)
    }

    fn keep_graph(&mut self, graph: Arc<Graph>) -> Result<u32, Errno> {
        let handle = u32::try_from(self.graphs.len()).map_err(|_| Errno::TooLarge)?;
        self.budget.take(0)?;
        self.graphs.push(graph);
        Ok(handle)
    }

    fn init_execution_context(&mut self, graph: u32) -> Result<u32, Errno> {
        let graph = self.graphs.get(graph as usize).ok_or(Errno::InvalidArgument)?;
        let handle = u32::try_from(self.contexts.len()).map_err(|_| Errno::TooLarge)?;
        let inputs: Vec<Option<Tensor>> = graph.info().inputs.iter().map(|_| None).collect();
        self.budget.take(size_of_val(inputs.as_slice()))?;
        self.contexts.push(Execution { graph: Arc::clone(graph), inputs, outputs: None });
        Ok(handle)
    }

    fn set_input(&mut self, memory: &[u8], context: u32, index: u32, tensor: u32) -> Result<(), Errno> {
        let execution = self.contexts.get_mut(context as usize).ok_or(Errno::InvalidArgument)?;
        let info = execution.graph.info();
        let (Some(spec), Some(slot)) = (info.inputs.get(index as usize), execution.inputs.get_mut(index as usize))
        else {
            return Err(Errno::InvalidArgument);
        };
        // A record of three fields: the dimensions, the datatype and the data.
        let field = |offset: u32| tensor.checked_add(offset).ok_or(Errno::InvalidArgument);
        let dimensions: Vec<u32> = list(memory, tensor, 4)?
            .chunks_exact(4)
            .map(|bytes| bytes.iter().rev().fold(0, |size, &byte| size << 8 | u32::from(byte)))
            .collect();
        let given = match slice(memory, field(8)?, 1)? {
            [0] => Named::Fp16,
            [1] => Named::Fp32,
            [2] => Named::Fp64,
            [3] => Named::U8,
            [4] => Named::I32,
            [5] => Named::I64,
            _ => return Err(Errno::InvalidArgument),
        };
        let data = list(memory, field(12)?, 1)?;
        if let Some(previous) = slot.take() {
            self.budget.give(cost(&previous));
        }
        self.budget.has(data.len())?;
        let tensor = crossing::from_guest(spec, given, &dimensions, Bytes::copy_from_slice(data))?;
        self.budget.take(cost(&tensor))?;
        *slot = Some(tensor);
        Ok(())
    }

    fn compute(&mut self, context: u32) -> Result<(), Errno> {
        let execution = self.contexts.get_mut(context as usize).ok_or(Errno::InvalidArgument)?;
        for output in execution.outputs.take().into_iter().flatten() {
            self.budget.give(cost(&output));
        }
        let specs = &execution.graph.info().inputs;
        let given = specs.iter().zip(&execution.inputs);
        let inputs = given.filter_map(|(spec, input)| Some((spec.name.clone(), input.clone()?))).collect();
        let outputs = execution.graph.compute(inputs, self.deadline)?;
        let mut kept = Vec::with_capacity(outputs.len());
        for (_, output) in outputs {
            if let Err(error) = self.budget.take(cost(&output)) {
                kept.iter().for_each(|output| self.budget.give(cost(output)));
                return Err(error.into());
            }
            kept.push(output);
        }
        execution.outputs = Some(kept);
        Ok(())
    }

    fn output(&self, context: u32, index: u32) -> Result<&[u8], Errno> {
        let execution = self.contexts.get(context as usize).ok_or(Errno::InvalidArgument)?;
        let outputs = execution.outputs.as_ref().ok_or(Errno::RuntimeError)?;
        outputs.get(index as usize).map(|output| output.data.as_ref()).ok_or(Errno::InvalidArgument)
    }
}

/// What a tensor costs the host, a handle's part left out.
fn cost(tensor: &Tensor) -> usize {
    tensor.data.len().saturating_add(tensor.shape.len().saturating_mul(size_of::<u64>()))
}

// === impl Errno ===

impl From<ComputeError> for Errno {
    fn from(error: ComputeError) -> Errno {
        // The guest gets a number only.
        tracing::debug!(%error, "wasi_ephemeral_nn failed");
        match error {
            ComputeError::InvalidArgument(_) => Errno::InvalidArgument,
            ComputeError::Timeout { .. } => Errno::Busy,
            ComputeError::TooLarge(_) => Errno::TooLarge,
            ComputeError::Failed(_) => Errno::RuntimeError,
        }
    }
}

impl From<LoadError> for Errno {
    fn from(error: LoadError) -> Errno {
        tracing::debug!(%error, "wasi_ephemeral_nn failed");
        match error {
            LoadError::Forbidden => Errno::UnsupportedOperation,
            LoadError::Full { .. } => Errno::TooLarge,
            LoadError::Bytes(_) => Errno::InvalidArgument,
            _ => Errno::RuntimeError,
        }
    }
}

impl From<BudgetExceeded> for Errno {
    fn from(error: BudgetExceeded) -> Errno {
        tracing::debug!(%error, "wasi_ephemeral_nn failed");
        Errno::TooLarge
    }
}

// === The guest's memory ===

fn range(start: u32, length: u32) -> std::ops::Range<usize> {
    let start = start as usize;
    start..start.saturating_add(length as usize)
}

fn slice(memory: &[u8], start: u32, length: u32) -> Result<&[u8], Errno> {
    memory.get(range(start, length)).ok_or(Errno::InvalidArgument)
}

fn slice_mut(memory: &mut [u8], start: u32, length: u32) -> Result<&mut [u8], Errno> {
    memory.get_mut(range(start, length)).ok_or(Errno::InvalidArgument)
}

fn put_u32(memory: &mut [u8], at: u32, value: u32) -> Result<(), Errno> {
    slice_mut(memory, at, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// The bytes of the list whose pointer and length are at `at`.
fn list(memory: &[u8], at: u32, element_bytes: u32) -> Result<&[u8], Errno> {
    let (head, _) = slice(memory, at, LIST_BYTES)?.as_chunks::<4>();
    let [start, length] = head else { return Err(Errno::InvalidArgument) };
    let bytes = u32::from_le_bytes(*length).checked_mul(element_bytes).ok_or(Errno::InvalidArgument)?;
    slice(memory, u32::from_le_bytes(*start), bytes)
}
