//! Tensors, as they cross between a function and its model.

use std::fmt;

use crate::Problem;

/// The type of a tensor's elements, as the Open Inference Protocol v2 has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datatype {
    /// True or false, one byte.
    Bool,
    /// Unsigned, 8 bits.
    Uint8,
    /// Unsigned, 16 bits.
    Uint16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Unsigned, 64 bits.
    Uint64,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// IEEE 754, 16 bits.
    Fp16,
    /// IEEE 754, 32 bits.
    Fp32,
    /// IEEE 754, 64 bits.
    Fp64,
    /// Strings of bytes, each with its length, 32 bits, in front.
    Bytes,
}

/// A named tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The name of the input or output.
    pub name: String,
    /// The type of its elements.
    pub datatype: Datatype,
    /// The extent of each dimension, outermost first.
    pub shape: Vec<u64>,
    /// The elements in row-major order, little-endian, without padding.
    pub data: Vec<u8>,
}

/// What is wrong with a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorError {
    /// There are other than as many elements as the shape says.
    Length {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
        /// How many elements there are.
        elements: usize,
    },
    /// The elements are of another type.
    Datatype {
        /// The tensor's name.
        name: String,
        /// The type that was wanted.
        wanted: Datatype,
        /// The type that they have.
        found: Datatype,
    },
}

macro_rules! elements {
    ($make:ident, $read:ident, $type:ty, $datatype:ident, $what:literal) => {
        #[doc = concat!("Makes a tensor of ", $what, ".")]
        ///
        /// # Errors
        ///
        /// There are other than as many values as the shape says.
        pub fn $make(name: &str, shape: &[u64], values: &[$type]) -> Result<Tensor, TensorError> {
            check_length(name, shape, values.len())?;
            let data = values.iter().map(|value| value.to_le_bytes()).collect::<Vec<_>>().into_flattened();
            Ok(Tensor { name: name.to_owned(), datatype: Datatype::$datatype, shape: shape.to_vec(), data })
        }

        #[doc = concat!("The elements, which are ", $what, ".")]
        ///
        /// # Errors
        ///
        /// They are of another type, or other than as many as the shape says.
        pub fn $read(&self) -> Result<Vec<$type>, TensorError> {
            const SIZE: usize = size_of::<$type>();
            self.check(Datatype::$datatype, SIZE)?;
            let (values, _) = self.data.as_chunks::<SIZE>();
            Ok(values.iter().map(|bytes| <$type>::from_le_bytes(*bytes)).collect())
        }
    };
}

// === impl Tensor ===

impl Tensor {
    elements!(fp32, to_fp32, f32, Fp32, "32-bit floating-point numbers");
    elements!(int32, to_int32, i32, Int32, "signed 32-bit integers");
    elements!(int64, to_int64, i64, Int64, "signed 64-bit integers");
    elements!(uint8, to_uint8, u8, Uint8, "unsigned 8-bit integers");

    fn check(&self, wanted: Datatype, size: usize) -> Result<(), TensorError> {
        if self.datatype != wanted {
            return Err(TensorError::Datatype { name: self.name.clone(), wanted, found: self.datatype });
        }
        if !self.data.len().is_multiple_of(size) {
            let (name, shape) = (self.name.clone(), self.shape.clone());
            return Err(TensorError::Length { name, shape, elements: self.data.len() / size });
        }
        check_length(&self.name, &self.shape, self.data.len() / size)
    }
}

fn check_length(name: &str, shape: &[u64], elements: usize) -> Result<(), TensorError> {
    let wanted = shape.iter().try_fold(1_u64, |product, &extent| product.checked_mul(extent));
    if wanted == Some(elements as u64) {
        Ok(())
    } else {
        Err(TensorError::Length { name: name.to_owned(), shape: shape.to_vec(), elements })
    }
}

// === impl Datatype ===

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Datatype::Bool => "BOOL",
            Datatype::Uint8 => "UINT8",
            Datatype::Uint16 => "UINT16",
            Datatype::Uint32 => "UINT32",
            Datatype::Uint64 => "UINT64",
            Datatype::Int8 => "INT8",
            Datatype::Int16 => "INT16",
            Datatype::Int32 => "INT32",
            Datatype::Int64 => "INT64",
            Datatype::Fp16 => "FP16",
            Datatype::Fp32 => "FP32",
            Datatype::Fp64 => "FP64",
            Datatype::Bytes => "BYTES",
        })
    }
}

// === impl TensorError ===

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TensorError::Length { name, shape, elements } => {
                write!(f, "tensor {name:?} has {elements} elements, which do not fit its shape {shape:?}")
            }
            TensorError::Datatype { name, wanted, found } => {
                write!(f, "tensor {name:?} is {found}, not {wanted}")
            }
        }
    }
}

impl std::error::Error for TensorError {}

impl From<TensorError> for Problem {
    fn from(error: TensorError) -> Self {
        Problem::internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back() {
        let tensor = Tensor::fp32("x", &[2, 2], &[1.5, -0.0, f32::INFINITY, 3e-40]).unwrap();
        assert_eq!(tensor.data.len(), 16);
        assert_eq!(tensor.to_fp32().unwrap(), [1.5, -0.0, f32::INFINITY, 3e-40]);
        let tensor = Tensor::int64("x", &[1], &[i64::MIN]).unwrap();
        assert_eq!(tensor.to_int64().unwrap(), [i64::MIN]);
    }

    #[test]
    fn shape_and_elements_have_to_agree() {
        assert!(Tensor::fp32("x", &[2, 2], &[1.0]).is_err());
        assert!(Tensor::fp32("x", &[u64::MAX, 2], &[]).is_err());
        assert_eq!(Tensor::fp32("x", &[0, 7], &[]).unwrap().to_fp32().unwrap(), [0.0; 0]);
        let mut tensor = Tensor::int32("x", &[1], &[7]).unwrap();
        tensor.data.pop();
        let error = tensor.to_int32().unwrap_err();
        assert_eq!(error.to_string(), r#"tensor "x" has 0 elements, which do not fit its shape [1]"#);
    }

    #[test]
    fn the_datatype_has_to_be_the_right_one() {
        let tensor = Tensor::int32("x", &[1], &[7]).unwrap();
        assert_eq!(tensor.to_fp32().unwrap_err().to_string(), r#"tensor "x" is INT32, not FP32"#);
    }
}
