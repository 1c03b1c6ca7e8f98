//! The loaded graph, and how it is run on tensors of the protocol.

use std::sync::Arc;

use samara_model::{Backend, Input, Output, RunError};
use samara_protocol::ModelMetadata;
use tract_nnef::internal::*;

use crate::tensor;

/// An optimised graph. Cloning it is cheap.
#[derive(Clone)]
pub struct Graph {
    plan: Arc<TypedSimplePlan>,
    /// Whether the plan takes one item of a batch, along the first dimension, at a time.
    per_item: bool,
}

impl Graph {
    /// A graph with the inputs and outputs of `metadata`, in its order.
    pub fn new(metadata: &ModelMetadata, plan: Arc<TypedSimplePlan>, per_item: bool) -> TractResult<Graph> {
        let model = plan.model();
        ensure!(
            model.inputs.len() == metadata.inputs.len() && model.outputs.len() == metadata.outputs.len(),
            "the graph has {} inputs and {} outputs, its declaration {} and {}",
            model.inputs.len(),
            model.outputs.len(),
            metadata.inputs.len(),
            metadata.outputs.len()
        );
        Ok(Graph { plan, per_item })
    }

    /// Runs the graph once on zeros of the given shapes, so that what is set up on a first run is part of the snapshot.
    pub fn rehearse(&self, shapes: &[Vec<usize>]) -> TractResult<()> {
        let model = self.plan.model();
        let inputs = shapes
            .iter()
            .enumerate()
            .map(|(index, shape)| {
                let datum_type = tensor::wire_type(model.input_fact(index)?.datum_type);
                let zeros = tensor::zeros(datum_type, shape)?;
                Ok(self.adapt(index, zeros)?.into_tvalue())
            })
            .collect::<TractResult<TVec<TValue>>>()?;
        self.plan.run(inputs)?;
        Ok(())
    }

    /// What runs it.
    pub fn plan(&self) -> &Arc<TypedSimplePlan> {
        &self.plan
    }

    /// Gives an input the exact type that the graph declares for it.
    pub fn adapt(&self, index: usize, value: Tensor) -> TractResult<Tensor> {
        let wanted = self.plan.model().input_fact(index)?.datum_type;
        if value.datum_type() == wanted { Ok(value) } else { Ok(value.cast_to_dt(wanted)?.into_owned()) }
    }

    /// The part of an input that the plan takes at a time.
    pub fn first_item(&self, input: Tensor) -> TractResult<TValue> {
        if !self.per_item || input.shape()[0] == 1 {
            return Ok(input.into_tvalue());
        }
        ensure!(input.shape()[0] > 0, "there is no item in the batch");
        Ok(input.slice(0, 0, 1)?.into_tvalue())
    }

    /// Runs the plan on each item of a batch, and puts the outputs together.
    fn run_per_item(&self, inputs: &[TValue]) -> TractResult<TVec<TValue>> {
        let sizes = inputs.iter().map(|input| input.shape()[0]);
        let items = sizes.clone().min().unwrap_or(0);
        ensure!(sizes.clone().max() == Some(items), "the inputs have batches of different sizes");
        if items == 0 {
            return self.empty_batch();
        }
        let results = (0..items)
            .map(|item| {
                let inputs = inputs.iter().map(|input| Ok(input.slice(0, item, item + 1)?.into_tvalue()));
                self.plan.run(inputs.collect::<TractResult<_>>()?)
            })
            .collect::<TractResult<Vec<_>>>()?;
        (0..self.plan.model().outputs.len())
            .map(|output| {
                let items: Vec<&Tensor> = results.iter().map(|result| &*result[output]).collect();
                Ok(Tensor::stack_tensors(0, &items)?.into_tvalue())
            })
            .collect()
    }

    /// The outputs of a batch without items.
    fn empty_batch(&self) -> TractResult<TVec<TValue>> {
        let model = self.plan.model();
        (0..self.plan.model().outputs.len())
            .map(|output| {
                let fact = model.output_fact(output)?;
                let mut shape = fact.shape.as_concrete().context("an output's shape is dynamic")?.to_vec();
                shape[0] = 0;
                Ok(tensor::zeros(fact.datum_type, &shape)?.into_tvalue())
            })
            .collect()
    }
}

impl Backend for Graph {
    fn run(&self, metadata: &ModelMetadata, inputs: &[Input<'_>], wanted: &[usize]) -> Result<Vec<Output>, RunError> {
        let values = metadata
            .inputs
            .iter()
            .zip(inputs)
            .enumerate()
            .map(|(index, (spec, input))| {
                let value = tensor::from_bytes(input.datatype, input.shape, input.data)
                    .and_then(|value| self.adapt(index, value))
                    .map_err(|error| RunError::InvalidArgument(format!("input {:?}: {error:#}", spec.name)))?;
                Ok(value.into_tvalue())
            })
            .collect::<Result<TVec<TValue>, RunError>>()?;
        let is_batch = self.per_item && values.iter().any(|input| input.shape()[0] != 1);
        let results = if is_batch { self.run_per_item(&values) } else { self.plan.run(values) };
        let results = results.map_err(|error| RunError::Failed(format!("{error:#}")))?;
        wanted
            .iter()
            .map(|&index| {
                let (datatype, shape, data) = tensor::into_bytes(&results[index]).map_err(|error| {
                    let name = &metadata.outputs[index].name;
                    RunError::Internal(format!("output {name:?}: {error:#}"))
                })?;
                Ok(Output { datatype, shape, data })
            })
            .collect()
    }
}
