//! How a model gets into the engine, before the snapshot is taken.
//!
//! These are plain core exports, called by `samara compile` on a live instance of the core module, and no part of any WIT
//! world: the component that is made of the snapshot lifts none of them, so nothing can call them any more.
//!
//! 1. [`samara_buffer`] gives a buffer, into which the host writes the next argument.
//! 2. [`samara_resource`] takes one part of the graph in NNEF: `graph.nnef`, a tensor's `.dat`, a nested graph. Parts come
//!    one at a time so that no more than one is in memory twice.
//! 3. [`samara_load`] takes the declaration of the model, builds the plan, and runs it twice: then it knows what a run
//!    allocates, and where in memory that is to lie.
//! 4. [`samara_rehearse`] runs the model as a request does, for a host that wants to see what that takes.
//! 5. [`samara_reply`] tells where the last call's reply is.
//!
//! A call returns 0 when it went well; otherwise its reply is the error's text.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use samara_arena::Plan;
use samara_kernels::tune::Tune;
use samara_model::{Exchange, Model};
use samara_protocol::ModelMetadata;
use serde::{Deserialize, Serialize};
use tract_nnef::ast::quant::parse_quantization;
use tract_nnef::ast::{Identifier, ProtoModel};
use tract_nnef::internal::*;

use crate::ALLOCATOR;
use crate::graph::{Graph, Sample, explain};
use crate::profile;

/// What the host declares about the model: the first argument of [`samara_load`], in JSON.
#[derive(Deserialize)]
struct Declaration {
    model: ModelMetadata,
    labels: Vec<String>,
    /// Whether the graph takes one item of a batch at a time.
    per_item: bool,
    /// A shape for each input with which the plan is run once before the snapshot.
    sample: Vec<Vec<usize>>,
    /// The processors that it will run on.
    tune: String,
}

/// What the engine tells about the loaded model: the reply of [`samara_load`], in JSON.
#[derive(Clone, Copy, Serialize)]
pub struct Report {
    /// Operators of the optimised graph, constants not counted.
    pub operators: usize,
    /// The most memory that an inference has in use at once, in bytes.
    pub peak_bytes: usize,
    /// The memory in which it was planned: what it writes to, in bytes.
    pub arena_bytes: usize,
}

#[derive(Default)]
struct Loader {
    exchange: Exchange,
    /// Made once: its standard library is a text that takes long to parse.
    framework: OnceCell<Nnef>,
    graph: Option<String>,
    quantization: Option<String>,
    resources: HashMap<String, Arc<dyn Resource>>,
    /// What the model was run on.
    sample: Sample,
    /// Where the blocks of an inference lie.
    plan: Plan,
    /// What a request brings and takes away, in bytes.
    exchanged_bytes: usize,
}

thread_local! {
    static LOADER: RefCell<Loader> = RefCell::default();
    /// What has been loaded.
    static GRAPH: RefCell<Option<Graph>> = const { RefCell::new(None) };
    /// What was told of it.
    static REPORT: Cell<Option<Report>> = const { Cell::new(None) };
}

impl Loader {
    /// Takes the part that is in the buffer, a label of `label_length` bytes before it.
    fn resource(&mut self, label_length: usize) -> TractResult<()> {
        let mut content = self.exchange.take();
        ensure!(label_length <= content.len(), "the label ends behind the buffer");
        let label = String::from_utf8(content.drain(..label_length).collect())?;
        let label = label.as_str();
        match label {
            "graph.nnef" => self.graph = Some(String::from_utf8(content)?),
            "graph.quant" => self.quantization = Some(String::from_utf8(content)?),
            _ => {
                let framework = self.framework.get_or_init(samara_graph::framework);
                let mut loaded = None;
                for loader in &framework.resource_loaders {
                    loaded = loader.try_load(Path::new(label), &mut content.as_slice(), framework)?;
                    if loaded.is_some() {
                        break;
                    }
                }
                let (id, resource) = loaded.with_context(|| format!("nothing loads the part {label}"))?;
                self.resources.insert(id, resource);
            }
        }
        Ok(())
    }

    /// Builds the plan of the graph whose parts have come.
    fn load(&mut self) -> TractResult<Report> {
        let Declaration { model: metadata, labels, per_item, sample, tune } =
            serde_json::from_slice(&self.exchange.take())?;
        Tune::named(&tune).context("no kernels are tuned for that")?.choose();
        let text = self.graph.take().context("the part graph.nnef has not come")?;
        let mut tensors = HashMap::new();
        let mut resources = HashMap::new();
        for (id, resource) in std::mem::take(&mut self.resources) {
            match resource.downcast_arc::<Tensor>() {
                Ok(tensor) => {
                    tensors.insert(Identifier::from(&*id), tensor);
                }
                Err(other) => {
                    resources.insert(id, other);
                }
            }
        }
        let quantization = match self.quantization.take() {
            Some(text) => Some(parse_quantization(&text)?.into_iter().collect()),
            None => None,
        };
        let doc = tract_nnef::ast::parse::parse_document(&text)?;
        drop(text);
        let proto = ProtoModel { doc, tensors, quantization, resources };
        proto.validate()?;
        let framework = self.framework.get_or_init(samara_graph::framework);
        let mut model = framework.translate(&proto, TypedModel::default()).map_err(|(_, error)| error)?;
        drop(proto);
        samara_graph::simplify(&mut model)?;
        let mut model = samara_rewrite::rewrite(model)?;
        samara_graph::optimize(&mut model)?;
        let plan = model.into_runnable()?;
        let operators = plan.order_without_consts().len();
        let graph = Graph::new(&metadata, plan, per_item)?;
        let sample = Sample::new(&metadata, &sample);
        let trace = graph.rehearse(&metadata, &sample)?;
        let plan = Plan::of(&trace);
        let report = Report { operators, peak_bytes: trace.peak(), arena_bytes: plan.bytes() };
        // Inputs come as bytes, and outputs leave as bytes, which the heap holds beside the outputs themselves.
        self.exchanged_bytes = sample.bytes() + 2 * trace.left();
        (self.plan, self.sample) = (plan, sample);
        REPORT.set(Some(report));
        GRAPH.set(Some(graph.clone()));
        samara_model::install(Model { metadata, labels, backend: Box::new(graph) });
        Ok(report)
    }

    fn answer(&mut self, result: TractResult<Vec<u8>>) -> i32 {
        self.exchange.answer(result.map_err(|error| format!("{error:#}")))
    }
}

/// Gives a zeroed buffer of `length` bytes for the next call's argument.
#[unsafe(export_name = "samara-buffer")]
extern "C" fn samara_buffer(length: usize) -> *mut u8 {
    wit_bindgen::rt::run_ctors_once();
    LOADER.with_borrow_mut(|loader| loader.exchange.buffer(length))
}

/// Takes one part of the graph: a label of `label_length` bytes and then its content, both in the buffer.
#[unsafe(export_name = "samara-resource")]
extern "C" fn samara_resource(label_length: usize) -> i32 {
    LOADER.with_borrow_mut(|loader| {
        let result = loader.resource(label_length).map(|()| Vec::new());
        loader.answer(result)
    })
}

/// Loads the graph whose parts have come, as the declaration in the buffer says.
#[unsafe(export_name = "samara-load")]
extern "C" fn samara_load() -> i32 {
    LOADER.with_borrow_mut(|loader| {
        let result = loader.load().and_then(|report| Ok(serde_json::to_vec(&report)?));
        loader.answer(result)
    })
}

/// Runs the model on what it was run on when it was loaded.
#[unsafe(export_name = "samara-rehearse")]
extern "C" fn samara_rehearse() -> i32 {
    LOADER.with_borrow_mut(|loader| {
        let result = samara_model::with(|model| {
            let Model { metadata, backend, .. } = model.context("no graph is loaded")?;
            let wanted: Vec<usize> = (0..metadata.outputs.len()).collect();
            backend.run(metadata, &loader.sample.inputs(metadata), &wanted).map(drop).map_err(explain)
        });
        loader.answer(result.map(|()| Vec::new()))
    })
}

/// Runs the loaded graph as the buffer says, and tells where the time goes. See [`profile`].
#[unsafe(export_name = "samara-profile")]
extern "C" fn samara_profile() -> i32 {
    let graph = GRAPH.with_borrow(Clone::clone);
    LOADER.with_borrow_mut(|loader| {
        let argument = loader.exchange.take();
        let result = graph.context("no graph is loaded").and_then(|graph| {
            let report = REPORT.get().context("no graph is loaded")?;
            profile::profile(&graph, &report, &argument)
        });
        loader.answer(result)
    })
}

/// Where the last reply is: its address in the upper half, its length in the lower.
#[unsafe(export_name = "samara-reply")]
extern "C" fn samara_reply() -> u64 {
    LOADER.with_borrow(|loader| loader.exchange.reply())
}

/// Drops what only loading needed, and reserves the memory to run in. The last call before the snapshot.
#[unsafe(export_name = "samara-finish")]
extern "C" fn samara_finish() {
    let Loader { plan, exchanged_bytes, .. } = LOADER.with_borrow_mut(std::mem::take);
    // Names and shapes come on top, and a heap has gaps. Pages that nobody writes to cost next to nothing.
    ALLOCATOR.start_working(plan, exchanged_bytes.saturating_add(256 << 10));
}
