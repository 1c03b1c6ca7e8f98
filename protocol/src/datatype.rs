//! The protocol's datatypes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The datatype of a tensor's elements, as the protocol names it.
///
/// Source: KServe's Open Inference Protocol v2, "Tensor Data Types".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Datatype {
    /// `BOOL`: one byte, 0 or 1.
    Bool,
    /// `UINT8`: one byte.
    Uint8,
    /// `UINT16`: two bytes.
    Uint16,
    /// `UINT32`: four bytes.
    Uint32,
    /// `UINT64`: eight bytes.
    Uint64,
    /// `INT8`: one byte.
    Int8,
    /// `INT16`: two bytes.
    Int16,
    /// `INT32`: four bytes.
    Int32,
    /// `INT64`: eight bytes.
    Int64,
    /// `FP16`: IEEE 754 binary16, two bytes.
    Fp16,
    /// `FP32`: IEEE 754 binary32, four bytes.
    Fp32,
    /// `FP64`: IEEE 754 binary64, eight bytes.
    Fp64,
    /// `BYTES`: strings of bytes, each of its own length.
    Bytes,
}

/// The name of a datatype that the protocol does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDatatype(pub String);

// === impl Datatype ===

impl Datatype {
    /// Every datatype, in the order of the specification.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The protocol's name, such as `FP32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// The size of one element in bytes, or `None` for [`Datatype::Bytes`], whose elements vary.
    #[must_use]
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Datatype {
    type Err = UnknownDatatype;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == name).ok_or_else(|| UnknownDatatype(name.to_owned()))
    }
}

impl Serialize for Datatype {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Datatype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

// === impl UnknownDatatype ===

impl fmt::Display for UnknownDatatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown datatype `{}`, expected one of ", self.0)?;
        for (position, datatype) in Datatype::ALL.into_iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            f.write_str(datatype.name())?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownDatatype {}

#[cfg(test)]
mod tests;
