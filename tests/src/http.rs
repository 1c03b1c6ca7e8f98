//! HTTP as clients talk it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Method, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// No request of any test takes as long, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// A reply, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it came.
    pub body: Bytes,
    /// The version of HTTP.
    pub version: Version,
}

/// A connection, opened when it is first needed and again when the server has closed it.
pub struct Client {
    address: SocketAddr,
    runtime: Runtime,
    connection: Connection,
}

enum Connection {
    Http1(Option<http1::SendRequest<Full<Bytes>>>),
    Http2(Option<http2::SendRequest<Full<Bytes>>>),
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

// === impl Request ===

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Request {
        Request { method: method.parse().unwrap(), path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(path: &str) -> Request {
        Request::new("GET", path)
    }

    /// A `POST` of JSON.
    #[must_use]
    pub fn post_json(path: &str, json: &Value) -> Request {
        Request::post(path, json.to_string()).header("content-type", "application/json")
    }

    /// A `POST` of anything.
    #[must_use]
    pub fn post(path: &str, body: impl Into<Bytes>) -> Request {
        Request { body: body.into(), ..Request::new("POST", path) }
    }

    /// The same with another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Request {
        self.method = method.parse().unwrap();
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with what `coding` makes of the body, and the header that says so.
    #[must_use]
    pub fn coded(mut self, name: &str, coding: impl FnOnce(&[u8]) -> Vec<u8>) -> Request {
        self.body = coding(&self.body).into();
        self.header("content-encoding", name)
    }

    fn build(&self, uri: Uri) -> hyper::Request<Full<Bytes>> {
        let mut request = hyper::Request::builder().method(&self.method).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone())).unwrap()
    }
}

// === impl Reply ===

impl Reply {
    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{}: not JSON ({error}): {:?}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The message of a refusal, which must be `{"error": …}` and nothing else.
    #[track_caller]
    pub fn error(&self) -> String {
        assert!(self.status >= 400, "{}: {:?}", self.status, self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        let Value::Object(members) = self.json() else { panic!("{:?} is no object", self.body) };
        assert_eq!(members.keys().collect::<Vec<_>>(), ["error"]);
        members["error"].as_str().unwrap().to_owned()
    }
}

// === impl Client ===

impl Client {
    /// Talks HTTP/1.1, on a connection that is kept.
    #[must_use]
    pub fn http1(address: SocketAddr) -> Client {
        Client::new(address, Connection::Http1(None))
    }

    /// Talks HTTP/2 without TLS and without asking whether the server can.
    #[must_use]
    pub fn http2(address: SocketAddr) -> Client {
        Client::new(address, Connection::Http2(None))
    }

    fn new(address: SocketAddr, connection: Connection) -> Client {
        // A thread of its own, on which connections go on while nobody sends anything.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Client { address, runtime, connection }
    }

    /// Sends a request, and reads its reply to the end.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Reply {
        match self.try_send(request) {
            Ok(reply) => reply,
            Err(error) => panic!("{} {}: {error}", request.method, request.path),
        }
    }

    /// Sends a request, and reads its reply to the end; the error is that of the connection.
    pub fn try_send(&mut self, request: &Request) -> Result<Reply, Failure> {
        let Client { address, runtime, connection } = self;
        runtime.block_on(async {
            timeout(PATIENCE, exchange(*address, connection, request)).await.map_err(|_| "no reply")?
        })
    }

    /// Sends requests at the same time on one connection, which only HTTP/2 can, and reads their replies.
    pub fn send_together(&mut self, requests: &[Request]) -> Vec<Reply> {
        let Client { address, runtime, connection } = self;
        let Connection::Http2(sender) = connection else { panic!("HTTP/1.1 has one request at a time") };
        runtime.block_on(async {
            let sender = http2_sender(*address, sender).await.unwrap();
            let exchanges: Vec<_> = requests
                .iter()
                .map(|request| {
                    let (address, request) = (*address, request.clone());
                    let mut connection = Connection::Http2(Some(sender.clone()));
                    tokio::spawn(async move { exchange(address, &mut connection, &request).await })
                })
                .collect();
            let mut replies = Vec::new();
            for exchange in exchanges {
                replies.push(timeout(PATIENCE, exchange).await.unwrap().unwrap().unwrap());
            }
            replies
        })
    }
}

/// The connection, opened if that is needed.
async fn http2_sender(
    address: SocketAddr,
    sender: &mut Option<http2::SendRequest<Full<Bytes>>>,
) -> Result<http2::SendRequest<Full<Bytes>>, Failure> {
    if let Some(sender) = sender.as_ref().filter(|sender| !sender.is_closed()) {
        return Ok(sender.clone());
    }
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (fresh, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    *sender = Some(fresh.clone());
    Ok(fresh)
}

async fn exchange(address: SocketAddr, connection: &mut Connection, request: &Request) -> Result<Reply, Failure> {
    let response = match connection {
        Connection::Http1(sender) => {
            if sender.as_ref().is_none_or(http1::SendRequest::is_closed) {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (fresh, driver) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                *sender = Some(fresh);
            }
            let sender = sender.as_mut().unwrap();
            sender.ready().await?;
            let request = request.clone().header("host", &address.to_string());
            sender.send_request(request.build(request.path.parse()?)).await?
        }
        Connection::Http2(sender) => {
            let uri = format!("http://{address}{}", request.path).parse()?;
            let mut sender = http2_sender(address, sender).await?;
            sender.ready().await?;
            sender.send_request(request.build(uri)).await?
        }
    };
    let (parts, body) = response.into_parts();
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await?.to_bytes(),
        version: parts.version,
    })
}
