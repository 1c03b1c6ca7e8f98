//! A connection that is closed before its request was read to the end.
//!
//! If bytes of a request are unread when a socket is closed, the system resets the connection, and the reply that is on
//! its way may never be seen: [RFC 9112, section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6). So what still
//! comes is read and forgotten first, within limits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// How long a client may go on sending what is not wanted.
const LONGEST: Duration = Duration::from_secs(5);

/// A stream that, once it is shut down, takes what its client still sends, if it was told to.
pub struct Lingering {
    stream: TcpStream,
    /// Whether a request was refused that had not been read to its end.
    unread: Arc<AtomicBool>,
    /// How many bytes may still be forgotten.
    bytes_left: u64,
    /// Present once the stream is shut down.
    until: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    /// A stream that forgets at most `bytes` if `unread` is set when it is shut down.
    pub fn new(stream: TcpStream, unread: Arc<AtomicBool>, bytes: u64) -> Lingering {
        Lingering { stream, unread, bytes_left: bytes, until: None }
    }

    /// Reads until the client has closed, or is not waited for any longer.
    fn poll_forget(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(LONGEST)));
        if until.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut space = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            let ended = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)).is_err();
            let read = buffer.filled().len() as u64;
            if ended || read == 0 || read >= self.bytes_left {
                return Poll::Ready(());
            }
            self.bytes_left -= read;
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.until.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.unread.load(Ordering::Relaxed) {
            ready!(self.poll_forget(context));
        }
        Poll::Ready(Ok(()))
    }
}
