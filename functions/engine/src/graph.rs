//! The loaded graph, and how it is run on tensors of the protocol.

use std::cell::OnceCell;
use std::sync::Arc;

use samara_protocol::{Datatype, TensorSpec};
use tract_nnef::internal::*;

use crate::tensor;

/// An optimised graph with its declaration.
pub struct Graph {
    pub metadata: samara_protocol::ModelMetadata,
    plan: Arc<TypedSimplePlan>,
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
        name: String,
        version: String,
        inputs: Vec<TensorSpec>,
        outputs: Vec<TensorSpec>,
        plan: Arc<TypedSimplePlan>,
    ) -> TractResult<Graph> {
        let model = plan.model();
        ensure!(
            model.inputs.len() == inputs.len() && model.outputs.len() == outputs.len(),
            "the graph has {} inputs and {} outputs, its declaration {} and {}",
            model.inputs.len(),
            model.outputs.len(),
            inputs.len(),
            outputs.len()
        );
        let metadata = samara_protocol::ModelMetadata {
            name,
            version,
            platform: samara_protocol::PLATFORM.to_owned(),
            inputs,
            outputs,
        };
        Ok(Graph { metadata, plan })
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
                let zeros = Tensor::zero_dt(datum_type, shape)?;
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
        self.plan.run(ordered).map_err(|error| RunError::Failed(format!("{error:#}")))
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
