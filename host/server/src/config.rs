//! How a server is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use samara_protocol::Limits;

/// How a server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Threads that run inferences.
    pub workers: NonZeroUsize,
    /// Inferences that may wait for a worker.
    pub queue: usize,
    /// How long an inference may take, its time in the queue included.
    pub deadline: Duration,
    /// What a request may hold.
    pub request: Limits,
    /// Bytes of a request's line and headers.
    pub max_header_bytes: usize,
    /// How long a client may take to send a request's headers, from when it opened the connection or began the request.
    pub header_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// Whether each worker keeps an instance ready for the next request of the model that it ran last.
    pub keep_instance_ready: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            queue: 256,
            deadline: Duration::from_secs(10),
            request: Limits::default(),
            max_header_bytes: 32 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            keep_instance_ready: true,
        }
    }
}
