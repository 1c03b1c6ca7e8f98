//! ONNX files: read, checked, and turned into typed graphs.

use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use prost::Message;
use samara_artifact::Cost;
use samara_protocol::{Datatype, TensorSpec};
use sha2::{Digest, Sha256};
use tract_onnx::Onnx;
use tract_onnx::pb::{self, GraphProto, ModelProto, TensorProto, tensor_proto};
use tract_onnx::tract_core::ops;
use tract_onnx::tract_hir::internal::*;

use crate::CompileError;
use crate::error::UnsupportedOperator;

/// A shape that the user fixes: `NAME=D0,D1,…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// The input.
    pub name: String,
    /// Its dimensions: sizes, or names for those that stay dynamic.
    pub dimensions: Vec<Dimension>,
}

/// One dimension of an [`InputShape`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// This size, always.
    Fixed(usize),
    /// Any size. Dimensions of the same name have the same size.
    Symbolic(String),
}

/// An ONNX file, read and checked.
pub struct OnnxFile {
    path: PathBuf,
    proto: ModelProto,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
}

/// A typed graph, and what is known of it.
pub struct TypedGraph {
    pub model: TypedModel,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    /// A shape for each input, with a size for every dynamic dimension.
    pub sample: Vec<Vec<usize>>,
    pub cost: Cost,
}

/// The most that the weights may take. A 32-bit memory has 4 GiB, and a weight is in it twice while it is packed.
const MAX_WEIGHT_BYTES: u64 = 3 << 30;

/// The size that a dynamic dimension has in a sample input.
const SAMPLE_SIZE: i64 = 1;

// === impl InputShape ===

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, dimensions) = text
            .rsplit_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("{text:?} is not NAME=D0,D1,…"))?;
        let dimensions = if dimensions.is_empty() {
            Vec::new()
        } else {
            dimensions.split(',').map(|dimension| dimension.trim().parse()).collect::<Result<_, _>>()?
        };
        Ok(InputShape { name: name.to_owned(), dimensions })
    }
}

impl FromStr for Dimension {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(size) = text.parse::<usize>() {
            return if size == 0 { Err("a dimension of size 0".to_owned()) } else { Ok(Dimension::Fixed(size)) };
        }
        let mut characters = text.chars();
        let is_name = characters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_name {
            Ok(Dimension::Symbolic(text.to_owned()))
        } else {
            Err(format!("{text:?} is neither a size nor a name for a dynamic dimension"))
        }
    }
}

// === impl OnnxFile ===

impl OnnxFile {
    /// Reads the file at `path`, and checks all that can be checked without analysing the graph.
    pub fn read(path: &Path) -> Result<OnnxFile, CompileError> {
        let bytes = std::fs::read(path).map_err(|source| CompileError::Read { path: path.to_owned(), source })?;
        if bytes.is_empty() {
            return Err(CompileError::Empty { path: path.to_owned() });
        }
        let not_onnx = |reason: String| CompileError::NotOnnx { path: path.to_owned(), reason };
        let proto = ModelProto::decode(bytes.as_slice()).map_err(|error| not_onnx(error.to_string()))?;
        let Some(graph) = &proto.graph else {
            return Err(not_onnx("it holds no graph".to_owned()));
        };
        if graph.output.is_empty() {
            return Err(not_onnx("its graph has no outputs".to_owned()));
        }
        check_operators(graph)?;
        check_names(graph)?;
        check_weights(graph, path.parent().unwrap_or(Path::new("")))?;
        Ok(OnnxFile { path: path.to_owned(), sha256: samara_runtime::hex(&Sha256::digest(&bytes)), proto })
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
        let mut parsed = tract_onnx::onnx()
            .parse(&self.proto, directory)
            .map_err(|error| CompileError::Graph(format!("{error:#}")))?;
        if let Some(name) = parsed.unresolved_inputs.first() {
            return Err(CompileError::InvalidGraph(format!("no node makes the tensor {name:?}")));
        }
        fix_shapes(&mut parsed.model, shapes)?;
        let declared = dynamic_dimensions(&parsed.model);
        let names: Vec<String> = input_names(&parsed.model);
        let typed = parsed
            .model
            .into_typed()
            .and_then(|mut model| {
                repair_binary_trees(&mut model)?;
                model.into_decluttered()
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

/// Names the operators that tract does not have.
fn check_operators(graph: &GraphProto) -> Result<(), CompileError> {
    let Onnx { op_register, .. } = tract_onnx::onnx();
    let mut unsupported: BTreeMap<String, UnsupportedOperator> = BTreeMap::new();
    each_node(graph, &mut |node| {
        if !op_register.0.contains_key(&node.op_type) {
            let operator = match node.domain.as_str() {
                "" | "ai.onnx" => node.op_type.clone(),
                domain => format!("{domain}.{}", node.op_type),
            };
            let name =
                if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() };
            unsupported.entry(operator.clone()).and_modify(|known| known.nodes += 1).or_insert(UnsupportedOperator {
                operator,
                node: name,
                nodes: 1,
            });
        }
    });
    if unsupported.is_empty() {
        Ok(())
    } else {
        Err(CompileError::UnsupportedOperators(unsupported.into_values().collect()))
    }
}

fn each_node<'a>(graph: &'a GraphProto, f: &mut impl FnMut(&'a pb::NodeProto)) {
    for node in &graph.node {
        f(node);
        for attribute in &node.attribute {
            for nested in attribute.g.iter().chain(&attribute.graphs) {
                each_node(nested, f);
            }
        }
    }
}

/// Checks that every tensor that is used is also made.
fn check_names(graph: &GraphProto) -> Result<(), CompileError> {
    let made: HashSet<&str> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .chain(graph.initializer.iter().map(|tensor| tensor.name.as_str()))
        .chain(graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str)))
        .collect();
    let used = graph
        .node
        .iter()
        .flat_map(|node| node.input.iter().map(|name| (name, "a node's input")))
        .chain(graph.output.iter().map(|output| (&output.name, "an output of the model")));
    for (name, role) in used {
        if !name.is_empty() && !made.contains(name.as_str()) {
            return Err(CompileError::InvalidGraph(format!("{role}, {name:?}, is made by no node")));
        }
    }
    Ok(())
}

/// Checks that the weights are there, and that they fit into a 32-bit memory.
fn check_weights(graph: &GraphProto, directory: &Path) -> Result<(), CompileError> {
    let mut weight_bytes = 0_u64;
    for tensor in &graph.initializer {
        let elements =
            tensor.dims.iter().try_fold(1_u64, |elements, &size| elements.checked_mul(u64::try_from(size).ok()?));
        let Some(elements) = elements else {
            return Err(CompileError::InvalidGraph(format!(
                "the weights {:?} have the shape {:?}",
                tensor.name, tensor.dims
            )));
        };
        weight_bytes = weight_bytes.saturating_add(elements.saturating_mul(element_size(tensor)));
    }
    if weight_bytes > MAX_WEIGHT_BYTES {
        return Err(CompileError::TooLarge { weight_bytes });
    }
    graph
        .initializer
        .iter()
        .filter(|tensor| tensor.data_location == Some(tensor_proto::DataLocation::External as i32))
        .try_for_each(|tensor| check_external(tensor, directory))
}

fn element_size(tensor: &TensorProto) -> u64 {
    use tensor_proto::DataType;
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64) => 8,
        Ok(DataType::Complex128) => 16,
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Bool) => 1,
        _ => 4,
    }
}

fn check_external(tensor: &TensorProto, directory: &Path) -> Result<(), CompileError> {
    let value = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &*entry.value);
    let location = Path::new(value("location").unwrap_or_default());
    let path = directory.join(location);
    let unusable =
        |reason: String| CompileError::ExternalData { tensor: tensor.name.clone(), path: path.clone(), reason };
    // ONNX: the location is a relative path, and must not lead out of the model's directory.
    if location.as_os_str().is_empty() || !location.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(unusable("the path is not one inside the model's directory".to_owned()));
    }
    let bytes = std::fs::metadata(&path).map_err(|error| unusable(error.to_string()))?.len();
    let number = |key: &str| -> Result<Option<u64>, CompileError> {
        value(key).map(|text| text.parse().map_err(|_| unusable(format!("{key} {text:?} is not a number")))).transpose()
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let end = offset.saturating_add(length.unwrap_or(0));
    if end > bytes {
        return Err(unusable(format!("it has {bytes} bytes, and {end} are needed")));
    }
    Ok(())
}

fn input_names(model: &InferenceModel) -> Vec<String> {
    model.inputs.iter().map(|outlet| model.node(outlet.node).name.clone()).collect()
}

fn fix_shapes(model: &mut InferenceModel, shapes: &[InputShape]) -> Result<(), CompileError> {
    let names = input_names(model);
    for shape in shapes {
        let wrong = |reason: String| CompileError::InputShape { input: shape.name.clone(), reason };
        let index = names
            .iter()
            .position(|name| *name == shape.name)
            .ok_or_else(|| wrong(format!("the model has no such input; its inputs are {}", names.join(", "))))?;
        let fact = model.input_fact(index).map_err(|error| wrong(format!("{error:#}")))?.clone();
        let datum_type = fact
            .datum_type
            .concretize()
            .ok_or_else(|| wrong("the model does not tell the type of its elements".to_owned()))?;
        let known: Vec<Option<usize>> =
            fact.shape.dims().map(|dimension| dimension.concretize().and_then(|size| size.to_usize().ok())).collect();
        if !fact.shape.is_open() && known.len() != shape.dimensions.len() {
            return Err(wrong(format!(
                "{} dimensions are given, the model has {}",
                shape.dimensions.len(),
                known.len()
            )));
        }
        let mut dimensions: TVec<TDim> = tvec!();
        for (position, dimension) in shape.dimensions.iter().enumerate() {
            let declared = known.get(position).copied().flatten();
            match (dimension, declared) {
                (Dimension::Fixed(size), Some(declared)) if *size != declared => {
                    return Err(wrong(format!("dimension {position} is {declared} in the model, not {size}")));
                }
                (Dimension::Fixed(size), _) => dimensions.push(size.to_dim()),
                (Dimension::Symbolic(_), Some(declared)) => dimensions.push(declared.to_dim()),
                (Dimension::Symbolic(name), None) => dimensions.push(model.symbols.sym(name).into()),
            }
        }
        model
            .set_input_fact(index, InferenceFact::dt_shape(datum_type, dimensions))
            .map_err(|error| wrong(format!("{error:#}")))?;
    }
    name_unknown_dimensions(model).map_err(|error| CompileError::Graph(format!("{error:#}")))
}

/// Gives a name to every dimension that has neither a size nor a name, since a typed graph knows no other.
fn name_unknown_dimensions(model: &mut InferenceModel) -> TractResult<()> {
    for index in 0..model.inputs.len() {
        let fact = model.input_fact(index)?.clone();
        let (Some(datum_type), false) = (fact.datum_type.concretize(), fact.shape.is_open()) else { continue };
        let dimensions: TVec<TDim> = fact
            .shape
            .dims()
            .enumerate()
            .map(|(position, dimension)| match dimension.concretize() {
                Some(known) => known,
                None => model.symbols.new_with_prefix(&format!("d{index}_{position}")).into(),
            })
            .collect();
        model.set_input_fact(index, InferenceFact::dt_shape(datum_type, dimensions))?;
    }
    Ok(())
}

/// The inputs with dynamic dimensions: name, and shape with -1 for those.
fn dynamic_dimensions(model: &InferenceModel) -> Vec<(String, Vec<i64>)> {
    let shape = |index: usize| -> Vec<i64> {
        model.input_fact(index).map_or_else(
            |_| Vec::new(),
            |fact| {
                fact.shape
                    .dims()
                    .map(|dimension| dimension.concretize().and_then(|size| size.to_i64().ok()).unwrap_or(-1))
                    .collect()
            },
        )
    };
    input_names(model)
        .into_iter()
        .enumerate()
        .map(|(index, name)| (name, shape(index)))
        .filter(|(_, shape)| shape.contains(&-1))
        .collect()
}

/// A failure of the analysis, put down to the dimensions that are dynamic, if any are.
pub fn blame_dimensions(dynamic: Vec<(String, Vec<i64>)>, reason: String) -> CompileError {
    if dynamic.is_empty() {
        return CompileError::Graph(reason);
    }
    let dimensions = dynamic
        .iter()
        .flat_map(|(name, shape)| {
            shape.iter().enumerate().filter(|(_, size)| **size < 0).map(|(position, _)| (name.clone(), position))
        })
        .collect();
    let inputs = dynamic
        .iter()
        .map(|(name, shape)| {
            let sizes: Vec<String> = shape
                .iter()
                .enumerate()
                .map(|(position, size)| match (size, position) {
                    (-1, 0) => "1".to_owned(),
                    (-1, _) => "SIZE".to_owned(),
                    _ => size.to_string(),
                })
                .collect();
            format!("{name}={}", sizes.join(","))
        })
        .collect();
    CompileError::SymbolicDimension { dimensions, inputs, reason }
}

/// Two-class tree ensembles whose leaves vote for one class only: tract 0.23.9 picks the label from the single score,
/// before it has put the other class's beside it, and so always picks the first. It is to look at both.
fn repair_binary_trees(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let Some(prefix) = model.node(id).name.strip_suffix(".binary_result").map(str::to_owned) else { continue };
        let argmax = model.nodes().iter().find(|node| node.name == format!("{prefix}.argmax")).map(|node| node.id);
        if let Some(argmax) = argmax {
            model.add_edge(OutletId::new(id, 0), InletId::new(argmax, 0))?;
        }
    }
    Ok(())
}

fn describe(model: TypedModel, inputs: Vec<String>, outputs: Vec<String>) -> Result<TypedGraph, CompileError> {
    let graph = |error: TractError| CompileError::Graph(format!("{error:#}"));
    let facts = |outlets: &[OutletId]| -> Result<Vec<TypedFact>, CompileError> {
        outlets.iter().map(|&outlet| model.outlet_fact(outlet).cloned().map_err(graph)).collect()
    };
    let input_facts = facts(&model.inputs)?;
    let output_facts = facts(&model.outputs)?;
    let mut symbols = SymbolValues::default();
    for fact in &input_facts {
        for symbol in fact.shape.iter().flat_map(TDim::symbols) {
            symbols.set(&symbol, SAMPLE_SIZE);
        }
    }
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
    Ok(TypedGraph { model, inputs, outputs, sample, cost })
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
            if constant.val().datum_type().is_float() {
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

#[cfg(test)]
mod tests;
