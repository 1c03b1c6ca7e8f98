//! Shapes of inputs: what the model leaves open, and what the user fixes.

use std::collections::HashSet;
use std::str::FromStr;

use tract_onnx::tract_hir::internal::*;

use crate::CompileError;

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

impl Dimension {
    /// Refuses to change the size that a model has at this position, where it has one.
    pub fn check(&self, position: usize, declared: Option<usize>) -> Result<(), String> {
        match (self, declared) {
            (Dimension::Fixed(size), Some(declared)) if *size != declared => {
                Err(format!("dimension {position} is {declared} in the model, not {size}"))
            }
            (Dimension::Symbolic(name), Some(declared)) => Err(format!(
                "dimension {position} is {declared} in the model, and cannot be any size, as {name} says: export it with a dynamic \
                 dimension, or give {declared}"
            )),
            _ => Ok(()),
        }
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

pub fn input_names(model: &InferenceModel) -> Vec<String> {
    model.inputs.iter().map(|outlet| model.node(outlet.node).name.clone()).collect()
}

pub fn fix(model: &mut InferenceModel, shapes: &[InputShape]) -> Result<(), CompileError> {
    let names = input_names(model);
    forget_names(model, shapes.is_empty()).map_err(|error| CompileError::Graph(format!("{error:#}")))?;
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
            dimension.check(position, known.get(position).copied().flatten()).map_err(wrong)?;
            dimensions.push(match dimension {
                Dimension::Fixed(size) => size.to_dim(),
                Dimension::Symbolic(name) => model.symbols.sym(name).into(),
            });
        }
        model
            .set_input_fact(index, InferenceFact::dt_shape(datum_type, dimensions))
            .map_err(|error| wrong(format!("{error:#}")))?;
    }
    name_unknown_dimensions(model).map_err(|error| CompileError::Graph(format!("{error:#}")))
}

/// Forgets the names that the file gives to dimensions of what nodes make (`value_info`), but for those of the inputs' dimensions where
/// the user fixes none: else these are no longer called so. What the others are is inferred, and a name of its own would be taken for
/// another size.
fn forget_names(model: &mut InferenceModel, keeps_those_of_inputs: bool) -> TractResult<()> {
    let mut known: HashSet<Symbol> = HashSet::new();
    for input in model.inputs.iter().filter(|_| keeps_those_of_inputs) {
        let sizes = model.outlet_fact(*input)?.shape.dims();
        known.extend(sizes.filter_map(GenericFactoid::concretize).flat_map(|size| size.symbols()));
    }
    let made = model.nodes().iter().flat_map(|node| (0..node.outputs.len()).map(|slot| OutletId::new(node.id, slot)));
    let made: Vec<OutletId> = made.filter(|outlet| !model.inputs.contains(outlet)).collect();
    let is_named =
        |size: &DimFact| size.concretize().is_some_and(|size| size.symbols().iter().any(|name| !known.contains(name)));
    for outlet in made {
        let fact = model.outlet_fact(outlet)?;
        if !fact.shape.dims().any(is_named) {
            continue;
        }
        let sizes = fact.shape.dims().map(|size| if is_named(size) { DimFact::Any } else { size.clone() }).collect();
        let shape = if fact.shape.is_open() { ShapeFactoid::open(sizes) } else { ShapeFactoid::closed(sizes) };
        let fact = InferenceFact { shape, ..fact.clone() };
        model.set_outlet_fact(outlet, fact)?;
    }
    Ok(())
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
pub fn dynamic_dimensions(model: &InferenceModel) -> Vec<(String, Vec<i64>)> {
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

#[cfg(test)]
mod tests;
