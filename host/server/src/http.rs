//! Requests and replies as HTTP has them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{Either, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use samara_admission::LaneId;
use samara_nn::{Graph, Registry};
use samara_protocol::repository as bodies;
use samara_protocol::{Error, InferResponse, Route};
use samara_telemetry::{Metrics, RequestId, Tracer};
use tokio::sync::Notify;

use crate::activity::Activity;
use crate::admin;
use crate::body;
use crate::functions::{Function, FunctionRoute, Functions};
use crate::graphs::Described;
use crate::keeper::Keeper;
use crate::message::INFERENCE_HEADER_CONTENT_LENGTH;
use crate::repository::{Observer, Served, State};
use crate::statistics::{ModelCounters, ServerCounters};
use crate::workers::Workers;
use crate::{Config, Repository, ServeError, Terms};

/// What answers requests.
pub struct Service {
    config: ArcSwap<Config>,
    pub counters: ServerCounters,
    pub(crate) repository: Repository,
    pub(crate) functions: Functions,
    graphs: Arc<Registry>,
    pub(crate) workers: Workers,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Option<Tracer>,
    /// Told when the configuration has changed.
    pub(crate) changed: Notify,
    /// The lanes of models, by name. One that goes away keeps its lane, which costs nothing while nobody comes.
    pub(crate) lanes: Mutex<BTreeMap<String, LaneId>>,
}

/// The body of a reply: all of it, or what a function is about to write.
pub type ReplyBody = Either<Full<Bytes>, samara_handler::ReplyBody>;

pub type Reply = Response<ReplyBody>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What the server is called, and its version.
pub const NAME: &str = "samara";
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The extensions of the protocol that it has.
pub const EXTENSIONS: [&[&str]; 2] = [bodies::CODEC_EXTENSIONS, &["model_repository", "statistics"]];
/// Where the metrics are.
pub const METRICS_PATH: &str = "/metrics";
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

impl Service {
    pub fn new(
        config: Config,
        repository: Repository,
        functions: Functions,
        graphs: Arc<Registry>,
        workers: Workers,
        tracer: Option<Tracer>,
    ) -> Service {
        let keeper = Arc::new(Keeper::new(&config, workers.ready.clone()));
        repository.set_keeper(&keeper);
        let service = Service {
            config: ArcSwap::from_pointee(config),
            counters: ServerCounters::default(),
            repository,
            functions,
            graphs,
            workers,
            keeper,
            activity: Activity::new(),
            metrics: Metrics::new(),
            tracer,
            changed: Notify::new(),
            lanes: Mutex::default(),
        };
        let catalog = service.repository.catalog();
        for served in catalog.models() {
            service.loaded(served);
        }
        for name in service.repository.take_failed() {
            service.failed(&name);
        }
        for function in service.functions.iter() {
            let _ = function.series.set(service.metrics.series(&function.subject()));
            let limits = function.terms.load().lane(&service.config());
            let _ = function.lane.set(service.workers.admission.add(limits));
        }
        service
    }

    /// What holds now.
    pub fn config(&self) -> arc_swap::Guard<Arc<Config>> {
        self.config.load()
    }

    /// Has this hold from now on, and for some models and functions these terms.
    pub fn set_up(
        &self,
        mut config: Config,
        models: &BTreeMap<String, Terms>,
        functions: &[(FunctionRoute, Terms)],
    ) -> Result<(), ServeError> {
        {
            // Where these are was said when the server started.
            let running = self.config();
            config.metrics_listen = running.metrics_listen;
            config.admin_listen.clone_from(&running.admin_listen);
        }
        admin::check_open(config.admin_listen.as_ref(), config.admin_token.as_ref())?;
        self.repository.set_terms(models)?;
        for function in self.functions.iter() {
            let terms = functions.iter().find(|(route, _)| *route == function.route).map(|(_, terms)| terms.clone());
            function.terms.store(Arc::new(terms.unwrap_or_default()));
        }
        let admission = &self.workers.admission;
        admission.set_queue(config.queue);
        let models = self.repository.models();
        let models = models.iter().map(|served| (served.lane.get(), served.limits(&config)));
        let functions = self.functions.iter();
        let functions = functions.map(|function| (function.lane.get(), function.terms.load().lane(&config)));
        for (lane, limits) in models.chain(functions) {
            if let Some(lane) = lane {
                admission.set_lane(*lane, limits);
            }
        }
        self.keeper.set_up(&config);
        self.config.store(Arc::new(config));
        self.changed.notify_one();
        self.activity.changed();
        Ok(())
    }

    /// How long a request can take at the most, from its first byte to its last.
    pub fn longest(&self) -> Duration {
        let config = self.config();
        let models = self.repository.models();
        let models = models.iter().map(|served| served.terms.load().deadline);
        let functions = self.functions.iter().map(|function| function.terms.load().deadline);
        let deadline = models.chain(functions).flatten().fold(config.deadline, Duration::max);
        config.body_timeout + deadline * 2
    }

    /// Waits until nobody has been served for as long as the configuration says; says how long that is.
    pub async fn quiet(&self) -> Duration {
        self.activity.quiet(|| self.config().exit_when_idle, || !self.workers.admission.is_quiet()).await
    }

    /// Answers a request.
    pub async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Reply {
        let began = Instant::now();
        let (mut head, body) = request.into_parts();
        let id = RequestId::of(&head.headers);
        // Functions see it too.
        head.headers.insert(RequestId::HEADER, id.value());
        let mut reply = self.respond(began, &id, head, body).await;
        reply.headers_mut().insert(RequestId::HEADER, id.value());
        reply
    }

    async fn respond(self: &Arc<Self>, began: Instant, id: &RequestId, head: Parts, body: Incoming) -> Reply {
        let version = head.version;
        let size = head_bytes(&head);
        let allowed = self.config().max_header_bytes;
        if size > allowed {
            self.counters.header_bytes.fetch_add(1, Ordering::Relaxed);
            let message = format!("the request's line and headers have {size} bytes, expected at most {allowed}");
            return refuse(&Error::HeadersTooLarge(message), version);
        }
        if head.uri.path() == METRICS_PATH && self.config().metrics_listen.is_none() {
            return self.tell_metrics(&head.method).await.unwrap_or_else(|error| refuse(&error, version));
        }
        if let Some(function) = self.functions.find(head.uri.path()) {
            let call = async |tags, head| match self.call(function, tags, head, body).await {
                Ok(reply) => reply,
                Err(error) => problem(&error, version),
            };
            return self.tell(function.series.get(), began, id, None, head, call).await;
        }
        if admin::is_admin(head.uri.path()) {
            return refuse(&Error::NotFound(admin::ELSEWHERE.to_owned()), version);
        }
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let reply = match Route::parse(method.as_str(), uri.path()) {
            Err(error) => Err(error),
            Ok(Route::Infer { name, version: of_model }) => {
                match self.repository.route(&name, of_model.as_deref(), &head.headers) {
                    Ok(served) => {
                        let infer = async |tags, head: Parts| {
                            let reply = self.infer(&served, tags, head.headers, body).await;
                            reply.unwrap_or_else(|error| refuse(&error, version))
                        };
                        return self.tell(Some(served.series(&self.metrics)), began, id, None, head, infer).await;
                    }
                    Err(error) => Err(error),
                }
            }
            Ok(Route::RepositoryIndex) => self.index(&head.headers, body).await,
            Ok(route) => self.describe(&route).map(json),
        };
        reply.unwrap_or_else(|error| refuse(&error, version))
    }

    /// Sends what is left of the traces.
    pub fn flush(&self) {
        if let Some(tracer) = &self.tracer {
            tracer.flush();
        }
    }

    pub(crate) async fn index(&self, headers: &HeaderMap, body: Incoming) -> Result<Reply, Error> {
        let body = self.read(headers, body, None).await?;
        let ready_only = bodies::index_wants_ready_only(&body)?;
        let catalog = self.repository.catalog();
        let wanted = catalog.index().iter().filter(|entry| !ready_only || entry.state == State::Ready);
        Ok(json(admin::to_body(&wanted.collect::<Vec<_>>())))
    }

    /// The body of every route that asks for nothing but facts.
    pub(crate) fn describe(&self, route: &Route<'_>) -> Result<Vec<u8>, Error> {
        let find =
            |name: &str, version: &Option<std::borrow::Cow<'_, str>>| self.repository.find(name, version.as_deref());
        Ok(match route {
            Route::Server => bodies::server_metadata(NAME, VERSION, &EXTENSIONS.concat()),
            Route::Live | Route::Ready => bodies::health(true, true),
            Route::Model { name, version } => {
                let served = find(name, version)?;
                let versions = match version {
                    Some(_) => vec![Arc::clone(&served)],
                    None => self.repository.versions(name)?,
                };
                let versions: Vec<_> = versions.iter().map(|served| &*served.metadata().version).collect();
                let graph = served.model.graph().map(|graph| Described::new(graph));
                let graph = graph.as_ref().map(Described::metadata);
                let batching = served.dynamic_batching();
                bodies::model_metadata_of_versions(served.metadata(), &versions, graph.as_ref(), batching)
            }
            Route::ModelReady { name, version } => bodies::model_ready(&find(name, version)?.metadata().name, true),
            Route::ModelConfig { name, version } => {
                let served = find(name, version)?;
                bodies::model_config(served.metadata(), served.dynamic_batching())
            }
            Route::ModelStats { name, version: Some(version) } => {
                statistics(&[self.repository.find(name, Some(version))?], &[], &[], &[])
            }
            Route::ModelStats { name, version: None } => statistics(&self.repository.versions(name)?, &[], &[], &[]),
            Route::AllStats => {
                let models = self.repository.models();
                let functions: Vec<Arc<Function>> = self.functions.iter().cloned().collect();
                statistics(&models, &functions, &self.graphs.graphs(), &self.counters.read())
            }
            Route::Infer { .. } | Route::RepositoryIndex => {
                return Err(Error::Internal("a route that needs a body".to_owned()));
            }
        })
    }

    /// Reads a body, no more of it than is allowed and for no longer.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Incoming,
        counters: Option<&ModelCounters>,
    ) -> Result<Bytes, Error> {
        let (limit, allowed) = {
            let config = self.config();
            (config.request.max_body_bytes, config.body_timeout)
        };
        let too_large = || {
            let error = Error::PayloadTooLarge(format!("the body is larger than the {limit} bytes that are allowed"));
            if let Some(counters) = counters {
                counters.refused(&error);
            }
            error
        };
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit) || body.size_hint().lower() > limit {
            return Err(too_large());
        }
        let expected = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
        match tokio::time::timeout(allowed, body::collect(limited, expected)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => Err(Error::BadRequest(format!("the body ended too early: {error}"))),
            Err(_) => {
                self.counters.body_timeout.fetch_add(1, Ordering::Relaxed);
                let allowed = allowed.as_millis();
                Err(Error::RequestTimeout(format!("the body did not come within the {allowed} ms that are allowed")))
            }
        }
    }
}

/// The bytes of a request's line and headers, as HTTP/1.1 writes them.
pub fn head_bytes(head: &Parts) -> usize {
    let line = head.method.as_str().len() + head.uri.path_and_query().map_or(1, |path| path.as_str().len());
    let headers: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    line + headers
}

fn statistics(
    models: &[Arc<Served>],
    functions: &[Arc<Function>],
    graphs: &[Arc<Graph>],
    server_limits: &[(&str, u64)],
) -> Vec<u8> {
    let counts: Vec<_> =
        models.iter().map(|served| (served.counters.batches.read(), served.counters.limits())).collect();
    let rows: Vec<_> = models
        .iter()
        .zip(&counts)
        .map(|(served, (batches, limits))| {
            let metadata = served.metadata();
            served.counters.read(&metadata.name, &metadata.version, batches, limits)
        })
        .collect();
    let routes: Vec<_> =
        functions.iter().map(|function| (function.route.to_string(), function.counters.limits())).collect();
    let function_rows: Vec<_> = functions
        .iter()
        .zip(&routes)
        .map(|(function, (route, limits))| function.counters.read_function(&function.name, route, limits))
        .collect();
    let graphs: Vec<_> = graphs.iter().map(|graph| Described::new(graph)).collect();
    let graph_rows: Vec<_> = graphs.iter().map(Described::statistics).collect();
    bodies::statistics(&rows, &function_rows, &graph_rows, server_limits)
}

pub fn json(body: Vec<u8>) -> Reply {
    let mut reply = Response::new(Either::Left(Full::from(body)));
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

/// What is wrong, as functions say it: problem details, RFC 9457.
pub fn problem_details(status: StatusCode, detail: &str) -> Reply {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({ "status": status.as_u16(), "title": title, "detail": detail });
    let mut reply = json(body.to_string().into_bytes());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, PROBLEM);
    reply
}

/// What the server refuses before a function has seen it.
fn problem(error: &Error, version: Version) -> Reply {
    let mut reply = refuse(error, version);
    let problem = problem_details(reply.status(), &error.to_string());
    *reply.body_mut() = problem.into_body();
    reply.headers_mut().insert(CONTENT_TYPE, PROBLEM);
    reply
}

pub fn tensors(response: InferResponse) -> Reply {
    let mut reply = Response::new(Either::Left(Full::from(response.body)));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    if let Some(length) = response.inference_header_content_length {
        headers.insert(INFERENCE_HEADER_CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(encoding) = response.content_encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    reply
}

/// What a client is told whose request is refused.
pub fn refuse(error: &Error, version: Version) -> Reply {
    let mut reply = json(error.body());
    *reply.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    if let Some(allow) = error.allow() {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    // What is left of the body is not read.
    let unread = matches!(error, Error::PayloadTooLarge(_) | Error::RequestTimeout(_) | Error::HeadersTooLarge(_));
    if unread && version <= Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}
