//! Samara in wasm, in this process.

use std::time::{Duration, Instant};

use anyhow::Result;
use samara_protocol::OutputTensor;
use samara_runtime::{Instance, Model};

use super::peer::{Lab, Peer, Subject};
use crate::tensor::Tensor;

/// A component, run in instances that it is given or makes.
struct Wasm {
    model: Model,
    inputs: Vec<Tensor>,
    way: Way,
}

enum Way {
    /// An instance for each run; the call is timed.
    Fresh,
    /// One instance.
    Reused(Box<Instance>),
    /// An instance for each run, which is timed with the call.
    InAll,
}

/// A fresh instance for each run.
pub fn fresh(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Wasm { model: load(lab, subject)?, inputs: subject.inputs.clone(), way: Way::Fresh }))
}

/// One instance for all runs.
pub fn reused(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    let model = load(lab, subject)?;
    let way = Way::Reused(Box::new(model.instantiate()?));
    Ok(Box::new(Wasm { model, inputs: subject.inputs.clone(), way }))
}

/// A fresh instance for each run, with all that it costs.
pub fn in_all(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Wasm { model: load(lab, subject)?, inputs: subject.inputs.clone(), way: Way::InAll }))
}

/// What was compiled to be run by the host, in a fresh instance for each run.
pub fn fresh_of(model: Model, subject: &Subject) -> Box<dyn Peer> {
    Box::new(Wasm { model, inputs: subject.inputs.clone(), way: Way::Fresh })
}

fn load(lab: &Lab<'_>, subject: &Subject) -> Result<Model> {
    Ok(lab.runtime.load(&lab.samara.component(&subject.build)?)?)
}

impl Wasm {
    fn run(&mut self) -> Result<(Duration, Vec<OutputTensor<'static>>)> {
        let inputs: Vec<_> = self.inputs.iter().map(Tensor::as_input).collect();
        Ok(match &mut self.way {
            Way::Fresh => {
                let mut instance = self.model.instantiate()?;
                let start = Instant::now();
                let outputs = instance.infer(&inputs, &[])?;
                (start.elapsed(), outputs)
            }
            Way::Reused(instance) => {
                let start = Instant::now();
                let outputs = instance.infer(&inputs, &[])?;
                (start.elapsed(), outputs)
            }
            Way::InAll => {
                let start = Instant::now();
                let mut instance = self.model.instantiate()?;
                let outputs = instance.infer(&inputs, &[])?;
                drop(instance);
                (start.elapsed(), outputs)
            }
        })
    }
}

impl Peer for Wasm {
    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        Ok(self.run()?.1.into_iter().map(Tensor::from).collect())
    }

    fn time(&mut self, count: usize) -> Result<Vec<Duration>> {
        (0..count).map(|_| Ok(self.run()?.0)).collect()
    }

    fn version(&self) -> Option<String> {
        self.model.graph().map(|graph| format!("{} {}", graph.info().backend, graph.info().version))
    }
}
