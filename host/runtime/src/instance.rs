//! One isolated instance of a model.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use samara_nn::ComputeError;
use samara_protocol::{InputTensor, ModelMetadata, OutputTensor, TensorSpec, check_data};
use wasmtime::component::{self, InstancePre};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::abi::{Served, ServedIndices, wit};
use crate::guest::Guest;
use crate::{Cancellation, InferError, Runtime, Watch, slots};

/// One isolated instance of a model, with a memory of its own.
///
/// It can run any number of inferences, each starting from what the last one left. Whoever wants requests isolated from
/// each other uses an instance for one of them.
pub struct Instance {
    store: Store<Guest>,
    instance: component::Instance,
    component: Served,
    runtime: Runtime,
    metadata: Arc<ModelMetadata>,
    /// Whether it has run and not failed, so that it can be asked where its memory is.
    is_sound: bool,
}

impl Instance {
    pub(crate) fn new(
        runtime: Runtime,
        metadata: Arc<ModelMetadata>,
        mut store: Store<Guest>,
        (component, exports): (&InstancePre<Guest>, &ServedIndices),
        deadline: Duration,
        cancellation: &Cancellation,
    ) -> Result<Instance, InferError> {
        watch(&mut store, deadline, cancellation);
        let made = {
            let _running = runtime.shared.ticker.running();
            component.instantiate(&mut store)
        };
        let made = made.and_then(|instance| Ok((instance, exports.load(&mut store, &instance)?)));
        let (instance, component) = made.map_err(|error| explain(&error, &store, &runtime, deadline))?;
        Ok(Instance { store, instance, component, runtime, metadata, is_sound: false })
    }

    /// Runs the model once, within the runtime's deadline. See [`Instance::infer_within`].
    pub fn infer(
        &mut self,
        inputs: &[InputTensor<'_>],
        outputs: &[&str],
    ) -> Result<Vec<OutputTensor<'static>>, InferError> {
        self.infer_within(inputs, outputs, self.runtime.shared.limits.deadline, &Cancellation::default())
    }

    /// Runs the model once, and stops it when `deadline` has passed, or when it is cancelled. A graph that the host runs is
    /// not stopped in the middle of its computation.
    ///
    /// `outputs` names the outputs to return, in their order; none means all of them in the order of the metadata. An
    /// instance that failed with anything but [`InferError::InvalidArgument`] or [`InferError::Failed`] is of no more use.
    pub fn infer_within(
        &mut self,
        inputs: &[InputTensor<'_>],
        outputs: &[&str],
        deadline: Duration,
        cancellation: &Cancellation,
    ) -> Result<Vec<OutputTensor<'static>>, InferError> {
        let inputs = parameters(inputs);
        let answer = self.call(deadline, cancellation, |component, store| {
            component.samara_inference_model().call_infer(store, &inputs, outputs)
        })?;
        match answer {
            Ok(tensors) => {
                let tensors: Vec<_> = tensors.into_iter().map(output).collect();
                check_outputs(&self.metadata, outputs, &tensors).map_err(InferError::InvalidOutput)?;
                Ok(tensors)
            }
            Err(wit::Error::InvalidArgument(message)) => Err(InferError::InvalidArgument(message)),
            // A component has only words for what its host's graph has run into.
            Err(wit::Error::Failed(message)) => Err(match self.store.data_mut().take_failure() {
                Some(ComputeError::Timeout { .. }) => InferError::Deadline { deadline },
                Some(ComputeError::TooLarge(message)) => InferError::BackendMemory(message),
                Some(ComputeError::Failed(message)) => InferError::Backend(message),
                Some(ComputeError::InvalidArgument(_)) | None => InferError::Failed(message),
                Some(_) => InferError::Backend(message),
            }),
        }
    }

    /// Asks the model what it is.
    pub fn metadata(&mut self) -> Result<ModelMetadata, InferError> {
        let deadline = self.runtime.shared.limits.deadline;
        let metadata = self.call(deadline, &Cancellation::default(), |component, store| {
            component.samara_inference_model().call_metadata(store)
        })?;
        Ok(metadata.into())
    }

    fn call<R>(
        &mut self,
        deadline: Duration,
        cancellation: &Cancellation,
        f: impl FnOnce(&Served, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, InferError> {
        watch(&mut self.store, deadline, cancellation);
        let result = {
            let _running = self.runtime.shared.ticker.running();
            f(&self.component, &mut self.store)
        };
        self.is_sound = result.is_ok();
        result.map_err(|error| explain(&error, &self.store, &self.runtime, deadline))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let (initial_bytes, grown_bytes) = self.store.data().memory.growth();
        if self.is_sound && grown_bytes >= slots::LARGE_BYTES {
            slots::use_huge_pages(&self.runtime.shared, &mut self.store, &self.instance, initial_bytes);
        }
    }
}

/// Has an instance be stopped when its time is over, or when it is cancelled.
fn watch(store: &mut Store<Guest>, deadline: Duration, cancellation: &Cancellation) {
    store.set_epoch_deadline(1);
    let guest = store.data_mut();
    guest.watch = Watch::new(deadline, cancellation);
    guest.set_deadline(deadline);
}

/// Inputs as a component takes them.
pub(crate) fn parameters<'a>(inputs: &'a [InputTensor<'_>]) -> Vec<wit::TensorParam<'a>> {
    let parameter = |input: &'a InputTensor<'_>| wit::TensorParam {
        name: &input.name,
        datatype: input.datatype.into(),
        shape: &input.shape,
        data: &input.data,
    };
    inputs.iter().map(parameter).collect()
}

fn output(tensor: wit::TensorResult) -> OutputTensor<'static> {
    OutputTensor {
        name: Cow::Owned(tensor.name),
        datatype: tensor.datatype.into(),
        shape: Cow::Owned(tensor.shape),
        data: Cow::Owned(tensor.data),
    }
}

/// Checks that a model answers with the outputs that were asked for, as it declares them.
fn check_outputs(model: &ModelMetadata, names: &[&str], outputs: &[OutputTensor<'_>]) -> Result<(), String> {
    let wanted: Vec<&TensorSpec> = if names.is_empty() {
        model.outputs.iter().collect()
    } else {
        names.iter().filter_map(|name| model.outputs.iter().find(|spec| spec.name == *name)).collect()
    };
    if outputs.len() != wanted.len() {
        let names: Vec<String> = wanted.iter().map(|spec| format!("`{}`", spec.name)).collect();
        return Err(format!("{} outputs instead of {}", outputs.len(), names.join(", ")));
    }
    for (output, spec) in outputs.iter().zip(wanted) {
        let fits = output.shape.len() == spec.shape.len()
            && output.shape.iter().zip(&spec.shape).all(|(&size, &wanted)| wanted < 0 || size == wanted.unsigned_abs());
        if output.name != spec.name || output.datatype != spec.datatype || !fits {
            return Err(format!(
                "`{}` {}{:?}, where it declares `{}` {}{:?}",
                output.name, output.datatype, output.shape, spec.name, spec.datatype, spec.shape
            ));
        }
        check_data(output.datatype, &output.shape, &output.data)
            .map_err(|error| format!("`{}`: {error}", output.name))?;
    }
    Ok(())
}

/// What an error of Wasmtime means to whoever wanted an inference.
pub(crate) fn explain(
    error: &wasmtime::Error,
    store: &Store<Guest>,
    runtime: &Runtime,
    deadline: Duration,
) -> InferError {
    let limits = &runtime.shared.limits;
    if store.data().memory.is_exceeded() {
        return InferError::Memory { limit_bytes: limits.memory_bytes };
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return InferError::Instances { limit: limits.instances };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) if store.data().watch.is_cancelled() => InferError::Cancelled,
        Some(Trap::Interrupt) => InferError::Deadline { deadline },
        _ => InferError::Trap(format!("{error:#}")),
    }
}
