//! How arguments and replies cross between the host and the loader of a guest, before the snapshot.

/// A buffer for the next argument, and the last reply.
#[derive(Debug, Default)]
pub struct Exchange {
    buffer: Vec<u8>,
    reply: Vec<u8>,
}

impl Exchange {
    /// Makes a zeroed buffer of `length` bytes, and tells where it is.
    pub fn buffer(&mut self, length: usize) -> *mut u8 {
        self.buffer = vec![0; length];
        self.buffer.as_mut_ptr()
    }

    /// Takes what the host has put into the buffer.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Keeps the outcome of a call: a reply, or the text of an error. Gives what the call returns: 0 when it went well.
    pub fn answer(&mut self, outcome: Result<Vec<u8>, String>) -> i32 {
        let code = i32::from(outcome.is_err());
        self.reply = outcome.unwrap_or_else(String::into_bytes);
        code
    }

    /// Where the last reply is: its address in the upper half, its length in the lower.
    pub fn reply(&self) -> u64 {
        ((self.reply.as_ptr() as u64) << 32) | self.reply.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_the_buffer_is_taken_once() {
        let mut exchange = Exchange::default();
        assert!(!exchange.buffer(3).is_null());
        assert_eq!(exchange.take(), [0; 3]);
        assert!(exchange.take().is_empty());
    }

    #[test]
    fn an_error_is_a_reply_with_another_code() {
        let mut exchange = Exchange::default();
        assert_eq!(exchange.answer(Ok(b"{}".to_vec())), 0);
        assert_eq!(exchange.reply() & 0xffff_ffff, 2);
        assert_eq!(exchange.answer(Err("no graph".to_owned())), 1);
        assert_eq!(exchange.reply() & 0xffff_ffff, 8);
    }
}
