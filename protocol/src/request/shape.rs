//! Shapes as a request gives them, and whether a model takes them.

use std::fmt;

use crate::excerpt::excerpt;
use crate::{Error, Limits, TensorSpec, element_count};

/// Displays a shape as JSON, whatever the type of its sizes: `[-1,3]`.
pub(super) struct Shape<'a, T>(pub(super) &'a [T]);

impl<T: fmt::Display> fmt::Display for Shape<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (axis, size) in self.0.iter().enumerate() {
            if axis > 0 {
                f.write_str(",")?;
            }
            size.fmt(f)?;
        }
        f.write_str("]")
    }
}

/// Reads a `shape` for the input that `spec` describes, and checks that the model takes it.
pub(super) fn read(spec: &TensorSpec, json: &str) -> Result<Vec<u64>, Error> {
    let shape: Vec<u64> = serde_json::from_str(json).map_err(|_| {
        Error::BadRequest(format!(
            "input `{}`: expected a shape like {} of integers that are not negative, got {}",
            spec.name,
            Shape(&spec.shape),
            excerpt(json)
        ))
    })?;
    check(spec, &shape)?;
    Ok(shape)
}

/// Takes a `shape` whose sizes have a sign, and checks that the model takes it.
pub(super) fn from_signed(spec: &TensorSpec, sizes: &[i64]) -> Result<Vec<u64>, Error> {
    let shape: Result<Vec<u64>, _> = sizes.iter().map(|&size| u64::try_from(size)).collect();
    let shape = shape.map_err(|_| {
        let text = Shape(sizes).to_string();
        Error::BadRequest(format!(
            "input `{}`: expected a shape like {} of integers that are not negative, got {}",
            spec.name,
            Shape(&spec.shape),
            excerpt(&text)
        ))
    })?;
    check(spec, &shape)?;
    Ok(shape)
}

/// Checks that the model takes a shape.
fn check(spec: &TensorSpec, shape: &[u64]) -> Result<(), Error> {
    if fits(spec, shape) {
        return Ok(());
    }
    let text = Shape(shape).to_string();
    Err(Error::BadRequest(format!(
        "input `{}`: expected shape {} (-1 is any size), got {}",
        spec.name,
        Shape(&spec.shape),
        excerpt(&text)
    )))
}

fn fits(spec: &TensorSpec, shape: &[u64]) -> bool {
    spec.shape.len() == shape.len()
        && spec.shape.iter().zip(shape).all(|(&expected, &actual)| {
            // A negative size does not convert: it is dynamic.
            u64::try_from(expected).is_ok_and(|size| size == actual) || expected < 0
        })
}

/// The number of elements of an input's shape, where that is within the limits.
pub(super) fn count(spec: &TensorSpec, shape: &[u64], limits: &Limits) -> Result<u64, Error> {
    let count = element_count(shape).ok_or_else(|| {
        Error::BadRequest(format!(
            "input `{}`: shape {} has more elements than 64 bits can count, expected at most {}",
            spec.name,
            Shape(shape),
            limits.max_elements
        ))
    })?;
    if count > limits.max_elements {
        return Err(Error::TensorTooLarge(format!(
            "input `{}`: shape {} has {count} elements, expected at most {}",
            spec.name,
            Shape(shape),
            limits.max_elements
        )));
    }
    Ok(count)
}
