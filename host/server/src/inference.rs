//! One inference, on a worker's thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use samara_admission::{Permit, Refusal};
use samara_protocol::{Error, InferRequest, InferResponse, Limits, ModelMetadata, OutputTensor};
use samara_runtime::{Cancellation, InferError, Instance};
use samara_telemetry::{ColdStep, Existing, RequestId, Series, Stage, Stages, Trace};
use tokio::sync::oneshot;

use crate::deadline;
use crate::message::Message;
use crate::repository::Served;
use crate::statistics::ModelLimit;
use crate::workers::{Context, RETRY_AFTER, Work};

/// An inference that was asked for.
pub struct Job {
    pub served: Arc<Served>,
    pub message: Message,
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
        let taken = self.accepted.elapsed();
        let counters = &self.served.counters;
        match &result {
            Ok(_) => counters.success.add(taken),
            Err(error) => {
                counters.fail.add(taken);
                counters.refused(error);
            }
        }
        permit.answered();
        // If nobody waits any more, the reply is for nobody.
        let _ = self.reply.send(result);
        Outcome::Done(instance, stages)
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
    fn compute(
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
        let instance = match instance {
            Some(instance) => instance,
            None => {
                let began = Instant::now();
                let fresh = self.served.model.instantiate_within(remaining, &self.cancellation);
                let fresh = fresh.map_err(|error| self.explain(overdue(error)))?;
                let ended = Instant::now();
                stages.note(Stage::Instantiate, began, ended);
                self.cold(ColdStep::Instantiate, ended - began);
                instance.insert(Counted::new(fresh, &self.served))
            }
        };
        let ready = Instant::now();
        let outputs = instance.instance.infer_within(&request.inputs, &names, remaining, &self.cancellation);
        let outputs = outputs.map_err(|error| self.explain(overdue(error)))?;
        let inferred = Instant::now();
        stages.note(Stage::Infer, ready, inferred);
        self.cold(ColdStep::FirstInference, inferred - ready);
        counters.compute_infer.add(inferred - began);
        counters.inferred(items(model, &request.inputs[..]));
        Ok(outputs)
    }

    /// The reply.
    fn encode(
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
    fn explain(&self, error: InferError) -> Error {
        if let Some(limit) = ModelLimit::of(&error) {
            self.served.counters.hit(limit);
            let model = &self.served.metadata().name;
            tracing::warn!(model, request_id = %self.id, %error, "an inference failed");
        }
        refusal(error, RETRY_AFTER)
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
