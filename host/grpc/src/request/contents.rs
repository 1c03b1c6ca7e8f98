//! Typed contents: an `InferTensorContents`, made into a tensor's bytes.

use std::borrow::Cow;

use samara_protocol::{Datatype, Elements, Error, InvalidElements, push_bytes_element};

use crate::wire::{Fields, Value, Varints};

/// The contents of an input, if it has some.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contents<'a>(pub Option<&'a [u8]>);

/// The fields of `InferTensorContents`, by their numbers.
const FIELDS: [&str; 8] = [
    "bool_contents",
    "int_contents",
    "int64_contents",
    "uint_contents",
    "uint64_contents",
    "fp32_contents",
    "fp64_contents",
    "bytes_contents",
];

/// A tensor's bytes, as they are made.
struct Made {
    datatype: Datatype,
    count: u64,
    elements: u64,
    data: Vec<u8>,
}

impl<'a> Elements<'a> for Contents<'a> {
    fn read(&self, datatype: Datatype, count: u64) -> Result<Cow<'a, [u8]>, InvalidElements> {
        let Contents(Some(message)) = *self else {
            return match count {
                // There is nothing to be said of no elements.
                0 => Ok(Cow::Borrowed(&[])),
                _ => Err(other("no data, expected `contents`, or raw_input_contents")),
            };
        };
        let expected = field(datatype)
            .ok_or_else(|| other(format!("`contents` has no field for {datatype}, expected raw_input_contents")))?;
        let mut made = Made::new(datatype, count, message);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next().map_err(other)? {
            if number == expected {
                made.take(value)?;
            } else if let Some(name) = name(number) {
                let expected = name_of(expected);
                return Err(other(format!("its contents are in {name}, expected {expected} for {datatype}")));
            }
        }
        if made.elements < count { Err(InvalidElements::TooFew(made.elements)) } else { Ok(Cow::Owned(made.data)) }
    }
}

/// The field for a datatype.
const fn field(datatype: Datatype) -> Option<u32> {
    match datatype {
        Datatype::Bool => Some(1),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => Some(2),
        Datatype::Int64 => Some(3),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => Some(4),
        Datatype::Uint64 => Some(5),
        Datatype::Fp32 => Some(6),
        Datatype::Fp64 => Some(7),
        Datatype::Bytes => Some(8),
        Datatype::Fp16 => None,
    }
}

fn name(field: u32) -> Option<&'static str> {
    FIELDS.get(usize::try_from(field.checked_sub(1)?).ok()?).copied()
}

fn name_of(field: u32) -> &'static str {
    name(field).unwrap_or_default()
}

fn other(why: impl ToString) -> InvalidElements {
    InvalidElements::Other(why.to_string())
}

// === impl Made ===

impl Made {
    /// Takes no more memory than the contents can fill.
    fn new(datatype: Datatype, count: u64, message: &[u8]) -> Made {
        let most = usize::try_from(count).map_or(message.len(), |count| count.min(message.len()));
        let bytes = datatype.size().map_or(message.len(), |size| most.saturating_mul(size));
        Made { datatype, count, elements: 0, data: Vec::with_capacity(bytes) }
    }

    /// Takes one field: an element, or several that are packed.
    fn take(&mut self, value: Value<'_>) -> Result<(), InvalidElements> {
        match (self.datatype, value) {
            (Datatype::Bytes, Value::Bytes(element)) => {
                self.count(1)?;
                push_bytes_element(&mut self.data, element);
            }
            (Datatype::Fp32, Value::Fixed32(element)) => self.floats::<4>(&element)?,
            (Datatype::Fp32, Value::Bytes(packed)) => self.floats::<4>(packed)?,
            (Datatype::Fp64, Value::Fixed64(element)) => self.floats::<8>(&element)?,
            (Datatype::Fp64, Value::Bytes(packed)) => self.floats::<8>(packed)?,
            (Datatype::Fp32 | Datatype::Fp64 | Datatype::Bytes, _) => return Err(self.mistyped()),
            (_, Value::Varint(element)) => self.integer(element)?,
            (_, Value::Bytes(packed)) => {
                for element in Varints(packed) {
                    self.integer(element.map_err(|error: Error| other(error))?)?;
                }
            }
            _ => return Err(self.mistyped()),
        }
        Ok(())
    }

    fn count(&mut self, elements: u64) -> Result<(), InvalidElements> {
        self.elements += elements;
        if self.elements > self.count { Err(InvalidElements::TooMany) } else { Ok(()) }
    }

    /// They are on the wire as they are in a tensor.
    fn floats<const N: usize>(&mut self, packed: &[u8]) -> Result<(), InvalidElements> {
        if !packed.len().is_multiple_of(N) {
            return Err(self.mistyped());
        }
        self.count((packed.len() / N) as u64)?;
        self.data.extend_from_slice(packed);
        Ok(())
    }

    /// Those that `int_contents` and `uint_contents` hold have 32 bits, whatever the wire has more.
    fn integer(&mut self, value: u64) -> Result<(), InvalidElements> {
        self.count(1)?;
        let (signed, unsigned) = (value as i32, value as u32);
        let data = &mut self.data;
        let fits = match self.datatype {
            Datatype::Bool => push(data, Some([u8::from(value != 0)])),
            Datatype::Int8 => push(data, i8::try_from(signed).ok().map(i8::to_le_bytes)),
            Datatype::Int16 => push(data, i16::try_from(signed).ok().map(i16::to_le_bytes)),
            Datatype::Int32 => push(data, Some(signed.to_le_bytes())),
            Datatype::Uint8 => push(data, u8::try_from(unsigned).ok().map(u8::to_le_bytes)),
            Datatype::Uint16 => push(data, u16::try_from(unsigned).ok().map(u16::to_le_bytes)),
            Datatype::Uint32 => push(data, Some(unsigned.to_le_bytes())),
            Datatype::Int64 | Datatype::Uint64 => push(data, Some(value.to_le_bytes())),
            Datatype::Fp16 | Datatype::Fp32 | Datatype::Fp64 | Datatype::Bytes => return Err(self.mistyped()),
        };
        if fits {
            return Ok(());
        }
        let (index, datatype) = (self.elements - 1, self.datatype);
        let number =
            if matches!(datatype, Datatype::Int8 | Datatype::Int16) { i64::from(signed) } else { unsigned.into() };
        Err(other(format!("element {index} of its contents is {number}, which is no {datatype}")))
    }

    fn mistyped(&self) -> InvalidElements {
        let field = field(self.datatype).map_or("`contents`", name_of);
        other(format!("{field} holds no elements of {}", self.datatype))
    }
}

fn push<const N: usize>(data: &mut Vec<u8>, bytes: Option<[u8; N]>) -> bool {
    bytes.is_some_and(|bytes| {
        data.extend_from_slice(&bytes);
        true
    })
}
