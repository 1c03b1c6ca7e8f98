//! One inference, on a worker's thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use samara_admission::Refusal;
use samara_protocol::{Error, InferHead, InferResponse, Limits, ModelMetadata, decode, encode};
use samara_runtime::{Cancellation, InferError, Instance};
use samara_telemetry::{ColdStep, Existing, RequestId, Series, Stage, Stages, Trace};
use tokio::sync::oneshot;

use crate::deadline;
use crate::repository::Served;
use crate::statistics::ModelLimit;
use crate::workers::{Context, RETRY_AFTER};

/// `Inference-Header-Content-Length`, of the protocol's binary form.
pub const INFERENCE_HEADER_CONTENT_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// An inference that was asked for.
pub struct Job {
    pub served: Arc<Served>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub accepted: Instant,
    /// How long it may take, its time in the queue included.
    pub deadline: Duration,
    /// What a request may hold.
    pub limits: Limits,
    pub reply: oneshot::Sender<Result<InferResponse, Error>>,
    /// Says that nobody waits any more.
    pub cancellation: Cancellation,
    pub id: RequestId,
    /// Present while traces are on.
    pub trace: Option<Arc<Trace>>,
}

/// An instance, counted among those that exist.
pub struct Counted {
    instance: Instance,
    _existing: Option<Existing>,
}

/// What a job leaves behind.
pub enum Outcome {
    /// The reply has been handed over. An instance that ran is used up.
    Done(Option<Counted>, Stages),
    /// Nobody waited for a reply, so nothing ran.
    Abandoned(Option<Counted>),
}

impl Job {
    /// Tells the client that its request lost its place.
    pub fn refuse(self, refusal: &Refusal) {
        if let Some(limit) = ModelLimit::of_refusal(refusal) {
            self.served.counters.hit(limit);
        }
        let _ = self.reply.send(Err(refused(refusal, self.deadline)));
    }

    /// Decodes the request, runs it in `instance` or in a new one, and hands the reply over.
    pub fn run(self, instance: Option<Counted>, context: &Context) -> Outcome {
        if self.reply.is_closed() {
            return Outcome::Abandoned(instance);
        }
        let mut instance = instance;
        let counters = &self.served.counters;
        let started = Instant::now();
        let waited = started - self.accepted;
        counters.queue.add(waited);
        let mut stages = Stages::default();
        stages.note(Stage::Queue, self.accepted, started);
        let result = self.answer(&mut instance, &mut stages, started, waited, context);
        let taken = self.accepted.elapsed();
        match &result {
            Ok(_) => counters.success.add(taken),
            Err(error) => {
                counters.fail.add(taken);
                counters.refused(error);
            }
        }
        // If nobody waits any more, the reply is for nobody.
        let _ = self.reply.send(result);
        Outcome::Done(instance, stages)
    }

    /// Measures a step of a cold start, if it is taken for the first time.
    fn cold(&self, step: ColdStep, time: Duration) {
        let warm = &self.served.warm[usize::from(step == ColdStep::FirstInference)];
        if !warm.load(Ordering::Relaxed)
            && !warm.swap(true, Ordering::Relaxed)
            && let Some(series) = self.served.series.get()
        {
            series.measure_cold(step, time);
        }
    }

    fn answer(
        &self,
        instance: &mut Option<Counted>,
        stages: &mut Stages,
        started: Instant,
        waited: Duration,
        context: &Context,
    ) -> Result<InferResponse, Error> {
        let model = self.served.model.metadata();
        let counters = &self.served.counters;
        let header = |name: &HeaderName| self.headers.get(name).and_then(|value| value.to_str().ok());
        let head = InferHead {
            content_type: header(&CONTENT_TYPE),
            inference_header_content_length: header(&INFERENCE_HEADER_CONTENT_LENGTH),
            content_encoding: header(&CONTENT_ENCODING),
            accept_encoding: header(&ACCEPT_ENCODING),
        };
        let request = decode(&head, &self.body, model, &self.limits)?;
        let decoded = Instant::now();
        stages.note(Stage::Parse, started, decoded);
        counters.compute_input.add(decoded - started);

        let explain = |error: InferError| {
            if let Some(limit) = ModelLimit::of(&error) {
                counters.hit(limit);
                tracing::warn!(model = model.name, request_id = %self.id, %error, "an inference failed");
            }
            refusal(error, RETRY_AFTER)
        };
        let deadline = match request.timeout {
            None => self.deadline,
            Some(timeout) => self.deadline.min(deadline::from_microseconds(timeout)),
        };
        let remaining = deadline.checked_sub(waited).filter(|remaining| !remaining.is_zero());
        let remaining = remaining.ok_or_else(|| explain(InferError::Deadline { deadline }))?;
        // The deadline that the client knows is the whole one.
        let overdue = |error: InferError| match error {
            InferError::Deadline { .. } => InferError::Deadline { deadline },
            error => error,
        };
        // Freed before the reply is handed over: whoever gets it may ask again at once.
        let _place = context.places.take().map_err(explain)?;
        let names: Vec<&str> =
            request.plan.outputs.iter().map(|output| model.outputs[output.index].name.as_str()).collect();
        let instance = match instance {
            Some(instance) => instance,
            None => {
                let began = Instant::now();
                let fresh = self.served.model.instantiate_within(remaining, &self.cancellation);
                let fresh = Counted::new(fresh.map_err(overdue).map_err(explain)?, &self.served);
                let ended = Instant::now();
                stages.note(Stage::Instantiate, began, ended);
                self.cold(ColdStep::Instantiate, ended - began);
                instance.insert(fresh)
            }
        };
        let ready = Instant::now();
        let instance = &mut instance.instance;
        let outputs = instance.infer_within(&request.inputs, &names, remaining, &self.cancellation);
        let outputs = outputs.map_err(overdue).map_err(explain)?;
        let inferred = Instant::now();
        stages.note(Stage::Infer, ready, inferred);
        self.cold(ColdStep::FirstInference, inferred - ready);
        counters.compute_infer.add(inferred - decoded);
        counters.inferred(items(model, &request.inputs[..]));

        let response = encode(&request.plan, model, &outputs)?;
        let encoded = Instant::now();
        stages.note(Stage::Encode, inferred, encoded);
        counters.compute_output.add(encoded - inferred);
        Ok(response)
    }
}

// === impl Counted ===

impl Counted {
    pub fn new(instance: Instance, served: &Served) -> Counted {
        Counted { instance, _existing: served.series.get().map(Series::instance) }
    }
}

/// How many items a request holds: the size of the first dimension, where that is dynamic.
fn items(model: &ModelMetadata, inputs: &[samara_protocol::InputTensor<'_>]) -> u64 {
    let dynamic = model.inputs.first().is_some_and(|spec| spec.shape.first() == Some(&-1));
    match inputs.first().and_then(|input| input.shape.first()) {
        Some(&size) if dynamic => size,
        _ => 1,
    }
}

/// What a client is told whose request does not run.
pub fn refused(refusal: &Refusal, deadline: Duration) -> Error {
    match refusal {
        Refusal::Expired => {
            let deadline = deadline.as_millis();
            Error::DeadlineExceeded(format!("the request's deadline of {deadline} ms has passed before it could run"))
        }
        other => Error::Unavailable {
            message: other.to_string(),
            retry_after: other.retry_after_seconds().unwrap_or(RETRY_AFTER),
        },
    }
}

/// What the client is told.
fn refusal(error: InferError, retry_after: u32) -> Error {
    let message = error.to_string();
    match error {
        InferError::InvalidArgument(_) | InferError::Failed(_) => Error::BadRequest(message),
        InferError::Deadline { .. } => Error::DeadlineExceeded(message),
        InferError::Memory { .. } | InferError::BackendMemory(_) | InferError::Instances { .. } => {
            Error::Unavailable { message, retry_after }
        }
        _ => Error::Internal(message),
    }
}
