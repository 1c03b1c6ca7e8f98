//! How a server is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use hyper::header::HeaderName;
use samara_admission::{Batching, LaneLimits};
use samara_protocol::Limits;
use samara_telemetry::TraceConfig;

use crate::{AdminListen, Split, Token};

/// How a server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for gRPC; absent for nowhere.
    pub grpc_listen: Option<SocketAddr>,
    /// Threads that run inferences.
    pub workers: NonZeroUsize,
    /// Inferences that may run at the same time, over all models.
    pub instances: u32,
    /// Requests that may wait for a worker.
    pub queue: usize,
    /// How long a request may wait; absent for as long as its deadline lets it.
    pub queue_deadline: Option<Duration>,
    /// How long an inference may take, its time in the queue included.
    pub deadline: Duration,
    /// How long a model may be idle before it is unmapped; absent for as long as it likes.
    pub idle_ttl: Option<Duration>,
    /// Bytes that models which are mapped may take, before those used least recently are unmapped; absent for no limit.
    pub memory_budget: Option<u64>,
    /// How long nobody has to be served for the server to end; absent for a server that does not.
    pub exit_when_idle: Option<Duration>,
    /// What a request may hold.
    pub request: Limits,
    /// Bytes of a request's line and headers.
    pub max_header_bytes: usize,
    /// How long a client may take to send a request's headers, from when it opened the connection or began the request.
    pub header_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// How often the repository's paths are looked at for what has changed; absent for never.
    pub repository_poll: Option<Duration>,
    /// Where models are loaded, unloaded and split; absent for nowhere.
    pub admin_listen: Option<AdminListen>,
    /// What whoever does so has to know; absent for nothing.
    pub admin_token: Option<Token>,
    /// Where metrics are told; absent for `/metrics` where all else is served.
    pub metrics_listen: Option<SocketAddr>,
    /// Where traces go; absent for none.
    pub traces: Option<TraceConfig>,
    /// Whether each request to a model or function is logged.
    pub log_requests: bool,
}

/// What holds for one model or function alone, where it is not to be what holds for the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// How long a request may take, its time in the queue included.
    pub deadline: Option<Duration>,
    /// Its part of the workers' time while others want some: twice that of one with half the weight; absent for 1.
    pub weight: Option<NonZeroU32>,
    /// Requests that run at the same time; absent for as many as there are workers, or contexts of the graph that the host runs.
    pub concurrency: Option<NonZeroUsize>,
    /// Requests that wait; absent for as many as may wait at the server.
    pub queue: Option<usize>,
    /// How long a request may wait.
    pub queue_deadline: Option<Duration>,
    /// How requests that name no version are divided among the model's; absent for all to the newest.
    pub split: Option<Split>,
    /// The header whose value decides which version that is, the same for the same value; absent for turns.
    pub sticky: Option<HeaderName>,
    /// How requests of several clients run together in one instance; absent where each has one of its own. Not for functions.
    pub batching: Option<Batching>,
    /// Whether batches are filled up to their largest size with copies of an item; absent for where a GPU runs the model.
    pub pad_batches: Option<bool>,
    /// How long it may be idle before it is unmapped. Functions stay mapped.
    pub idle_ttl: Option<Duration>,
}

impl Terms {
    /// What its requests are held to when they come.
    pub(crate) fn lane(&self, config: &Config) -> LaneLimits {
        LaneLimits {
            weight: self.weight.unwrap_or(NonZeroU32::MIN),
            concurrency: self.concurrency,
            queue: self.queue,
            queue_deadline: self.queue_deadline.or(config.queue_deadline),
            batching: self.batching,
        }
    }
}

impl Config {
    /// Instances that the runtime must have room for: beside those that run, each worker may have one that is being reset
    /// after its reply has been sent, and one that is ready for the next request; and one is made of a model that is new.
    pub fn instance_slots(&self) -> u32 {
        let workers = u32::try_from(self.workers.get()).unwrap_or(u32::MAX);
        self.instances.saturating_add(workers.saturating_mul(2)).saturating_add(1)
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            grpc_listen: None,
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            instances: 64,
            queue: 256,
            queue_deadline: None,
            deadline: Duration::from_secs(10),
            idle_ttl: None,
            memory_budget: None,
            exit_when_idle: None,
            request: Limits::default(),
            max_header_bytes: 32 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            repository_poll: Some(Duration::from_secs(1)),
            admin_listen: None,
            admin_token: None,
            metrics_listen: None,
            traces: None,
            log_requests: false,
        }
    }
}
