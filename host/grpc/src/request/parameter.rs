//! Parameters: an entry of a `map<string, InferParameter>`.

use std::fmt;

use samara_protocol::Error;

use crate::wire::{Fields, Value};

/// `InferParameter`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parameter<'a> {
    None,
    Bool(bool),
    Int64(i64),
    String(&'a str),
    Double(f64),
    Uint64(u64),
}

impl Parameter<'_> {
    /// The integer that it is, if it is one; at most what 64 bits with a sign hold.
    pub fn integer(self) -> Option<i64> {
        match self {
            Parameter::Int64(value) => Some(value),
            Parameter::Uint64(value) => Some(i64::try_from(value).unwrap_or(i64::MAX)),
            _ => None,
        }
    }
}

impl fmt::Display for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parameter::None => f.write_str("empty"),
            Parameter::Bool(value) => write!(f, "{value}"),
            Parameter::Int64(value) => write!(f, "{value}"),
            Parameter::String(_) => f.write_str("a string"),
            Parameter::Double(value) => write!(f, "{value}"),
            Parameter::Uint64(value) => write!(f, "{value}"),
        }
    }
}

/// The name and the value of an entry.
pub fn read(entry: &[u8]) -> Result<(&str, Parameter<'_>), Error> {
    let (mut name, mut parameter) = ("", Parameter::None);
    let mut fields = Fields::new(entry);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.string("a parameter's name")?,
            2 => parameter = choice(value.bytes("a parameter's value")?)?,
            _ => {}
        }
    }
    Ok((name, parameter))
}

/// The last field is the one that counts.
fn choice(message: &[u8]) -> Result<Parameter<'_>, Error> {
    let mut choice = Parameter::None;
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        choice = match field {
            (1, Value::Varint(value)) => Parameter::Bool(value != 0),
            (2, Value::Varint(value)) => Parameter::Int64(value.cast_signed()),
            (3, value) => Parameter::String(value.string("a parameter's string_param")?),
            (4, Value::Fixed64(value)) => Parameter::Double(f64::from_le_bytes(value)),
            (5, Value::Varint(value)) => Parameter::Uint64(value),
            _ => choice,
        };
    }
    Ok(choice)
}
