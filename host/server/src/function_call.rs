//! One call of a function, on a worker's thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::http::request::Parts;
use samara_handler::{HandleError, Reply, Request};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::functions::Function;
use crate::inference::Shop;
use crate::statistics::ModelLimit;

/// A call that was asked for.
pub struct Call {
    pub function: Arc<Function>,
    pub head: Parts,
    pub body: Bytes,
    pub accepted: Instant,
    /// How long it may take, its time in the queue included.
    pub deadline: Duration,
    pub reply: oneshot::Sender<Result<Reply, Refusal>>,
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
    pub fn run(self, network: &Handle, shop: &Shop) {
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
            tracing::warn!(function = self.function.name, %error, "a function failed");
            refusal(&error, shop.retry_after)
        };
        let remaining = deadline.checked_sub(waited).filter(|remaining| !remaining.is_zero());
        let place = shop.places.take();
        let (Some(remaining), Ok(_place)) = (remaining, place) else {
            counters.fail.add(self.accepted.elapsed());
            let error = match remaining {
                None => HandleError::Deadline { deadline },
                Some(_) => HandleError::Instances { limit: shop.places.limit() },
            };
            let _ = self.reply.send(Err(explain(error)));
            return;
        };
        let body = Full::new(self.body).map_err(|never| match never {}).boxed_unsync();
        let request = Request::from_parts(self.head, body);
        let (head, given) = oneshot::channel();
        network.block_on(async {
            let forwarded = async {
                let lost = || HandleError::Failed("it was lost".to_owned());
                let result = match given.await.unwrap_or_else(|_| Err(lost())) {
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
                let _ = self.reply.send(result);
            };
            tokio::join!(self.function.handler.handle(request, remaining, head), forwarded);
        });
        counters.compute_infer.add(started.elapsed());
        counters.inferred(1);
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
