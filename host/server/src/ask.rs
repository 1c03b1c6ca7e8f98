//! A request to a model or function: taken in, waited for, and told of.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http_body_util::Either;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use samara_admission::{LaneId, Refusal};
use samara_protocol::{Error, InferResponse, Limits};
use samara_runtime::Cancellation;
use samara_telemetry::{Outcome, RequestId, Series, Trace};
use tokio::sync::oneshot;

use crate::Terms;
use crate::deadline;
use crate::function_call::{self, Call};
use crate::functions::Function;
use crate::http::{Reply, Service, problem_details, tensors};
use crate::inference::{Job, overdue, refused};
use crate::keeper::Absent;
use crate::message::Message;
use crate::pending::{Answer, Patience, Pending};
use crate::repository::Served;
use crate::residency::Lease;
use crate::statistics::ModelLimit;
use crate::workers::{self, Work};

/// An answer that can be told of.
pub trait Told {
    /// Its status over HTTP, or the one that it would have there.
    fn status(&self) -> u16;
    /// The name of its code, if it is answered over gRPC.
    fn code(&self) -> Option<&'static str>;
}

/// What goes with a request to a model or function, wherever it is.
pub struct Tags {
    id: RequestId,
    trace: Option<Arc<Trace>>,
}

impl Service {
    /// Has a request to a model or function answered, and tells of it: in metrics, in a trace and in the log. `model` is the
    /// model that is asked over gRPC, where the path does not say.
    pub(crate) async fn tell<R: Told>(
        &self,
        series: Option<&Series>,
        began: Instant,
        id: &RequestId,
        model: Option<&str>,
        mut head: Parts,
        answer: impl AsyncFnOnce(Tags, Parts) -> R,
    ) -> R {
        let counting = series.map(|series| series.count(began));
        let trace = self.tracer.as_ref().map(|tracer| {
            let path = head.uri.path();
            let name = match model {
                None => format!("{} {path}", head.method),
                Some(_) => path.trim_start_matches('/').to_owned(),
            };
            let trace = tracer.begin(name, &head.headers, id);
            tracer.pass_on(&trace, &mut head.headers);
            Arc::new(trace)
        });
        let line = self.config().log_requests.then(|| (head.method.clone(), head.uri.path().to_owned()));
        let answer = answer(Tags { id: id.clone(), trace: trace.clone() }, head).await;
        let (status, code) = (answer.status(), answer.code());
        let outcome = Outcome::of_status(status);
        if let Some(counting) = counting {
            counting.end(outcome);
        }
        let ids = trace.map(|trace| {
            match code {
                None => trace.answered(status, outcome.name()),
                Some(code) => trace.answered_grpc(code, model.unwrap_or_default(), outcome.name(), status >= 500),
            }
            trace.ids().0.to_string()
        });
        if let Some((method, path)) = line {
            let (ms, trace_id, outcome) = (began.elapsed().as_secs_f64() * 1e3, ids.as_deref(), outcome.name());
            tracing::info!(request_id = %id, trace_id, %method, path, model, status, code, outcome, ms, "request");
        }
        answer
    }

    pub(crate) async fn infer(
        &self,
        served: &Arc<Served>,
        tags: Tags,
        headers: HeaderMap,
        body: Incoming,
    ) -> Result<Reply, Error> {
        let waits = deadline::of_headers(&headers)?;
        let body = self.read(&headers, body, Some(&served.counters)).await?;
        let waits = waits.into_iter().chain(deadline::of_body(&headers, &body)).min();
        self.run(served, tags, Message::Http { headers, body }, waits).await.map(tensors)
    }

    /// Has a model run on what a request holds, for no longer than its client waits, where that says so.
    pub(crate) async fn run(
        &self,
        served: &Arc<Served>,
        tags: Tags,
        message: Message,
        waits: Option<Duration>,
    ) -> Result<InferResponse, Error> {
        let Tags { id, trace } = tags;
        let counters = &served.counters;
        // The deadline is the inference's: how long the body may take has a limit of its own.
        let accepted = Instant::now();
        let (mut patience, limits) = self.patience(&served.terms, waits);
        let batching = served.batching();
        patience.tells_deadline = batching.is_some();
        let lease = self.lease(served, accepted, patience.deadline).await?;
        let (reply, answer) = oneshot::channel();
        let (deadline, cancellation) = (patience.deadline, Cancellation::default());
        let pending = cancellation.clone();
        let counted = Arc::new(AtomicBool::new(false));
        let job = Job {
            served: Arc::clone(served),
            lease: Arc::new(lease),
            message: Arc::new(message),
            accepted,
            deadline,
            limits,
            batching,
            reply,
            cancellation,
            overdue: Arc::clone(&counted),
            id,
            trace,
        };
        let refuse = |refusal: &Refusal| {
            if let Some(limit) = ModelLimit::of_refusal(refusal) {
                counters.hit(limit);
            }
            refused(refusal, deadline)
        };
        let lane = lane(&served.lane)?;
        let ticket = self.workers.submit(lane, accepted + deadline, Work::Infer(Box::new(job)));
        // How long it has waited for the model to be mapped is no time in the queue.
        let (queued, left) = (Instant::now(), deadline.saturating_sub(accepted.elapsed()));
        let patience = Patience { deadline: left, ..patience };
        let pending = Pending::new(&self.workers, ticket.map_err(|refusal| refuse(&refusal))?, pending, queued);
        match pending.answer(answer, patience).await {
            Answer::Given(response) => response,
            Answer::Refused(refusal) => {
                counters.fail.add(accepted.elapsed());
                Err(refuse(&refusal))
            }
            Answer::Overdue => {
                counters.fail.add(accepted.elapsed());
                Err(overdue(served, deadline, &counted))
            }
            Answer::Lost => Err(Error::Internal("the inference was lost".to_owned())),
        }
    }

    /// The model, mapped, and kept so.
    async fn lease(&self, served: &Arc<Served>, accepted: Instant, deadline: Duration) -> Result<Lease, Error> {
        let counters = &served.counters;
        let most = served.terms.load().queue.unwrap_or(self.config().queue);
        let waiting = served.model.waiting();
        if waiting >= most {
            counters.hit(ModelLimit::Queue);
            counters.fail.add(accepted.elapsed());
            return Err(refused(&Refusal::QueueFull { waiting, retry_after: Duration::ZERO }, deadline));
        }
        self.keeper.wake(served, accepted + deadline).await.map_err(|absent| {
            counters.fail.add(accepted.elapsed());
            match absent {
                Absent::Overdue => {
                    counters.hit(ModelLimit::Deadline);
                    let deadline = deadline.as_millis();
                    let message =
                        format!("the request's deadline of {deadline} ms has passed before the model was mapped");
                    Error::DeadlineExceeded(message)
                }
                Absent::Failed(reason) => Error::Unavailable {
                    message: format!("model {:?} cannot be mapped: {reason}", served.model.metadata().name),
                    retry_after: workers::RETRY_AFTER,
                },
            }
        })
    }

    pub(crate) async fn call(
        &self,
        function: &Arc<Function>,
        tags: Tags,
        head: Parts,
        body: Incoming,
    ) -> Result<Reply, Error> {
        let Tags { id, trace } = tags;
        let counters = &function.counters;
        let waits = deadline::of_headers(&head.headers)?;
        let body = self.read(&head.headers, body, Some(counters)).await?;
        let accepted = Instant::now();
        let (patience, _) = self.patience(&function.terms, waits);
        let (reply, answer) = oneshot::channel();
        let (deadline, cancellation) = (patience.deadline, Cancellation::default());
        let pending = cancellation.clone();
        let call =
            Call { function: Arc::clone(function), head, body, accepted, deadline, reply, cancellation, id, trace };
        let refuse = |refusal: &Refusal| {
            if let Some(limit) = ModelLimit::of_refusal(refusal) {
                counters.hit(limit);
            }
            refused(refusal, deadline)
        };
        let lane = lane(&function.lane)?;
        let ticket = self.workers.submit(lane, accepted + deadline, Work::Call(Box::new(call)));
        let pending = Pending::new(&self.workers, ticket.map_err(|refusal| refuse(&refusal))?, pending, accepted);
        match pending.answer(answer, patience).await {
            Answer::Given(Ok(reply)) => Ok(reply.map(Either::Right)),
            Answer::Given(Err(function_call::Refusal { status, detail, retry_after })) => {
                let mut reply = problem_details(status, &detail);
                if let Some(seconds) = retry_after {
                    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
                }
                Ok(reply)
            }
            Answer::Refused(refusal) => {
                counters.fail.add(accepted.elapsed());
                Err(refuse(&refusal))
            }
            Answer::Overdue | Answer::Lost => Err(Error::Internal("the call was lost".to_owned())),
        }
    }

    /// How long a request may wait and take: no longer than its client waits, where that says so. And what it may hold.
    fn patience(&self, terms: &ArcSwap<Terms>, waits: Option<Duration>) -> (Patience, Limits) {
        let (config, terms) = (self.config(), terms.load());
        let deadline = terms.deadline.unwrap_or(config.deadline);
        let deadline = waits.map_or(deadline, |waits| waits.min(deadline));
        let queue = terms.queue_deadline.or(config.queue_deadline);
        (Patience { queue, deadline, tells_deadline: false }, config.request.clone())
    }
}

// === impl Told ===

impl Told for Reply {
    fn status(&self) -> u16 {
        Reply::status(self).as_u16()
    }

    fn code(&self) -> Option<&'static str> {
        None
    }
}

/// The lane of what is served.
fn lane(lane: &OnceLock<LaneId>) -> Result<LaneId, Error> {
    lane.get().copied().ok_or_else(|| Error::Internal("a model without a lane".to_owned()))
}
