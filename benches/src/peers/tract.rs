//! tract without anything around it, as a program would use it that knows the shapes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use samara_protocol::Datatype;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, IntoTValue, TValue, TVec, TypedSimplePlan,
    tvec,
};

use super::peer::{Lab, Peer, Subject};
use crate::tensor::Tensor;

/// A model, optimised for the shapes of its inputs, and these.
pub struct Tract {
    plan: Arc<TypedSimplePlan>,
    inputs: TVec<TValue>,
    outputs: Vec<String>,
}

/// tract, natively.
pub fn start(_: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Tract::load(&subject.build.onnx, &subject.inputs)?))
}

/// Its version.
pub fn version() -> Option<String> {
    crate::machine::version_of("tract-onnx").map(|version| version.replace("-onnx", ""))
}

impl Tract {
    /// Loads and optimises a model.
    pub fn load(onnx: &Path, tensors: &[Tensor]) -> Result<Tract> {
        let mut model = tract_onnx::onnx().with_ignore_value_info(true).model_for_path(onnx)?;
        let names: Vec<String> =
            model.input_outlets()?.iter().map(|input| model.node(input.node).name.clone()).collect();
        let mut inputs = tvec![];
        for (index, name) in names.iter().enumerate() {
            let tensor = tensors.iter().find(|tensor| tensor.name == *name).context("an input is missing")?;
            let value = to_tract(tensor)?;
            model.set_input_fact(index, InferenceFact::dt_shape(value.datum_type(), value.shape()))?;
            inputs.push(value.into_tvalue());
        }
        let label = |&outlet| model.outlet_label(outlet).unwrap_or(&model.node(outlet.node).name).to_owned();
        let outputs = model.output_outlets()?.iter().map(label).collect();
        let mut typed = model.into_typed()?;
        samara_graph::repair_binary_trees(&mut typed)?;
        Ok(Tract { plan: typed.into_decluttered()?.into_optimized()?.into_runnable()?, inputs, outputs })
    }
}

impl Peer for Tract {
    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        let values = self.plan.run(self.inputs.clone())?;
        self.outputs.iter().zip(&values).map(|(name, value)| from_tract(name, value)).collect()
    }

    fn time(&mut self, count: usize) -> Result<Vec<Duration>> {
        let run = |_| {
            let inputs = self.inputs.clone();
            let start = Instant::now();
            let outputs = self.plan.run(inputs)?;
            let time = start.elapsed();
            drop(outputs);
            Ok(time)
        };
        (0..count).map(run).collect()
    }
}

fn to_tract(tensor: &Tensor) -> Result<tract_onnx::prelude::Tensor> {
    type Made = tract_onnx::prelude::Tensor;
    let shape: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
    let data = &tensor.data;
    match tensor.datatype {
        Datatype::Fp32 => {
            Made::from_shape(&shape, &data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect::<Vec<_>>())
        }
        Datatype::Int32 => {
            Made::from_shape(&shape, &data.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b)).collect::<Vec<_>>())
        }
        Datatype::Int64 => {
            Made::from_shape(&shape, &data.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b)).collect::<Vec<_>>())
        }
        other => bail!("{} is {other}", tensor.name),
    }
}

fn from_tract(name: &str, value: &tract_onnx::prelude::Tensor) -> Result<Tensor> {
    let datatype = match value.datum_type() {
        DatumType::F32 => Datatype::Fp32,
        DatumType::I32 => Datatype::Int32,
        DatumType::I64 => Datatype::Int64,
        other => bail!("output {name} is {other:?}"),
    };
    let shape = value.shape().iter().map(|&size| size as u64).collect();
    Ok(Tensor { name: name.to_owned(), datatype, shape, data: value.as_bytes().to_vec() })
}
