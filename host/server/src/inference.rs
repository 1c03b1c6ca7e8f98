//! One inference, on a worker's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use samara_admission::{Batching, Permit, Refusal};
use samara_protocol::{Error, InferRequest, InferResponse, InputTensor, Limits, ModelMetadata, OutputTensor};
use samara_runtime::{Cancellation, InferError, Instance};
use samara_telemetry::{ColdStep, Existing, RequestId, Series, Stage, Stages, Trace};
use tokio::sync::oneshot;

use crate::batch::Ended;
use crate::deadline;
use crate::message::Message;
use crate::repository::Served;
use crate::residency::Lease;
use crate::statistics::ModelLimit;
use crate::workers::{Context, RETRY_AFTER, Work};

/// An inference that was asked for.
pub struct Job {
    pub served: Arc<Served>,
    /// Keeps it mapped.
    pub lease: Arc<Lease>,
    pub message: Arc<Message>,
    pub accepted: Instant,
    /// How long it may take, its time in the queue included.
    pub deadline: Duration,
    /// What a request may hold.
    pub limits: Limits,
    /// How it runs together with others, if it may.
    pub batching: Option<Batching>,
    pub reply: oneshot::Sender<Result<InferResponse, Error>>,
    /// Says that nobody waits any more.
    pub cancellation: Cancellation,
    /// Whether its deadline has been counted: who waits, and the worker, may both see it pass at the same time.
    pub overdue: Arc<AtomicBool>,
    pub id: RequestId,
    /// Present while traces are on.
    pub trace: Option<Arc<Trace>>,
}

/// An instance, counted among those that exist.
pub struct Counted {
    instance: Instance,
    _existing: Option<Existing>,
}

/// When making an instance began and ended.
pub type Making = (Instant, Instant);

/// What a job leaves behind.
pub enum Outcome {
    /// The reply has been handed over. An instance that ran is used up.
    Done(Option<Counted>, Stages),
    /// The same for several that ran together.
    Batch(Option<Counted>, Vec<Ended>),
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
    pub fn run(self, instance: Option<Counted>, context: &Context, permit: &Permit<Work>) -> Outcome {
        if self.reply.is_closed() {
            return Outcome::Abandoned(instance);
        }
        let mut instance = instance;
        let started = Instant::now();
        let waited = started - self.accepted;
        self.served.counters.queue.add(waited);
        let mut stages = Stages::default();
        stages.note(Stage::Queue, self.accepted, started);
        let result = self.answer(&mut instance, &mut stages, started, waited, context);
        permit.answered();
        self.conclude(result);
        Outcome::Done(instance, stages)
    }

    /// Hands the reply over, and counts it.
    pub fn conclude(self, result: Result<InferResponse, Error>) {
        let taken = self.accepted.elapsed();
        let counters = &self.served.counters;
        match &result {
            Ok(_) => counters.success.add(taken),
            Err(error) => {
                counters.fail.add(taken);
                counters.refused(error);
            }
        }
        // If nobody waits any more, the reply is for nobody.
        let _ = self.reply.send(result);
    }

    fn answer(
        &self,
        instance: &mut Option<Counted>,
        stages: &mut Stages,
        started: Instant,
        waited: Duration,
        context: &Context,
    ) -> Result<InferResponse, Error> {
        let request = self.decode(stages, started)?;
        let outputs = self.compute(&request, instance, stages, waited, context)?;
        self.encode(&request, &outputs, stages)
    }

    /// The request's tensors.
    fn decode(&self, stages: &mut Stages, started: Instant) -> Result<InferRequest<'_>, Error> {
        let request = self.message.decode(self.served.metadata(), &self.limits)?;
        let decoded = Instant::now();
        stages.note(Stage::Parse, started, decoded);
        self.served.counters.compute_input.add(decoded - started);
        Ok(request)
    }

    /// What the model makes of them.
    pub fn compute(
        &self,
        request: &InferRequest<'_>,
        instance: &mut Option<Counted>,
        stages: &mut Stages,
        waited: Duration,
        context: &Context,
    ) -> Result<Vec<OutputTensor<'static>>, Error> {
        let began = Instant::now();
        let (model, counters) = (self.served.metadata(), &self.served.counters);
        let deadline = match request.timeout {
            None => self.deadline,
            Some(timeout) => self.deadline.min(deadline::from_microseconds(timeout)),
        };
        let remaining = deadline.checked_sub(waited).filter(|remaining| !remaining.is_zero());
        let remaining = remaining.ok_or_else(|| self.explain(InferError::Deadline { deadline }))?;
        // The deadline that the client knows is the whole one.
        let overdue = |error: InferError| match error {
            InferError::Deadline { .. } => InferError::Deadline { deadline },
            error => error,
        };
        // Freed before the reply is handed over: whoever gets it may ask again at once.
        let _place = context.places.take().map_err(|error| self.explain(error))?;
        let names: Vec<&str> =
            request.plan.outputs.iter().map(|output| model.outputs[output.index].name.as_str()).collect();
        let ready = Counted::ready(instance, &self.served, &self.lease, remaining, &self.cancellation);
        let (instance, made) = ready.map_err(|error| self.explain(overdue(error)))?;
        if let Some((began, ended)) = made {
            stages.note(Stage::Instantiate, began, ended);
        }
        let ready = Instant::now();
        let outputs = instance.infer(&self.served, &request.inputs, &names, remaining, &self.cancellation);
        let outputs = outputs.map_err(|error| self.explain(overdue(error)))?;
        let inferred = Instant::now();
        stages.note(Stage::Infer, ready, inferred);
        counters.executed();
        counters.compute_infer.add(inferred - began);
        counters.inferred(items(model, &request.inputs[..]));
        Ok(outputs)
    }

    /// The reply.
    pub fn encode(
        &self,
        request: &InferRequest<'_>,
        outputs: &[OutputTensor<'_>],
        stages: &mut Stages,
    ) -> Result<InferResponse, Error> {
        let began = Instant::now();
        let response = self.message.encode(&request.plan, self.served.metadata(), outputs)?;
        let encoded = Instant::now();
        stages.note(Stage::Encode, began, encoded);
        self.served.counters.compute_output.add(encoded - began);
        Ok(response)
    }

    /// What the client is told of a failure, which is counted and logged.
    pub fn explain(&self, error: InferError) -> Error {
        // Who waits may have told the client of its deadline already.
        let told = matches!(error, InferError::Deadline { .. })
            && (self.reply.is_closed() || self.overdue.swap(true, Ordering::Relaxed));
        if let Some(limit) = ModelLimit::of(&error).filter(|_| !told) {
            self.served.counters.hit(limit);
            let model = &self.served.metadata().name;
            tracing::warn!(model, request_id = %self.id, %error, "an inference failed");
        }
        refusal(error, RETRY_AFTER)
    }
}

// === impl Counted ===

impl Counted {
    pub fn new(instance: Instance, served: &Served) -> Counted {
        Counted { instance, _existing: served.series.get().map(Series::instance) }
    }

    /// The instance that is ready, or a new one with when making it began and ended.
    pub fn ready<'i>(
        ready: &'i mut Option<Counted>,
        served: &Served,
        lease: &Lease,
        deadline: Duration,
        cancellation: &Cancellation,
    ) -> Result<(&'i mut Counted, Option<Making>), InferError> {
        if let Some(instance) = ready {
            return Ok((instance, None));
        }
        let began = Instant::now();
        let fresh = lease.model().instantiate_within(deadline, cancellation)?;
        let ended = Instant::now();
        cold(served, ColdStep::Instantiate, ended - began);
        Ok((ready.insert(Counted::new(fresh, served)), Some((began, ended))))
    }

    /// Runs the model once.
    pub fn infer(
        &mut self,
        served: &Served,
        inputs: &[InputTensor<'_>],
        outputs: &[&str],
        deadline: Duration,
        cancellation: &Cancellation,
    ) -> Result<Vec<OutputTensor<'static>>, InferError> {
        let began = Instant::now();
        let outputs = self.instance.infer_within(inputs, outputs, deadline, cancellation)?;
        cold(served, ColdStep::FirstInference, began.elapsed());
        Ok(outputs)
    }
}

/// Measures a step of a cold start, if it is taken for the first time.
fn cold(served: &Served, step: ColdStep, time: Duration) {
    let warm = &served.warm[usize::from(step == ColdStep::FirstInference)];
    if !warm.load(Ordering::Relaxed)
        && !warm.swap(true, Ordering::Relaxed)
        && let Some(series) = served.series.get()
    {
        series.measure_cold(step, time);
    }
}

/// How many items a request holds: the size of the first dimension, where that is dynamic.
fn items(model: &ModelMetadata, inputs: &[InputTensor<'_>]) -> u64 {
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

/// What a client is told whose request is not done in time, although it goes on for others; it is counted, unless it was.
pub fn overdue(served: &Served, deadline: Duration, counted: &AtomicBool) -> Error {
    if !counted.swap(true, Ordering::Relaxed) {
        served.counters.hit(ModelLimit::Deadline);
    }
    refusal(InferError::Deadline { deadline }, RETRY_AFTER)
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
