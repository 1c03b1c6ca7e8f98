//! A connection on which a test writes what it likes, when it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Far longer than any time-out that a test sets.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection without a client's manners.
pub struct Raw(TcpStream);

impl Raw {
    /// Opens a connection.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Raw(stream)
    }

    /// The same connection once more, to write while it is read elsewhere.
    #[must_use]
    pub fn again(&self) -> Raw {
        Raw(self.0.try_clone().unwrap())
    }

    /// Writes; `false` when the server has closed the connection.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        match self.0.write_all(bytes.as_ref()) {
            Ok(()) => true,
            Err(error) if closed(error.kind()) => false,
            Err(error) => panic!("cannot write: {error}"),
        }
    }

    /// Says that nothing more will be written.
    pub fn finish(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Reads a reply that has a `content-length`: its status, its headers in lower case, and its body. `None` where the
    /// server closes the connection without one.
    #[must_use]
    #[track_caller]
    pub fn reply(&mut self) -> Option<(u16, String, String)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(0) if head.is_empty() => return None,
                Ok(0) => panic!("the connection is closed within a reply: {:?}", String::from_utf8_lossy(&head)),
                Ok(_) => head.push(byte[0]),
                Err(error) if closed(error.kind()) && head.is_empty() => return None,
                Err(error) => panic!("no reply: {error}"),
            }
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(0, |value| value.trim().parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Some((status, head, String::from_utf8(body).unwrap()))
    }

    /// Waits until the server closes the connection.
    #[track_caller]
    pub fn wait_until_closed(&mut self) {
        let mut rest = [0; 1024];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if closed(error.kind()) => return,
                Err(error) => panic!("the connection stays open: {error}"),
            }
        }
    }
}

fn closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}
