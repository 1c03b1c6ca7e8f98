//! Tensors, and whether their bytes agree with their shapes.

use std::borrow::Cow;
use std::fmt;

use crate::Datatype;

/// A tensor that a request gives.
///
/// From [`crate::decode`], `data` is known to agree with `datatype` and `shape`, and all three with the
/// model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputTensor<'a> {
    /// The name that the model gave this input.
    pub name: Cow<'a, str>,
    /// The datatype of the elements.
    pub datatype: Datatype,
    /// The size of each dimension, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// The elements, little-endian and row-major.
    pub data: Cow<'a, [u8]>,
}

/// A tensor that an engine gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputTensor<'a> {
    /// The name that the model gave this output.
    pub name: Cow<'a, str>,
    /// The datatype of the elements.
    pub datatype: Datatype,
    /// The size of each dimension, outermost first; empty for a scalar.
    pub shape: Cow<'a, [u64]>,
    /// The elements, little-endian and row-major.
    pub data: Cow<'a, [u8]>,
}

/// How a tensor's bytes disagree with its datatype and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorError {
    /// The product of the dimensions, or the bytes they take, does not fit in 64 bits.
    Overflow,
    /// The shape asks for another number of bytes.
    ByteLength {
        /// What the shape asks for.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// The shape asks for another number of `BYTES` elements.
    ElementCount {
        /// What the shape asks for.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// A `BYTES` element's length, or the element itself, runs past the end of the data.
    TruncatedElement {
        /// The element's index, row-major.
        index: u64,
    },
    /// A `BOOL` element is neither 0 nor 1.
    NotBoolean {
        /// The element's index, row-major.
        index: u64,
    },
}

/// The elements of a `BYTES` tensor's data, in row-major order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct BytesElements<'a> {
    rest: &'a [u8],
    index: u64,
}

/// The number of elements of a shape, 1 for a scalar, or `None` where it does not fit in 64 bits.
///
/// A shape with a zero has no elements, however large its other dimensions.
#[must_use]
pub fn element_count(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_u64, |count, &size| count.checked_mul(size))
}

/// Splits the data of a `BYTES` tensor, each element a little-endian `u32` length and that many bytes.
#[must_use]
pub const fn bytes_elements(data: &[u8]) -> BytesElements<'_> {
    BytesElements { rest: data, index: 0 }
}

/// Appends an element to the data of a `BYTES` tensor: its length, then its bytes.
///
/// An element longer than a `u32` can say is cut off there.
pub fn push_bytes_element(data: &mut Vec<u8>, element: &[u8]) {
    let length = u32::try_from(element.len()).unwrap_or(u32::MAX);
    let element = element.get(..length as usize).unwrap_or(element);
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(element);
}

/// Checks that `data` is what a tensor of `datatype` and `shape` holds.
///
/// # Errors
///
/// [`TensorError`] says what disagrees: the number of bytes, the number or the framing of `BYTES`
/// elements, or a `BOOL` that is neither 0 nor 1.
pub fn check_data(datatype: Datatype, shape: &[u64], data: &[u8]) -> Result<(), TensorError> {
    let count = element_count(shape).ok_or(TensorError::Overflow)?;
    let Some(size) = datatype.size() else {
        return check_elements(count, data);
    };
    let expected = count.checked_mul(size as u64).ok_or(TensorError::Overflow)?;
    let actual = data.len() as u64;
    if actual != expected {
        return Err(TensorError::ByteLength { expected, actual });
    }
    if datatype == Datatype::Bool
        && let Some(index) = data.iter().position(|&byte| byte > 1)
    {
        return Err(TensorError::NotBoolean { index: index as u64 });
    }
    Ok(())
}

fn check_elements(expected: u64, data: &[u8]) -> Result<(), TensorError> {
    let mut actual = 0;
    for element in bytes_elements(data) {
        element?;
        actual += 1;
    }
    if actual != expected {
        return Err(TensorError::ElementCount { expected, actual });
    }
    Ok(())
}

// === impl InputTensor ===

impl InputTensor<'_> {
    /// The same tensor, with its own copy of what it borrowed.
    #[must_use]
    pub fn into_owned(self) -> InputTensor<'static> {
        InputTensor {
            name: Cow::Owned(self.name.into_owned()),
            datatype: self.datatype,
            shape: self.shape,
            data: Cow::Owned(self.data.into_owned()),
        }
    }
}

// === impl BytesElements ===

impl<'a> Iterator for BytesElements<'a> {
    type Item = Result<&'a [u8], TensorError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = self
            .rest
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?));
        let Some((element, rest)) = element else {
            self.rest = &[];
            return Some(Err(TensorError::TruncatedElement { index: self.index }));
        };
        self.rest = rest;
        self.index += 1;
        Some(Ok(element))
    }
}

// === impl TensorError ===

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow => f.write_str("the shape holds more than 64 bits can count"),
            Self::ByteLength { expected, actual } => {
                write!(f, "expected {expected} bytes of data, got {actual}")
            }
            Self::ElementCount { expected, actual } => {
                write!(f, "expected {expected} BYTES elements, got {actual}")
            }
            Self::TruncatedElement { index } => write!(
                f,
                "BYTES element {index} runs past the end of the data, expected a 4-byte \
                 little-endian length and that many bytes"
            ),
            Self::NotBoolean { index } => {
                write!(f, "BOOL element {index} is neither 0 nor 1")
            }
        }
    }
}

impl std::error::Error for TensorError {}

#[cfg(test)]
mod tests;
