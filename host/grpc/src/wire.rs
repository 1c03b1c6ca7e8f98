//! The fields of a protobuf message, where they lie.
//!
//! Derived messages copy what they read, and make a hundred bytes of two on the wire. A request is read before anything is
//! known of it, so it is read in place: [`Fields`] gives a message's fields one after another, by prost's own primitives, and
//! keeps nothing.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>

use std::fmt;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use samara_protocol::Error;

/// The fields of a message.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, or a `bool`.
    Varint(u64),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// Four bytes.
    Fixed32([u8; 4]),
    /// A string, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// Integers, one packed behind the other.
#[derive(Clone, Debug)]
pub struct Varints<'a>(pub &'a [u8]);

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The fields of this message.
    pub fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// The next field: its number and its value. After an error there is no more.
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Error> {
        while !self.rest.is_empty() {
            let (number, wire_type) = decode_key(&mut self.rest).map_err(malformed)?;
            let value = match wire_type {
                WireType::Varint => Some(Value::Varint(decode_varint(&mut self.rest).map_err(malformed)?)),
                WireType::LengthDelimited => self.bytes()?.map(Value::Bytes),
                WireType::SixtyFourBit => self.chunk().map(Value::Fixed64),
                WireType::ThirtyTwoBit => self.chunk().map(Value::Fixed32),
                // Groups are history, and none of the protocol's messages has one.
                WireType::StartGroup | WireType::EndGroup => {
                    let context = DecodeContext::default();
                    skip_field(wire_type, number, &mut self.rest, context).map_err(malformed)?;
                    continue;
                }
            };
            return value.map(|value| Some((number, value))).ok_or_else(|| malformed("it ends within a field"));
        }
        Ok(None)
    }

    fn bytes(&mut self) -> Result<Option<&'a [u8]>, Error> {
        let length = decode_varint(&mut self.rest).map_err(malformed)?;
        let split = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        Ok(split.map(|(bytes, rest)| {
            self.rest = rest;
            bytes
        }))
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*chunk)
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    /// A message, or bytes.
    pub fn bytes(self, what: &str) -> Result<&'a [u8], Error> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(malformed(format_args!("{what} is a number"))),
        }
    }

    /// A string.
    pub fn string(self, what: &str) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| malformed(format_args!("{what} is not UTF-8")))
    }
}

// === impl Varints ===

impl Iterator for Varints<'_> {
    type Item = Result<u64, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let value = decode_varint(&mut self.0).map_err(malformed);
        if value.is_err() {
            self.0 = &[];
        }
        Some(value)
    }
}

/// What a client is told whose message is none.
pub fn malformed(why: impl fmt::Display) -> Error {
    Error::BadRequest(format!("the message is no ModelInferRequest: {why}"))
}
