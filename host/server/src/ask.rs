//! A request to a model or function: taken in, waited for, and told of.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http_body_util::Either;
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use samara_admission::{LaneId, Refusal};
use samara_protocol::{Error, Limits};
use samara_runtime::Cancellation;
use samara_telemetry::{Outcome, RequestId, Series, Trace};
use tokio::sync::oneshot;

use crate::Terms;
use crate::deadline;
use crate::function_call::{self, Call};
use crate::functions::Function;
use crate::http::{Reply, Service, problem_details, tensors};
use crate::inference::{Job, overdue, refused};
use crate::message::Message;
use crate::pending::{Answer, Patience, Pending};
use crate::repository::Served;
use crate::statistics::ModelLimit;
use crate::workers::Work;

/// What goes with a request to a model or function, wherever it is.
pub struct Tags {
    id: RequestId,
    trace: Option<Arc<Trace>>,
}

impl Service {
    /// Has a request to a model or function answered, and tells of it: in metrics, in a trace and in the log.
    pub(crate) async fn tell(
        &self,
        series: Option<&Series>,
        began: Instant,
        id: &RequestId,
        mut head: Parts,
        answer: impl AsyncFnOnce(Tags, Parts) -> Reply,
    ) -> Reply {
        let counting = series.map(|series| series.count(began));
        let trace = self.tracer.as_ref().map(|tracer| {
            let name = format!("{} {}", head.method, head.uri.path());
            let trace = tracer.begin(name, &head.headers, id);
            tracer.pass_on(&trace, &mut head.headers);
            Arc::new(trace)
        });
        let line = self.config().log_requests.then(|| (head.method.clone(), head.uri.path().to_owned()));
        let reply = answer(Tags { id: id.clone(), trace: trace.clone() }, head).await;
        let status = reply.status().as_u16();
        let outcome = Outcome::of_status(status);
        if let Some(counting) = counting {
            counting.end(outcome);
        }
        let ids = trace.map(|trace| {
            trace.answered(status, outcome.name());
            trace.ids().0.to_string()
        });
        if let Some((method, path)) = line {
            let (ms, trace_id) = (began.elapsed().as_secs_f64() * 1e3, ids.as_deref());
            tracing::info!(request_id = %id, trace_id, %method, path, status, outcome = outcome.name(), ms, "request");
        }
        reply
    }

    pub(crate) async fn infer(
        &self,
        served: &Arc<Served>,
        tags: Tags,
        headers: HeaderMap,
        body: Incoming,
    ) -> Result<Reply, Error> {
        let Tags { id, trace } = tags;
        let counters = &served.counters;
        let waits = deadline::of_headers(&headers)?;
        let body = self.read(&headers, body, Some(counters)).await?;
        // The deadline is the inference's: how long the body may take has a limit of its own.
        let accepted = Instant::now();
        let waits = waits.into_iter().chain(deadline::of_body(&headers, &body)).min();
        let (mut patience, limits) = self.patience(&served.terms, waits);
        let batching = served.batching();
        patience.tells_deadline = batching.is_some();
        let (reply, answer) = oneshot::channel();
        let (deadline, cancellation) = (patience.deadline, Cancellation::default());
        let pending = cancellation.clone();
        let job = Job {
            served: Arc::clone(served),
            message: Arc::new(Message::Http { headers, body }),
            accepted,
            deadline,
            limits,
            batching,
            reply,
            cancellation,
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
        let pending = Pending::new(&self.workers, ticket.map_err(|refusal| refuse(&refusal))?, pending, accepted);
        match pending.answer(answer, patience).await {
            Answer::Given(response) => response.map(tensors),
            Answer::Refused(refusal) => {
                counters.fail.add(accepted.elapsed());
                Err(refuse(&refusal))
            }
            Answer::Overdue => {
                counters.fail.add(accepted.elapsed());
                Err(overdue(served, deadline))
            }
            Answer::Lost => Err(Error::Internal("the inference was lost".to_owned())),
        }
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

/// The lane of what is served.
fn lane(lane: &OnceLock<LaneId>) -> Result<LaneId, Error> {
    lane.get().copied().ok_or_else(|| Error::Internal("a model without a lane".to_owned()))
}
