//! The loaded graph, and how it is run on tensors of the protocol.

use std::rc::Rc;
use std::sync::Arc;

use samara_arena::Trace;
use samara_model::{Backend, Input, Output, RunError};
use samara_protocol::{ModelMetadata, TensorSpec};
use tract_nnef::internal::*;

use crate::session::Session;
use crate::{ALLOCATOR, tensor};

/// An optimised graph. Cloning it is cheap.
#[derive(Clone)]
pub struct Graph {
    session: Rc<Session>,
    /// Whether the plan takes one item of a batch, along the first dimension, at a time.
    per_item: bool,
}

// === impl Graph ===

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
        Ok(Graph { session: Rc::new(Session::new(plan)?), per_item })
    }

    /// Runs the graph twice, so that what is set up on a first run is part of the snapshot, and gives what the second run
    /// allocates and frees.
    pub fn rehearse(&self, metadata: &ModelMetadata, sample: &Sample) -> TractResult<Trace> {
        let inputs = sample.inputs(metadata);
        let all: Vec<usize> = (0..metadata.outputs.len()).collect();
        ALLOCATOR.watch(|| self.run_once(metadata, &inputs, &all)).map_err(explain)
    }

    /// Whether a run on these inputs does what was planned; where it takes the items of a batch one by one, on the first.
    pub fn is_planned(&self, metadata: &ModelMetadata, inputs: &[Input<'_>]) -> TractResult<bool> {
        let all: Vec<usize> = (0..metadata.outputs.len()).collect();
        let (outputs, planned) = if self.is_batch(inputs) && inputs.iter().all(|input| input.shape[0] > 0) {
            let items = Items::of(inputs)?;
            self.follow(metadata, &items.get(inputs, 0), &all)
        } else {
            self.follow(metadata, inputs, &all)
        };
        outputs.map(|_| planned).map_err(explain)
    }

    /// Whether these are items that the plan takes one by one.
    fn is_batch(&self, inputs: &[Input<'_>]) -> bool {
        self.per_item && inputs.iter().any(|input| input.shape[0] != 1)
    }

    /// What runs it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What is run.
    pub fn plan(&self) -> &Arc<TypedSimplePlan> {
        self.session.plan()
    }

    /// Gives an input the exact type that the graph declares for it.
    pub fn adapt(&self, index: usize, value: Tensor) -> TractResult<Tensor> {
        let wanted = self.plan().model().input_fact(index)?.datum_type;
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

    /// Runs the plan once. All that it allocates lies where it was planned, if these are the shapes of the rehearsal. What
    /// outlives it are the outputs' bytes alone.
    fn run_once(
        &self,
        metadata: &ModelMetadata,
        inputs: &[Input<'_>],
        wanted: &[usize],
    ) -> Result<Vec<Output>, RunError> {
        self.follow(metadata, inputs, wanted).0
    }

    /// The same, and whether it was so.
    fn follow(
        &self,
        metadata: &ModelMetadata,
        inputs: &[Input<'_>],
        wanted: &[usize],
    ) -> (Result<Vec<Output>, RunError>, bool) {
        ALLOCATOR.follow(|| {
            let mut values = TVec::with_capacity(inputs.len());
            for (index, (input, spec)) in inputs.iter().zip(&metadata.inputs).enumerate() {
                let value = tensor::from_bytes(input.datatype, input.shape, input.data)
                    .and_then(|value| self.adapt(index, value))
                    .map_err(|error| RunError::InvalidArgument(format!("input {:?}: {error:#}", spec.name)))?;
                values.push(value.into_tvalue());
            }
            let results = self.session.run(values).map_err(failed)?;
            outputs(metadata, &results, wanted)
        })
    }

    /// Runs the plan on each item of a batch, and puts the outputs together.
    fn run_per_item(
        &self,
        metadata: &ModelMetadata,
        inputs: &[Input<'_>],
        wanted: &[usize],
    ) -> Result<Vec<Output>, RunError> {
        let sizes = inputs.iter().map(|input| input.shape[0]);
        let items = sizes.clone().min().unwrap_or(0);
        if sizes.clone().max() != Some(items) {
            return Err(RunError::Failed("the inputs have batches of different sizes".to_owned()));
        }
        if items == 0 {
            return outputs(metadata, &self.empty_batch().map_err(failed)?, wanted);
        }
        let split = Items::of(inputs).map_err(failed)?;
        let mut together: Vec<Output> = Vec::new();
        for item in 0..items as usize {
            let outputs = self.run_once(metadata, &split.get(inputs, item), wanted)?;
            if item == 0 {
                together = outputs;
                together.iter_mut().for_each(|all| all.data.reserve_exact(all.data.len() * (items as usize - 1)));
                continue;
            }
            for (all, one) in together.iter_mut().zip(outputs) {
                if all.shape[1..] != one.shape[1..] {
                    return Err(RunError::Failed("the items of a batch give outputs of different shapes".to_owned()));
                }
                all.shape[0] += one.shape[0];
                all.data.extend_from_slice(&one.data);
            }
        }
        Ok(together)
    }

    /// The outputs of a batch without items.
    fn empty_batch(&self) -> TractResult<TVec<TValue>> {
        let model = self.plan().model();
        (0..self.plan().model().outputs.len())
            .map(|output| {
                let fact = model.output_fact(output)?;
                let mut shape = fact.shape.as_concrete().context("an output's shape is dynamic")?.to_vec();
                shape[0] = 0;
                Ok(tensor::zeros(fact.datum_type, &shape)?.into_tvalue())
            })
            .collect()
    }
}

/// The items of a batch: the shape of one of each input, and the bytes of all.
struct Items<'a> {
    shapes: Vec<Vec<u64>>,
    data: Vec<Vec<&'a [u8]>>,
}

// === impl Items ===

impl<'a> Items<'a> {
    /// Those of inputs that have one at least.
    fn of(inputs: &[Input<'a>]) -> TractResult<Items<'a>> {
        let shapes = inputs.iter().map(|input| [&[1], &input.shape[1..]].concat()).collect();
        let data = inputs.iter().map(|input| tensor::items(input.datatype, input.shape, input.data));
        Ok(Items { shapes, data: data.collect::<TractResult<_>>()? })
    }

    /// One item of each input.
    fn get(&self, inputs: &[Input<'a>], item: usize) -> Vec<Input<'_>> {
        let inputs = inputs.iter().zip(&self.shapes).zip(&self.data);
        inputs.map(|((input, shape), data)| Input { datatype: input.datatype, shape, data: data[item] }).collect()
    }
}

/// Zeros in the shapes in which a model is run before the snapshot.
#[derive(Default)]
pub struct Sample {
    shapes: Vec<Vec<u64>>,
    data: Vec<Vec<u8>>,
}

// === impl Sample ===

impl Sample {
    /// Zeros for each input of `metadata`.
    pub fn new(metadata: &ModelMetadata, shapes: &[Vec<usize>]) -> Sample {
        let zeros = |(spec, shape): (&TensorSpec, &Vec<usize>)| {
            // An empty string is told by its length alone, in four bytes.
            vec![0; shape.iter().product::<usize>() * spec.datatype.size().unwrap_or(4)]
        };
        Sample {
            shapes: shapes.iter().map(|shape| shape.iter().map(|&extent| extent as u64).collect()).collect(),
            data: metadata.inputs.iter().zip(shapes).map(zeros).collect(),
        }
    }

    /// The inputs of `metadata`.
    pub fn inputs(&self, metadata: &ModelMetadata) -> Vec<Input<'_>> {
        let inputs = metadata.inputs.iter().zip(&self.shapes).zip(&self.data);
        inputs.map(|((spec, shape), data)| Input { datatype: spec.datatype, shape, data }).collect()
    }

    /// Their size, in bytes.
    pub fn bytes(&self) -> usize {
        self.data.iter().map(Vec::len).sum()
    }
}

impl Backend for Graph {
    fn run(&self, metadata: &ModelMetadata, inputs: &[Input<'_>], wanted: &[usize]) -> Result<Vec<Output>, RunError> {
        if self.is_batch(inputs) {
            self.run_per_item(metadata, inputs, wanted)
        } else {
            self.run_once(metadata, inputs, wanted)
        }
    }
}

/// Those outputs that are wanted, as bytes.
fn outputs(metadata: &ModelMetadata, results: &[TValue], wanted: &[usize]) -> Result<Vec<Output>, RunError> {
    let output = |&index: &usize| {
        let (datatype, shape, data) = tensor::into_bytes(&results[index]).map_err(|error| {
            let name = &metadata.outputs[index].name;
            RunError::Internal(format!("output {name:?}: {error:#}"))
        })?;
        Ok(Output { datatype, shape, data })
    };
    wanted.iter().map(output).collect()
}

fn failed(error: TractError) -> RunError {
    RunError::Failed(format!("{error:#}"))
}

/// What a run's error says.
pub fn explain(error: RunError) -> TractError {
    match error {
        RunError::InvalidArgument(text) | RunError::Failed(text) | RunError::Internal(text) => format_err!(text),
    }
}
