//! ONNX files: read, checked, and turned into typed graphs.

mod batch;
mod check;
mod declared;
mod dynamic;
mod quantized;
mod shape;
mod sizes;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use prost::Message;
use samara_artifact::{Cost, Signature, Source};
use samara_protocol::{Datatype, TensorSpec};
use sha2::{Digest, Sha256};
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::tract_core::ops;
use tract_onnx::tract_hir::internal::*;

use crate::CompileError;

pub use shape::{Dimension, InputShape, blame_dimensions};
use shape::{dynamic_dimensions, input_names};

/// An ONNX file, read and checked.
pub struct OnnxFile {
    path: PathBuf,
    proto: ModelProto,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A typed graph, and what is known of it.
pub struct TypedGraph {
    pub model: TypedModel,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    /// Whether the graph takes one item of a batch: the first dimension, 1 in the graph, is dynamic to the outside.
    pub per_item: bool,
    /// A shape for each input, with a size for every dynamic dimension.
    pub sample: Vec<Vec<usize>>,
    pub cost: Cost,
}

/// The largest size that a dynamic dimension has in a sample input.
const LARGEST_SAMPLE: i64 = 1 << 16;

// === impl OnnxFile ===

impl OnnxFile {
    /// Reads the file at `path`, and checks that it holds a model.
    pub fn read(path: &Path) -> Result<OnnxFile, CompileError> {
        let bytes = std::fs::read(path).map_err(|reason| CompileError::Read { path: path.to_owned(), reason })?;
        if bytes.is_empty() {
            return Err(CompileError::Empty { path: path.to_owned() });
        }
        let not_onnx = |reason: String| CompileError::NotOnnx { path: path.to_owned(), reason };
        let proto = ModelProto::decode(bytes.as_slice()).map_err(|error| not_onnx(error.to_string()))?;
        let file = OnnxFile {
            path: path.to_owned(),
            sha256: samara_runtime::hex(&Sha256::digest(&bytes)),
            bytes: bytes.len() as u64,
            proto,
        };
        if file.graph()?.output.is_empty() {
            return Err(not_onnx("its graph has no outputs".to_owned()));
        }
        Ok(file)
    }

    fn graph(&self) -> Result<&GraphProto, CompileError> {
        let reason = || "it holds no graph".to_owned();
        self.proto.graph.as_ref().ok_or_else(|| CompileError::NotOnnx { path: self.path.clone(), reason: reason() })
    }

    /// Checks all that can be checked without analysing the graph, for a model that the engine is to run: operators,
    /// names, and weights, which may be beside the file.
    pub fn check_for_engine(&self) -> Result<(), CompileError> {
        let graph = self.graph()?;
        check::operators(graph)?;
        check::names(graph)?;
        check::weights(graph, self.path.parent().unwrap_or(Path::new("")))
    }

    /// Checks the same for a model that the host is to run: what operators there are is the host's affair, but the file
    /// must be all of the model.
    pub fn check_for_host(&self) -> Result<(), CompileError> {
        let graph = self.graph()?;
        if self.proto.opset_import.is_empty() {
            return Err(CompileError::NotOnnx {
                path: self.path.clone(),
                reason: "it does not say which version of the operators it uses".to_owned(),
            });
        }
        check::names(graph)?;
        check::holds_its_weights(graph)
    }

    /// The file as a manifest names it.
    pub fn source(&self) -> Source {
        Source {
            file: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sha256: self.sha256.clone(),
        }
    }

    /// What the model takes and gives, as the file declares it, with the shapes that the user fixed.
    ///
    /// The graph is analysed only where the file leaves an output undeclared.
    pub fn signature(&self, shapes: &[InputShape]) -> Result<Signature, CompileError> {
        let graph = self.graph()?;
        let inputs = declared::inputs(graph, shapes)?;
        let outputs = match declared::outputs(graph) {
            Err(CompileError::Undeclared { tensor, .. }) => {
                let analysed = check::operators(graph).and_then(|()| self.typed(shapes));
                analysed.map_err(|error| CompileError::Undeclared { tensor, reason: error.to_string() })?.outputs
            }
            declared => declared?,
        };
        Ok(Signature { inputs, outputs })
    }

    /// The graph, typed and simplified, with the shapes that the user fixed.
    pub fn typed(&self, shapes: &[InputShape]) -> Result<TypedGraph, CompileError> {
        // A graph that contradicts itself in ways that `read` does not see can make tract panic.
        std::panic::catch_unwind(AssertUnwindSafe(|| self.typed_unguarded(shapes))).unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(CompileError::Graph(format!("tract gave up: {message}")))
        })
    }

    fn typed_unguarded(&self, shapes: &[InputShape]) -> Result<TypedGraph, CompileError> {
        let directory = self.path.parent().and_then(Path::to_str);
        let mut framework = tract_onnx::onnx();
        dynamic::register(&mut framework);
        quantized::register(&mut framework);
        let proto = sizes::in_64_bits(quantized::dequantized(&self.proto)?);
        let mut parsed =
            framework.parse(&proto, directory).map_err(|error| CompileError::Graph(format!("{error:#}")))?;
        if let Some(name) = parsed.unresolved_inputs.first() {
            return Err(CompileError::InvalidGraph(format!("no node makes the tensor {name:?}")));
        }
        shape::fix(&mut parsed.model, shapes)?;
        let declared = dynamic_dimensions(&parsed.model);
        let names: Vec<String> = input_names(&parsed.model);
        let typed = parsed
            .model
            .into_typed()
            .and_then(|mut model| {
                samara_graph::repair_binary_trees(&mut model)?;
                samara_graph::simplify(&mut model)?;
                Ok(model)
            })
            .map_err(|error| blame_dimensions(declared.clone(), format!("{error:#}")))?;
        let output_names =
            self.proto.graph.iter().flat_map(|graph| &graph.output).map(|output| output.name.clone()).collect();
        describe(typed, names, output_names).map_err(|error| match error {
            CompileError::Graph(reason) => blame_dimensions(declared, reason),
            other => other,
        })
    }
}

fn describe(model: TypedModel, inputs: Vec<String>, outputs: Vec<String>) -> Result<TypedGraph, CompileError> {
    let graph = |error: TractError| CompileError::Graph(format!("{error:#}"));
    let facts = |outlets: &[OutletId]| -> Result<Vec<TypedFact>, CompileError> {
        outlets.iter().map(|&outlet| model.outlet_fact(outlet).cloned().map_err(graph)).collect()
    };
    let input_facts = facts(&model.inputs)?;
    let output_facts = facts(&model.outputs)?;
    let symbols = sample_sizes(&model, &input_facts);
    let sample = input_facts
        .iter()
        .map(|fact| fact.shape.eval_to_usize(&symbols).map(|shape| shape.to_vec()).map_err(graph))
        .collect::<Result<_, _>>()?;
    let specs = |names: Vec<String>, facts: &[TypedFact]| {
        names.into_iter().zip(facts).map(|(name, fact)| spec(name, fact)).collect::<Result<Vec<_>, _>>()
    };
    let inputs = specs(inputs, &input_facts)?;
    let outputs = specs(outputs, &output_facts)?;
    let cost = cost(&model, &symbols).map_err(graph)?;
    let single = batch::single_item(&model).map_err(graph)?;
    let per_item = single.is_some();
    Ok(TypedGraph { model: single.unwrap_or(model), inputs, outputs, per_item, sample, cost })
}

/// Sizes for the dynamic dimensions of the inputs: 1, or more where a tensor in the graph would have no elements, as what takes a sound
/// takes so many numbers of it at the least.
fn sample_sizes(model: &TypedModel, inputs: &[TypedFact]) -> SymbolValues {
    let mut sizes: HashMap<Symbol, i64> = HashMap::new();
    for symbol in inputs.iter().flat_map(|fact| fact.shape.iter()).flat_map(TDim::symbols) {
        sizes.insert(symbol, 1);
    }
    let values = |sizes: &HashMap<Symbol, i64>| {
        let mut values = SymbolValues::default();
        sizes.iter().for_each(|(symbol, size)| values.set(symbol, *size));
        values
    };
    for node in model.nodes() {
        for size in node.outputs.iter().flat_map(|output| output.fact.shape.iter()) {
            // One that other symbols are part of is not known before it runs.
            while size.eval(&values(&sizes)).to_i64().is_ok_and(|size| size < 1) {
                let mut larger = sizes.clone();
                for symbol in size.symbols() {
                    larger.entry(symbol).and_modify(|size| *size *= 2);
                }
                if larger == sizes || larger.values().any(|size| *size > LARGEST_SAMPLE) {
                    break;
                }
                sizes = larger;
            }
        }
    }
    values(&sizes)
}

fn spec(name: String, fact: &TypedFact) -> Result<TensorSpec, CompileError> {
    let datum_type = fact.datum_type;
    let datatype = match datum_type {
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 | DatumType::QI8(_) => Datatype::Int8,
        DatumType::QU8(_) => Datatype::Uint8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 | DatumType::QI32(_) => Datatype::Int32,
        DatumType::I64 | DatumType::TDim => Datatype::Int64,
        DatumType::F16 => Datatype::Fp16,
        DatumType::F32 => Datatype::Fp32,
        DatumType::F64 => Datatype::Fp64,
        DatumType::String => Datatype::Bytes,
        other => return Err(CompileError::Datatype { tensor: name, datum_type: format!("{other:?}") }),
    };
    let shape = fact.shape.iter().map(|dimension| dimension.to_i64().unwrap_or(-1)).collect();
    Ok(TensorSpec { name, datatype, shape })
}

/// Counts what the graph computes, for inputs whose dynamic dimensions have the given sizes.
fn cost(model: &TypedModel, symbols: &SymbolValues) -> TractResult<Cost> {
    let mut cost = Cost::default();
    for node in model.nodes() {
        if let Some(constant) = node.op_as::<ops::konst::Const>() {
            // A number more or less is a setting, not something that was trained.
            let (datum_type, is_one) = (constant.val().datum_type(), constant.val().len() == 1);
            if datum_type.is_float() || datum_type.is_integer() && datum_type.size_of() == 1 && !is_one {
                cost.parameters += constant.val().len() as u64;
            }
        }
        let facts = model.node_input_facts(node.id)?;
        for (kind, count) in node.op.cost(&facts)? {
            if let ops::Cost::FMA(_) = kind {
                let count = count.eval(symbols).to_i64().unwrap_or(0);
                cost.multiply_accumulates += u64::try_from(count).unwrap_or(0);
            }
        }
    }
    Ok(cost)
}
