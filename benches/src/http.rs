//! As much of HTTP/1.1 as a measurement needs: a connection, requests that were written before, whole replies.
//!
//! It measures single requests. What measures throughput is `wrk`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A request, with its head written out.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    body_at: usize,
    header_length: Option<usize>,
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its `Inference-Header-Content-Length`.
    pub header_length: Option<usize>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A connection that stays open.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

// === impl Request ===

impl Request {
    /// A `GET`.
    pub fn get(path: &str) -> Request {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        Request { body_at: bytes.len(), bytes, header_length: None }
    }

    /// A `POST`, with JSON of so many bytes before binary data, or with JSON alone.
    pub fn post(path: &str, body: Vec<u8>, header_length: Option<usize>) -> Request {
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        if let Some(length) = header_length {
            head.push_str(&format!("Inference-Header-Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        let body_at = bytes.len();
        bytes.extend(body);
        Request { bytes, body_at, header_length }
    }

    /// All of it, as it is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its body alone.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }

    /// Its `Inference-Header-Content-Length`.
    pub fn header_length(&self) -> Option<usize> {
        self.header_length
    }
}

// === impl Connection ===

impl Connection {
    /// Opens a connection.
    pub fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Connection { stream, read: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and reads the reply to its end.
    pub fn send(&mut self, request: &Request) -> Result<Reply> {
        let head = self.exchange(request)?;
        Ok(Reply { status: head.status, header_length: head.header_length, body: self.read[head.bytes..].to_vec() })
    }

    /// As [`Connection::send`] with how long it took, for replies of which only the status is looked at: that of a large one is not
    /// copied.
    pub fn time_status(&mut self, request: &Request) -> Result<(u16, Duration)> {
        let start = Instant::now();
        let status = self.exchange(request)?.status;
        Ok((status, start.elapsed()))
    }

    /// Sends a request and reads the reply to its end.
    fn exchange(&mut self, request: &Request) -> Result<Head> {
        self.stream.write_all(&request.bytes)?;
        self.read.clear();
        loop {
            let mut chunk = [0; 16 << 10];
            let count = match self.stream.read(&mut chunk) {
                // A process that was stopped and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            if count == 0 {
                bail!("the server closed the connection");
            }
            self.read.extend_from_slice(&chunk[..count]);
            if let Some(head) = Head::parse(&self.read)? {
                self.finish(&head)?;
                return Ok(head);
            }
        }
    }

    /// As [`Connection::send`], and how long it took.
    pub fn time(&mut self, request: &Request) -> Result<(Reply, Duration)> {
        let start = Instant::now();
        let reply = self.send(request)?;
        Ok((reply, start.elapsed()))
    }

    /// Reads the rest of a reply whose head is there.
    fn finish(&mut self, head: &Head) -> Result<()> {
        let there = self.read.len();
        let end = head.bytes + head.content_length;
        if there > end {
            bail!("bytes follow the reply");
        }
        let rest = end - there;
        self.read.reserve(rest);
        // Where nothing has been written before: what is measured is not how long this program takes to zero its memory.
        let read = (&self.stream).take(rest as u64).read_to_end(&mut self.read)?;
        if read < rest {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

struct Head {
    bytes: usize,
    status: u16,
    content_length: usize,
    header_length: Option<usize>,
}

impl Head {
    /// The head of a reply, once it is there.
    fn parse(bytes: &[u8]) -> Result<Option<Head>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
        let header = |name: &str| -> Result<Option<usize>> {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| anyhow::Ok(std::str::from_utf8(header.value)?.parse()?)).transpose()
        };
        Ok(Some(Head {
            bytes: length,
            status: response.code.context("a reply without a status")?,
            content_length: header("content-length")?.context("a reply without content-length")?,
            header_length: header("inference-header-content-length")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_reply_may_come_in_pieces() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut request = [0; 1024];
            let count = stream.read(&mut request).expect("read");
            for piece in ["HTTP/1.1 200 OK\r\nContent-", "Length: 5\r\n\r\nhe", "llo"] {
                stream.write_all(piece.as_bytes()).expect("write");
                thread::sleep(Duration::from_millis(5));
            }
            request[..count].to_vec()
        });
        let request = Request::post("/p", b"body".to_vec(), Some(2));
        let reply = Connection::open(address).and_then(|mut connection| connection.send(&request)).expect("a reply");
        assert_eq!((reply.status, &reply.body[..]), (200, &b"hello"[..]));
        let sent = String::from_utf8(server.join().expect("the server")).expect("text");
        assert!(sent.starts_with("POST /p HTTP/1.1\r\n") && sent.ends_with("\r\n\r\nbody"), "{sent}");
        assert!(sent.contains("Inference-Header-Content-Length: 2\r\n"), "{sent}");
    }
}
