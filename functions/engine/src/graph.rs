//! The loaded graph, and how it is run on tensors of the protocol.

use std::cell::OnceCell;
use std::sync::Arc;

use samara_protocol::{Datatype, ModelMetadata, TensorSpec};
use tract_nnef::internal::*;

use crate::tensor;

/// An optimised graph with its declaration.
pub struct Graph {
    pub metadata: ModelMetadata,
    /// The names of the classes; none where the model has no classes.
    pub labels: Vec<String>,
    plan: Arc<TypedSimplePlan>,
    /// Whether the plan takes one item of a batch, along the first dimension, at a time.
    per_item: bool,
}

/// Why a run gave no outputs.
pub enum RunError {
    /// The inputs do not fit the declaration.
    InvalidArgument(String),
    /// The graph failed on inputs that do.
    Failed(String),
}

/// An input as it comes: its element type, its extents and its bytes.
pub struct Input<'a> {
    pub name: &'a str,
    pub datatype: Datatype,
    pub shape: &'a [u64],
    pub data: &'a [u8],
}

thread_local! {
    static GRAPH: OnceCell<Graph> = const { OnceCell::new() };
}

/// Makes `graph` the one that this engine runs. The first call counts.
pub fn install(graph: Graph) {
    GRAPH.with(|cell| {
        let _ = cell.set(graph);
    });
}

/// Calls `f` with the loaded graph, or with nothing in an engine without one.
pub fn with<R>(f: impl FnOnce(Option<&Graph>) -> R) -> R {
    GRAPH.with(|cell| f(cell.get()))
}

impl Graph {
    pub fn new(
        metadata: ModelMetadata,
        labels: Vec<String>,
        plan: Arc<TypedSimplePlan>,
        per_item: bool,
    ) -> TractResult<Graph> {
        let model = plan.model();
        ensure!(
            model.inputs.len() == metadata.inputs.len() && model.outputs.len() == metadata.outputs.len(),
            "the graph has {} inputs and {} outputs, its declaration {} and {}",
            model.inputs.len(),
            model.outputs.len(),
            metadata.inputs.len(),
            metadata.outputs.len()
        );
        Ok(Graph { metadata, labels, plan, per_item })
    }

    /// Runs the graph once on zeros of the given shapes, so that what is set up on a first run is part of the snapshot.
    pub fn rehearse(&self, shapes: &[Vec<usize>]) -> TractResult<()> {
        let model = self.plan.model();
        let inputs = self
            .metadata
            .inputs
            .iter()
            .enumerate()
            .zip(shapes)
            .map(|((index, _), shape)| {
                let datum_type = tensor::wire_type(model.input_fact(index)?.datum_type);
                let zeros = tensor::zeros(datum_type, shape)?;
                Ok(self.adapt(index, zeros)?.into_tvalue())
            })
            .collect::<TractResult<TVec<TValue>>>()?;
        self.plan.run(inputs)?;
        Ok(())
    }

    /// Gives an input the exact type that the graph declares for it.
    fn adapt(&self, index: usize, value: Tensor) -> TractResult<Tensor> {
        let wanted = self.plan.model().input_fact(index)?.datum_type;
        if value.datum_type() == wanted { Ok(value) } else { Ok(value.cast_to_dt(wanted)?.into_owned()) }
    }

    /// Runs the graph, and gives its outputs in the order of `metadata`.
    pub fn run<'a>(&self, inputs: impl IntoIterator<Item = Input<'a>>) -> Result<TVec<TValue>, RunError> {
        let specs = &self.metadata.inputs;
        let mut values: TVec<Option<TValue>> = tvec!(None; specs.len());
        for input in inputs {
            let index = specs.iter().position(|spec| spec.name == input.name).ok_or_else(|| {
                RunError::InvalidArgument(format!("unknown input {:?}: the model takes {}", input.name, names(specs)))
            })?;
            if values[index].is_some() {
                return Err(RunError::InvalidArgument(format!("input {:?} is given twice", input.name)));
            }
            check(&specs[index], &input).map_err(RunError::InvalidArgument)?;
            let value = tensor::from_bytes(input.datatype, input.shape, input.data)
                .and_then(|value| self.adapt(index, value))
                .map_err(|error| RunError::InvalidArgument(format!("input {:?}: {error:#}", input.name)))?;
            values[index] = Some(value.into_tvalue());
        }
        let mut ordered: TVec<TValue> = tvec!();
        for (spec, value) in specs.iter().zip(values) {
            ordered.push(value.ok_or_else(|| RunError::InvalidArgument(format!("input {:?} is missing", spec.name)))?);
        }
        let is_batch = self.per_item && ordered.iter().any(|input| input.shape()[0] != 1);
        let outputs = if is_batch { self.run_per_item(&ordered) } else { self.plan.run(ordered) };
        outputs.map_err(|error| RunError::Failed(format!("{error:#}")))
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
        (0..self.metadata.outputs.len())
            .map(|output| {
                let items: Vec<&Tensor> = results.iter().map(|result| &*result[output]).collect();
                Ok(Tensor::stack_tensors(0, &items)?.into_tvalue())
            })
            .collect()
    }

    /// The outputs of a batch without items.
    fn empty_batch(&self) -> TractResult<TVec<TValue>> {
        let model = self.plan.model();
        (0..self.metadata.outputs.len())
            .map(|output| {
                let fact = model.output_fact(output)?;
                let mut shape = fact.shape.as_concrete().context("an output's shape is dynamic")?.to_vec();
                shape[0] = 0;
                Ok(tensor::zeros(fact.datum_type, &shape)?.into_tvalue())
            })
            .collect()
    }
}

/// Checks that an input is what its declaration says.
fn check(spec: &TensorSpec, input: &Input<'_>) -> Result<(), String> {
    if input.datatype != spec.datatype {
        return Err(format!("input {:?} is {}, but the model takes {}", spec.name, input.datatype, spec.datatype));
    }
    let fits = input.shape.len() == spec.shape.len()
        && input.shape.iter().zip(&spec.shape).all(|(&size, &wanted)| wanted < 0 || size == wanted.unsigned_abs());
    if !fits {
        return Err(format!(
            "input {:?} has the shape {:?}, but the model takes {:?}, where -1 is any size",
            spec.name, input.shape, spec.shape
        ));
    }
    samara_protocol::check_data(input.datatype, input.shape, input.data)
        .map_err(|error| format!("input {:?}: {error}", spec.name))
}

/// The names of `specs`, for a message.
pub fn names(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| format!("{:?}", spec.name)).collect::<Vec<_>>().join(", ")
}
