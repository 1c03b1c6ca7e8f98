//! What has happened to each model, and how often each limit was met.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use samara_admission::Refusal;
use samara_protocol::Error;
use samara_protocol::repository::{BatchStatistics, DurationStatistic, FunctionStatistics, ModelStatistics};
use samara_runtime::InferError;

use crate::batch::BatchCounters;

/// A sum of durations.
#[derive(Default)]
pub struct Durations {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

/// What has happened to one model since the server started.
#[derive(Default)]
pub struct ModelCounters {
    last_inference: AtomicU64,
    inferences: AtomicU64,
    executions: AtomicU64,
    pub batches: BatchCounters,
    pub success: Durations,
    pub fail: Durations,
    pub queue: Durations,
    pub compute_input: Durations,
    pub compute_infer: Durations,
    pub compute_output: Durations,
    limits: [AtomicU64; ModelLimit::ALL.len()],
}

/// A limit that a request to a model can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelLimit {
    /// The memory of an instance.
    Memory,
    /// The time of an inference.
    Deadline,
    /// Instances at the same time.
    Instances,
    /// Requests that wait for a worker.
    Queue,
    /// The time that a request waits for a worker.
    QueueDeadline,
    /// Bytes of a body.
    BodyBytes,
    /// Elements of a tensor.
    Elements,
    /// Not a limit that is set, but the one of the sandbox: the instance trapped.
    Trap,
}

/// Limits that connections meet, before it is known which model they are about.
#[derive(Default)]
pub struct ServerCounters {
    pub header_bytes: AtomicU64,
    pub header_timeout: AtomicU64,
    /// Over gRPC, where the model is named in the message.
    pub body_bytes: AtomicU64,
    pub body_timeout: AtomicU64,
}

impl Durations {
    pub fn add(&self, duration: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn read(&self) -> DurationStatistic {
        DurationStatistic { count: self.count.load(Ordering::Relaxed), ns: self.nanoseconds.load(Ordering::Relaxed) }
    }
}

impl ModelLimit {
    const ALL: [ModelLimit; 8] = [
        ModelLimit::Memory,
        ModelLimit::Deadline,
        ModelLimit::Instances,
        ModelLimit::Queue,
        ModelLimit::QueueDeadline,
        ModelLimit::BodyBytes,
        ModelLimit::Elements,
        ModelLimit::Trap,
    ];

    fn name(self) -> &'static str {
        match self {
            ModelLimit::Memory => "memory",
            ModelLimit::Deadline => "deadline",
            ModelLimit::Instances => "instances",
            ModelLimit::Queue => "queue",
            ModelLimit::QueueDeadline => "queue_deadline",
            ModelLimit::BodyBytes => "body_bytes",
            ModelLimit::Elements => "elements",
            ModelLimit::Trap => "trap",
        }
    }

    /// The limit that a request was refused for when it came, if it was one.
    pub fn of_refusal(refusal: &Refusal) -> Option<ModelLimit> {
        match refusal {
            Refusal::QueueFull { .. } | Refusal::Displaced { .. } => Some(ModelLimit::Queue),
            Refusal::TooLate { .. } => Some(ModelLimit::QueueDeadline),
            Refusal::Expired => Some(ModelLimit::Deadline),
            _ => None,
        }
    }

    /// The limit that made an inference fail, if it was one.
    pub fn of(error: &InferError) -> Option<ModelLimit> {
        match error {
            InferError::Memory { .. } | InferError::BackendMemory(_) => Some(ModelLimit::Memory),
            InferError::Deadline { .. } => Some(ModelLimit::Deadline),
            InferError::Instances { .. } => Some(ModelLimit::Instances),
            InferError::Trap(_) => Some(ModelLimit::Trap),
            _ => None,
        }
    }
}

impl ModelCounters {
    /// Counts a request that was refused because of this limit.
    pub fn hit(&self, limit: ModelLimit) {
        self.limits[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a body that was refused for its size.
    pub fn refused(&self, error: &Error) {
        match error {
            Error::PayloadTooLarge(_) => self.hit(ModelLimit::BodyBytes),
            Error::TensorTooLarge(_) => self.hit(ModelLimit::Elements),
            _ => {}
        }
    }

    /// Counts an inference that ran, over so many items.
    pub fn inferred(&self, items: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_inference.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.inferences.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts a run of the model, of one request or of a batch.
    pub fn executed(&self) {
        self.executions.fetch_add(1, Ordering::Relaxed);
    }

    /// How often each limit was met.
    pub fn limits(&self) -> [(&'static str, u64); ModelLimit::ALL.len()] {
        ModelLimit::ALL.map(|limit| (limit.name(), self.limits[limit as usize].load(Ordering::Relaxed)))
    }

    /// The counters that Triton's metrics have too, in the order of [`samara_telemetry::METRICS`].
    pub fn triton(&self) -> [u64; 9] {
        let microseconds = |durations: &[&Durations]| durations.iter().map(|sum| sum.read().ns).sum::<u64>() / 1000;
        [
            self.success.read().count,
            self.fail.read().count,
            self.inferences.load(Ordering::Relaxed),
            self.executions.load(Ordering::Relaxed),
            microseconds(&[&self.success, &self.fail]),
            microseconds(&[&self.queue]),
            microseconds(&[&self.compute_input]),
            microseconds(&[&self.compute_infer]),
            microseconds(&[&self.compute_output]),
        ]
    }

    /// All of it, in the protocol's form.
    pub fn read<'a>(
        &self,
        name: &'a str,
        version: &'a str,
        batches: &'a [BatchStatistics],
        limits: &'a [(&'static str, u64)],
    ) -> ModelStatistics<'a> {
        ModelStatistics {
            name,
            version,
            last_inference: self.last_inference.load(Ordering::Relaxed),
            inference_count: self.inferences.load(Ordering::Relaxed),
            execution_count: self.executions.load(Ordering::Relaxed),
            success: self.success.read(),
            fail: self.fail.read(),
            queue: self.queue.read(),
            compute_input: self.compute_input.read(),
            compute_infer: self.compute_infer.read(),
            compute_output: self.compute_output.read(),
            batches,
            limits,
        }
    }

    /// The same of a function.
    pub fn read_function<'a>(
        &self,
        name: &'a str,
        route: &'a str,
        limits: &'a [(&'static str, u64)],
    ) -> FunctionStatistics<'a> {
        FunctionStatistics {
            name,
            route,
            success: self.success.read(),
            fail: self.fail.read(),
            queue: self.queue.read(),
            compute: self.compute_infer.read(),
            limits,
        }
    }
}

impl ServerCounters {
    /// How often each was met.
    pub fn read(&self) -> [(&'static str, u64); 4] {
        [
            ("header_bytes", self.header_bytes.load(Ordering::Relaxed)),
            ("header_timeout", self.header_timeout.load(Ordering::Relaxed)),
            ("body_bytes", self.body_bytes.load(Ordering::Relaxed)),
            ("body_timeout", self.body_timeout.load(Ordering::Relaxed)),
        ]
    }
}
