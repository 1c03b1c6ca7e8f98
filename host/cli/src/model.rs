//! A model that runs in this process, and what it is run on.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use samara_protocol::{InputTensor, TensorSpec};
use samara_runtime::{Config, Model, Runtime};

use crate::options::ModelOptions;
use crate::{graphs, npy};

/// Loads a component, and the graphs that the host runs for it.
pub fn load(options: &ModelOptions) -> Result<(Runtime, Model)> {
    let mut config = Config::default();
    options.limits.apply(&mut config);
    options.cache.apply(&mut config);
    config.graphs = graphs::load(options.nn.nn.clone(), &options.nn.options())?;
    let runtime = Runtime::new(&config)?;
    let model = runtime.load(&options.path).with_context(|| options.path.display().to_string())?;
    graphs::check(&config.graphs)?;
    Ok((runtime, model))
}

/// The tensors in the files, in the model's order.
pub fn read_inputs(specs: &[TensorSpec], files: &[(String, PathBuf)]) -> Result<Vec<InputTensor<'static>>> {
    let names = || specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut inputs: Vec<InputTensor<'static>> = Vec::new();
    for (name, path) in files {
        let Some(spec) = specs.iter().find(|spec| spec.name == *name) else {
            bail!("--input {name}: the model has no such input; its inputs are {}", names());
        };
        if inputs.iter().any(|input| input.name == name.as_str()) {
            bail!("--input {name} is given twice");
        }
        let tensor = npy::read(path).with_context(|| format!("--input {name}"))?;
        let fits = tensor.shape.len() == spec.shape.len()
            && tensor.shape.iter().zip(&spec.shape).all(|(&size, &wanted)| wanted < 0 || size == wanted.unsigned_abs());
        if tensor.datatype != spec.datatype || !fits {
            bail!(
                "--input {name}: {} holds {}{:?}, but the model takes {}{:?}, where -1 is any size",
                path.display(),
                tensor.datatype,
                tensor.shape,
                spec.datatype,
                spec.shape
            );
        }
        inputs.push(InputTensor {
            name: name.clone().into(),
            datatype: tensor.datatype,
            shape: tensor.shape,
            data: tensor.data.into(),
        });
    }
    if let Some(missing) = specs.iter().find(|spec| !inputs.iter().any(|input| input.name == spec.name.as_str())) {
        bail!("input {:?} is missing: give it with --input {}=FILE.npy", missing.name, missing.name);
    }
    inputs.sort_by_key(|input| specs.iter().position(|spec| spec.name == *input.name));
    Ok(inputs)
}
