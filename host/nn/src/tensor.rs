//! A tensor on its way to or from a graph.

use bytes::Bytes;
use samara_protocol::{Datatype, TensorError, check_data};

/// A tensor on its way to or from a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The datatype of the elements.
    pub datatype: Datatype,
    /// The size of each dimension, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// The elements, little-endian and row-major. An element of `BYTES` is its length as a little-endian `u32`, then that
    /// many bytes. An output's can be where the backend has put them: whoever takes them copies them.
    pub data: Bytes,
}

impl Tensor {
    /// Checks that the data is what a tensor of this datatype and shape holds.
    pub fn check(&self) -> Result<(), TensorError> {
        check_data(self.datatype, &self.shape, &self.data)
    }
}
