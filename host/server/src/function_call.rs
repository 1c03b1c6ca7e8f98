//! One call of a function, on a worker's thread.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::http::request::Parts;
use samara_admission::Refusal as Refused;
use samara_handler::{HandleError, Reply, Request};
use samara_runtime::Cancellation;
use samara_telemetry::{RequestId, Stage, Stages, Trace};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::functions::Function;
use crate::statistics::ModelLimit;
use crate::workers::{Context, RETRY_AFTER};

/// A call that was asked for.
pub struct Call {
    pub function: Arc<Function>,
    pub head: Parts,
    pub body: Bytes,
    pub accepted: Instant,
    /// How long it may take, its time in the queue included.
    pub deadline: Duration,
    pub reply: oneshot::Sender<Result<Reply, Refusal>>,
    /// Says that nobody waits any more.
    pub cancellation: Cancellation,
    pub id: RequestId,
    /// Present while traces are on.
    pub trace: Option<Arc<Trace>>,
}

/// Why a call has no reply of its own: what the client is told instead.
pub struct Refusal {
    pub status: StatusCode,
    pub detail: String,
    pub retry_after: Option<u32>,
}

impl Call {
    /// Runs the function in a new instance, hands the reply over when its head is there, and goes on until the instance
    /// has come to its end.
    pub fn run(self, network: &Handle, context: &Context) {
        if self.reply.is_closed() {
            return;
        }
        let counters = &self.function.counters;
        let started = Instant::now();
        let waited = started - self.accepted;
        counters.queue.add(waited);
        let deadline = self.deadline;
        let explain = |error: HandleError| {
            if let Some(limit) = limit(&error) {
                counters.hit(limit);
            }
            tracing::warn!(function = self.function.name, request_id = %self.id, %error, "a function failed");
            refusal(&error, RETRY_AFTER)
        };
        let remaining = deadline.checked_sub(waited).filter(|remaining| !remaining.is_zero());
        let place = context.places.take();
        let (Some(remaining), Ok(_place)) = (remaining, place) else {
            counters.fail.add(self.accepted.elapsed());
            let error = match remaining {
                None => HandleError::Deadline { deadline },
                Some(_) => HandleError::Instances { limit: context.places.limit() },
            };
            let _ = self.reply.send(Err(explain(error)));
            return;
        };
        let body = Full::new(self.body).map_err(|never| match never {}).boxed_unsync();
        let request = Request::from_parts(self.head, body);
        let (head, given) = oneshot::channel();
        let handled = self.function.handler.handle_unless(&self.cancellation, request, remaining, head);
        let mut reply = self.reply;
        let forwarded = async {
            let result = tokio::select! {
                result = given => result.unwrap_or_else(|_| Err(HandleError::Failed("it was lost".to_owned()))),
                () = reply.closed() => return false,
            };
            let result = match result {
                Ok(reply) => {
                    counters.success.add(self.accepted.elapsed());
                    Ok(reply)
                }
                Err(error) => {
                    counters.fail.add(self.accepted.elapsed());
                    Err(explain(match error {
                        // The deadline that the client knows is the whole one.
                        HandleError::Deadline { .. } => HandleError::Deadline { deadline },
                        error => error,
                    }))
                }
            };
            // If nobody waits any more, the reply is for nobody.
            reply.send(result).is_ok()
        };
        network.block_on(async {
            let (mut handled, mut forwarded) = (pin!(handled), pin!(forwarded));
            let wanted = tokio::select! {
                wanted = &mut forwarded => wanted,
                () = &mut handled => {
                    forwarded.await;
                    return;
                }
            };
            // An instance that waits for something is not stopped by its epochs: where the client has gone, it is dropped.
            if wanted {
                handled.await;
            }
        });
        let ended = Instant::now();
        counters.compute_infer.add(ended - started);
        counters.inferred(1);
        let mut stages = Stages::default();
        stages.note(Stage::Queue, self.accepted, started);
        stages.note(Stage::Infer, started, ended);
        if let Some(series) = self.function.series.get() {
            series.measure(&stages);
        }
        if let Some(trace) = &self.trace {
            trace.add(&stages);
        }
    }

    /// Tells the client that its request lost its place.
    pub fn refuse(self, refusal: &Refused) {
        if let Some(limit) = ModelLimit::of_refusal(refusal) {
            self.function.counters.hit(limit);
        }
        let (detail, retry_after) = (refusal.to_string(), refusal.retry_after_seconds());
        let _ = self.reply.send(Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, detail, retry_after }));
    }
}

fn limit(error: &HandleError) -> Option<ModelLimit> {
    match error {
        HandleError::Deadline { .. } => Some(ModelLimit::Deadline),
        HandleError::Memory { .. } => Some(ModelLimit::Memory),
        HandleError::Instances { .. } => Some(ModelLimit::Instances),
        HandleError::Failed(_) => Some(ModelLimit::Trap),
        _ => None,
    }
}

fn refusal(error: &HandleError, retry_after: u32) -> Refusal {
    let (status, retry_after) = match error {
        HandleError::Deadline { .. } => (StatusCode::GATEWAY_TIMEOUT, None),
        HandleError::Memory { .. } | HandleError::Instances { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after))
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    Refusal { status, detail: error.to_string(), retry_after }
}
