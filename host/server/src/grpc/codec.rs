//! Messages as they are on the wire: a request to a model is decoded on a worker's thread, and its reply comes from there.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::pace::Pace;

/// Hands messages through.
pub struct Raw {
    pace: Arc<Pace>,
}

/// A message that is written: a beginning, and what it goes on with.
pub struct Written {
    pub beginning: Vec<u8>,
    pub rest: Vec<u8>,
}

// === impl Raw ===

impl Raw {
    /// Notes where messages end.
    pub fn new(pace: Arc<Pace>) -> Raw {
        Raw { pace }
    }
}

impl Codec for Raw {
    type Encode = Written;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw::new(Arc::clone(&self.pace))
    }

    fn decoder(&mut self) -> Raw {
        Raw::new(Arc::clone(&self.pace))
    }
}

impl Encoder for Raw {
    type Item = Written;
    type Error = Status;

    fn encode(&mut self, message: Written, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.reserve(message.beginning.len() + message.rest.len());
        target.put_slice(&message.beginning);
        target.put_slice(&message.rest);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        self.pace.ended();
        // Of tonic's own buffer, without a copy.
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

// === impl Written ===

impl Written {
    /// A message of prost's.
    pub fn of(message: &impl Message) -> Written {
        Written::from(message.encode_to_vec())
    }
}

impl From<Vec<u8>> for Written {
    fn from(message: Vec<u8>) -> Written {
        Written { beginning: Vec::new(), rest: message }
    }
}
