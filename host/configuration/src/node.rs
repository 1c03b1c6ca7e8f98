//! What holds for the node as a whole.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use samara_server::AdminListen;
use serde::Deserialize;

use crate::{Bounded, Ratio};

/// A time in milliseconds, of a day at most.
pub type Milliseconds = Bounded<1, 86_400_000>;

/// What may be said of the node: in the section `[node]` of a file, where a key has the option's name with underscores; in
/// the environment; and on the command line.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSettings {
    /// Components of models, and directories of them [default: the current directory, unless there are functions].
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How often these are looked at for models that are new, other or gone, in milliseconds; 0 for never [default: 1000].
    #[arg(long, env = "SAMARA_REPOSITORY_POLL_MS", hide_env_values = true, value_name = "MS")]
    pub repository_poll_ms: Option<Bounded<0, 86_400_000>>,
    /// Where admin calls are taken, which load, unload and split models: an address and port, or unix: and the path of a socket
    /// [default: nowhere].
    #[arg(long, env = "SAMARA_ADMIN_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub admin_listen: Option<AdminListen>,
    /// The file with the token that admin calls need, as Authorization: Bearer TOKEN [default: they need none, unless other
    /// machines could make them].
    #[arg(long, env = "SAMARA_ADMIN_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// The address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, env = "SAMARA_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The address and port to listen on for gRPC [default: no gRPC].
    #[arg(long, env = "SAMARA_GRPC_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub grpc_listen: Option<SocketAddr>,
    /// Threads that run inferences, and so how many run at the same time [default: one for each core].
    #[arg(long, env = "SAMARA_WORKERS", hide_env_values = true, value_name = "N")]
    pub workers: Option<Bounded<1, 1024>>,
    /// Requests that may wait for a worker, over all models and functions, before others are refused [default: 256].
    #[arg(long, env = "SAMARA_QUEUE", hide_env_values = true, value_name = "N")]
    pub queue: Option<Bounded<1, 1_000_000>>,
    /// How long a request may wait for a worker, in milliseconds; one that would wait for longer is refused at once [default: as
    /// long as its deadline lets it].
    #[arg(long, env = "SAMARA_QUEUE_DEADLINE_MS", hide_env_values = true, value_name = "MS")]
    pub queue_deadline_ms: Option<Milliseconds>,
    /// How long a request may take, from when its body is there, in milliseconds [default: 10000].
    #[arg(long, env = "SAMARA_DEADLINE_MS", hide_env_values = true, value_name = "MS")]
    pub deadline_ms: Option<Milliseconds>,
    /// The most instances at the same time [default: 64].
    #[arg(long, env = "SAMARA_INSTANCES", hide_env_values = true, value_name = "N")]
    pub instances: Option<Bounded<1, 1000>>,
    /// The most memory that an instance may have, in MiB [default: 1024].
    #[arg(long, env = "SAMARA_MEMORY_MIB", hide_env_values = true, value_name = "MIB")]
    pub memory_mib: Option<Bounded<1, 4096>>,
    /// Unmap a model that nobody has asked for so long, in milliseconds: its next request maps it again. Models are then mapped
    /// when they are first asked for [default: never].
    #[arg(long, env = "SAMARA_IDLE_TTL_MS", hide_env_values = true, value_name = "MS")]
    pub idle_ttl_ms: Option<Milliseconds>,
    /// The most memory that machine code and weights of all models may take that are mapped, in MiB: above it, the model that was
    /// used least recently is unmapped [default: no limit].
    #[arg(long, env = "SAMARA_MEMORY_BUDGET_MIB", hide_env_values = true, value_name = "MIB")]
    pub memory_budget_mib: Option<Bounded<1, 16_777_216>>,
    /// End the process when nobody has been served for so long, in milliseconds: for socket activation, which starts it again
    /// when somebody connects [default: never].
    #[arg(long, env = "SAMARA_EXIT_WHEN_IDLE_MS", hide_env_values = true, value_name = "MS")]
    pub exit_when_idle_ms: Option<Milliseconds>,
    /// The largest body of a request, or message over gRPC, in MiB [default: 64].
    #[arg(long, env = "SAMARA_MAX_BODY_MIB", hide_env_values = true, value_name = "MIB")]
    pub max_body_mib: Option<Bounded<1, 4096>>,
    /// The most elements that one tensor of a request may have [default: 16777216].
    #[arg(long, env = "SAMARA_MAX_ELEMENTS", hide_env_values = true, value_name = "N")]
    pub max_elements: Option<Bounded<1, 4_294_967_296>>,
    /// The largest request line with its headers, in KiB [default: 32].
    #[arg(long, env = "SAMARA_MAX_HEADER_KIB", hide_env_values = true, value_name = "KIB")]
    pub max_header_kib: Option<Bounded<8, 65_536>>,
    /// How long a client may take to send its headers, in milliseconds [default: 10000].
    #[arg(long, env = "SAMARA_HEADER_TIMEOUT_MS", hide_env_values = true, value_name = "MS")]
    pub header_timeout_ms: Option<Milliseconds>,
    /// How long a client may take to send its body, in milliseconds [default: 30000].
    #[arg(long, env = "SAMARA_BODY_TIMEOUT_MS", hide_env_values = true, value_name = "MS")]
    pub body_timeout_ms: Option<Milliseconds>,
    /// The directory for machine code [default: $SAMARA_CACHE_DIR, or samara in the user's cache directory].
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub cache_dir: Option<PathBuf>,
    /// The most machine code that is kept, in MiB: when some is made and there is more, that goes which was loaded least
    /// recently [default: 8192].
    #[arg(long, env = "SAMARA_CACHE_BUDGET_MIB", hide_env_values = true, value_name = "MIB")]
    pub cache_budget_mib: Option<Bounded<1, 16_777_216>>,
    /// Keep no machine code: compile it every time.
    #[arg(
        long,
        env = "SAMARA_NO_CACHE",
        hide_env_values = true,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub no_cache: Option<bool>,
    /// ONNX Runtime's library, for backend=onnxruntime [default: $ORT_DYLIB_PATH, or that of the Python package onnxruntime
    /// in $VIRTUAL_ENV or ./.venv].
    #[arg(long, env = "SAMARA_ORT_DYLIB", hide_env_values = true, value_name = "libonnxruntime.so")]
    pub ort_dylib: Option<PathBuf>,
    /// Let guests bring graphs of their own, by `load` of wasi:nn. They run on tract.
    #[arg(
        long,
        env = "SAMARA_NN_LOAD",
        hide_env_values = true,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub nn_load: Option<bool>,
    /// What to log: a level, or levels by module, as in samara_server=debug,info [default: info].
    #[arg(long, env = "SAMARA_LOG", hide_env_values = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log [default: text].
    #[arg(long, env = "SAMARA_LOG_FORMAT", hide_env_values = true, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Log each request to a model or function, with its id.
    #[arg(
        long,
        env = "SAMARA_LOG_REQUESTS",
        hide_env_values = true,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub log_requests: Option<bool>,
    /// Another address and port for /metrics, which Prometheus reads [default: where all else is served].
    #[arg(long, env = "SAMARA_METRICS_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// The collector that traces go to, by OTLP over HTTP, as in http://localhost:4318 [default: no traces].
    #[arg(long, env = "SAMARA_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// The part of requests that are traced, from 0 to 1, of those that come without a trace of their own [default: 1].
    #[arg(long, env = "SAMARA_TRACE_RATIO", hide_env_values = true, value_name = "PART")]
    pub trace_ratio: Option<Ratio>,
}

/// What holds for the node, each thing said or at its default.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// Components of models, and directories of them; none for the default.
    pub paths: Vec<PathBuf>,
    /// How often the paths are looked at; absent for never.
    pub repository_poll: Option<Duration>,
    /// Where admin calls are taken.
    pub admin_listen: Option<AdminListen>,
    /// The file with the token that they need.
    pub admin_token_file: Option<PathBuf>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to listen for gRPC, if anywhere.
    pub grpc_listen: Option<SocketAddr>,
    /// Threads that run inferences.
    pub workers: NonZeroUsize,
    /// Requests that may wait.
    pub queue: usize,
    /// How long a request may wait.
    pub queue_deadline: Option<Duration>,
    /// How long a request may take.
    pub deadline: Duration,
    /// Instances at the same time.
    pub instances: u32,
    /// Bytes of memory of an instance.
    pub memory_bytes: usize,
    /// How long a model may be idle before it is unmapped.
    pub idle_ttl: Option<Duration>,
    /// Bytes that models which are mapped may take.
    pub memory_budget: Option<u64>,
    /// How long nobody has to be served for the process to end.
    pub exit_when_idle: Option<Duration>,
    /// Bytes of a body.
    pub max_body_bytes: u64,
    /// Elements of a tensor.
    pub max_elements: u64,
    /// Bytes of a request's line and headers.
    pub max_header_bytes: usize,
    /// How long a client may take to send its headers.
    pub header_timeout: Duration,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
    /// Where machine code is kept.
    pub cache: Cache,
    /// Bytes of machine code that are kept, if not as many as everywhere.
    pub cache_budget: Option<u64>,
    /// ONNX Runtime's library, where it is not to be looked for.
    pub ort_dylib: Option<PathBuf>,
    /// Whether guests may bring graphs.
    pub nn_load: bool,
    /// What to log.
    pub log: String,
    /// How to log.
    pub log_format: LogFormat,
    /// Whether each request is logged.
    pub log_requests: bool,
    /// Where metrics are told, if not where all else is served.
    pub metrics_listen: Option<SocketAddr>,
    /// The collector that traces go to.
    pub otlp_endpoint: Option<String>,
    /// The part of requests that are traced.
    pub trace_ratio: f64,
}

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Where machine code is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cache {
    /// In the user's cache directory, or where `$SAMARA_CACHE_DIR` says.
    Default,
    /// In this directory.
    In(PathBuf),
    /// Nowhere.
    None,
}

// === impl NodeSettings ===

impl NodeSettings {
    /// What is said here, and below where nothing is said here.
    #[must_use]
    pub fn over(self, below: NodeSettings) -> NodeSettings {
        NodeSettings {
            paths: if self.paths.is_empty() { below.paths } else { self.paths },
            repository_poll_ms: self.repository_poll_ms.or(below.repository_poll_ms),
            admin_listen: self.admin_listen.or(below.admin_listen),
            admin_token_file: self.admin_token_file.or(below.admin_token_file),
            listen: self.listen.or(below.listen),
            grpc_listen: self.grpc_listen.or(below.grpc_listen),
            workers: self.workers.or(below.workers),
            queue: self.queue.or(below.queue),
            queue_deadline_ms: self.queue_deadline_ms.or(below.queue_deadline_ms),
            deadline_ms: self.deadline_ms.or(below.deadline_ms),
            instances: self.instances.or(below.instances),
            memory_mib: self.memory_mib.or(below.memory_mib),
            idle_ttl_ms: self.idle_ttl_ms.or(below.idle_ttl_ms),
            memory_budget_mib: self.memory_budget_mib.or(below.memory_budget_mib),
            exit_when_idle_ms: self.exit_when_idle_ms.or(below.exit_when_idle_ms),
            max_body_mib: self.max_body_mib.or(below.max_body_mib),
            max_elements: self.max_elements.or(below.max_elements),
            max_header_kib: self.max_header_kib.or(below.max_header_kib),
            header_timeout_ms: self.header_timeout_ms.or(below.header_timeout_ms),
            body_timeout_ms: self.body_timeout_ms.or(below.body_timeout_ms),
            // Who names a directory wants a cache.
            no_cache: self.no_cache.or(if self.cache_dir.is_some() { Some(false) } else { below.no_cache }),
            cache_dir: self.cache_dir.or(below.cache_dir),
            cache_budget_mib: self.cache_budget_mib.or(below.cache_budget_mib),
            ort_dylib: self.ort_dylib.or(below.ort_dylib),
            nn_load: self.nn_load.or(below.nn_load),
            log: self.log.or(below.log),
            log_format: self.log_format.or(below.log_format),
            log_requests: self.log_requests.or(below.log_requests),
            metrics_listen: self.metrics_listen.or(below.metrics_listen),
            otlp_endpoint: self.otlp_endpoint.or(below.otlp_endpoint),
            trace_ratio: self.trace_ratio.or(below.trace_ratio),
        }
    }

    /// The same with paths that are relative to a directory.
    #[must_use]
    pub(crate) fn within(self, directory: &Path) -> NodeSettings {
        NodeSettings {
            paths: self.paths.iter().map(|path| directory.join(path)).collect(),
            admin_listen: self.admin_listen.map(|listen| match listen {
                AdminListen::Unix(path) => AdminListen::Unix(directory.join(path)),
                tcp => tcp,
            }),
            admin_token_file: self.admin_token_file.map(|path| directory.join(path)),
            cache_dir: self.cache_dir.map(|path| directory.join(path)),
            ort_dylib: self.ort_dylib.map(|path| directory.join(path)),
            ..self
        }
    }

    /// Everything, said or at its default.
    #[must_use]
    pub fn resolve(self) -> Node {
        let milliseconds = |setting: Option<Milliseconds>, default: u64| {
            Duration::from_millis(setting.map_or(default, Milliseconds::get))
        };
        let workers = self.workers.and_then(|workers| NonZeroUsize::new(saturating(workers.get())));
        Node {
            paths: self.paths,
            repository_poll: match self.repository_poll_ms.map_or(1000, Bounded::get) {
                0 => None,
                milliseconds => Some(Duration::from_millis(milliseconds)),
            },
            admin_listen: self.admin_listen,
            admin_token_file: self.admin_token_file,
            listen: self.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            grpc_listen: self.grpc_listen,
            workers: workers.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
            queue: saturating(self.queue.map_or(256, Bounded::get)),
            queue_deadline: self.queue_deadline_ms.map(|time| Duration::from_millis(time.get())),
            deadline: milliseconds(self.deadline_ms, 10_000),
            instances: u32::try_from(self.instances.map_or(64, Bounded::get)).unwrap_or(u32::MAX),
            memory_bytes: saturating(self.memory_mib.map_or(1024, Bounded::get) << 20),
            idle_ttl: self.idle_ttl_ms.map(|time| Duration::from_millis(time.get())),
            memory_budget: self.memory_budget_mib.map(|budget| budget.get() << 20),
            exit_when_idle: self.exit_when_idle_ms.map(|time| Duration::from_millis(time.get())),
            max_body_bytes: self.max_body_mib.map_or(64, Bounded::get) << 20,
            max_elements: self.max_elements.map_or(16 << 20, Bounded::get),
            max_header_bytes: saturating(self.max_header_kib.map_or(32, Bounded::get) << 10),
            header_timeout: milliseconds(self.header_timeout_ms, 10_000),
            body_timeout: milliseconds(self.body_timeout_ms, 30_000),
            cache: match (self.no_cache, self.cache_dir) {
                (Some(true), _) => Cache::None,
                (_, Some(directory)) => Cache::In(directory),
                (_, None) => Cache::Default,
            },
            cache_budget: self.cache_budget_mib.map(|budget| budget.get() << 20),
            ort_dylib: self.ort_dylib,
            nn_load: self.nn_load.unwrap_or(false),
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            log_format: self.log_format.unwrap_or_default(),
            log_requests: self.log_requests.unwrap_or(false),
            metrics_listen: self.metrics_listen,
            otlp_endpoint: self.otlp_endpoint,
            trace_ratio: self.trace_ratio.map_or(1.0, Ratio::get),
        }
    }
}

fn saturating(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

// === impl Node ===

impl Node {
    /// The keys whose values differ and take effect only when the process starts.
    #[must_use]
    pub fn fixed_changes(&self, other: &Node) -> Vec<&'static str> {
        let fixed = [
            ("paths", self.paths != other.paths),
            ("admin_listen", self.admin_listen != other.admin_listen),
            ("listen", self.listen != other.listen),
            ("grpc_listen", self.grpc_listen != other.grpc_listen),
            ("workers", self.workers != other.workers),
            ("instances", self.instances != other.instances),
            ("memory_mib", self.memory_bytes != other.memory_bytes),
            ("cache_dir", self.cache != other.cache),
            ("cache_budget_mib", self.cache_budget != other.cache_budget),
            ("ort_dylib", self.ort_dylib != other.ort_dylib),
            ("nn_load", self.nn_load != other.nn_load),
            ("log_format", self.log_format != other.log_format),
            ("metrics_listen", self.metrics_listen != other.metrics_listen),
            ("otlp_endpoint", self.otlp_endpoint != other.otlp_endpoint),
            ("trace_ratio", self.trace_ratio != other.trace_ratio),
        ];
        fixed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
