//! Requests and replies as gRPC has them: the protocol's `GRPCInferenceService`, and the standard health service.
//!
//! tonic reads messages and writes them, and `samara-grpc` has what is in them; here is what becomes of one. Inference goes the
//! same way as over HTTP, from `ask` on, so that both have the same queues, limits, metrics and traces.

mod codec;
mod facts;
mod health;
mod infer;
mod pace;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use samara_protocol::Error;
use samara_telemetry::RequestId;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::server::{Grpc as Exchange, StreamingService};
use tonic::{Code, Status, Streaming};

use self::codec::{Raw, Written};
use self::pace::{Pace, Paced};
use crate::http::{Service, head_bytes};

/// Answers requests over gRPC. Cloning it is cheap.
#[derive(Clone)]
pub struct Grpc {
    service: Arc<Service>,
    /// Whether the server is about to stop.
    stopping: watch::Receiver<bool>,
}

/// A request, but for its messages.
struct Call {
    began: Instant,
    id: RequestId,
    head: Parts,
}

/// The messages of a reply.
type Replies = Pin<Box<dyn Stream<Item = Result<Written, Status>> + Send>>;

/// What answers a call.
type Answer = Pin<Box<dyn Future<Output = Result<tonic::Response<Replies>, Status>> + Send>>;

/// What tonic hands the messages of a call to.
struct Handler {
    grpc: Grpc,
    method: Method,
    /// Present until the call is handed over.
    call: Option<Call>,
}

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// One message is answered with one.
    Unary(Unary),
    /// `ModelStreamInfer`.
    StreamInfer,
    /// `grpc.health.v1.Health/Watch`.
    Watch,
}

/// What is answered with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unary {
    Infer,
    Fact(facts::Fact),
    Health,
}

// === impl Grpc ===

impl Grpc {
    /// Answers with what a service has, until that is about to stop.
    pub fn new(service: Arc<Service>, stopping: watch::Receiver<bool>) -> Grpc {
        Grpc { service, stopping }
    }

    /// Answers a request.
    pub async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        let is_grpc =
            head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if head.method != hyper::Method::POST || !is_grpc {
            return no_grpc(&head);
        }
        let id = RequestId::of(&head.headers);
        let mut response = match self.method(&head) {
            Ok(method) => self.exchange(Call { began, id: id.clone(), head }, method, body).await,
            Err(status) => status.into_http(),
        };
        response.headers_mut().insert(RequestId::HEADER, id.value());
        response
    }

    /// What is called, if there is such a method and its metadata is no larger than allowed.
    fn method(&self, head: &Parts) -> Result<Method, Status> {
        let (size, allowed) = (head_bytes(head), self.service.config().max_header_bytes);
        if size > allowed {
            self.service.counters.header_bytes.fetch_add(1, Ordering::Relaxed);
            let message = format!("the request's path and metadata have {size} bytes, expected at most {allowed}");
            return Err(samara_grpc::status::status(&Error::HeadersTooLarge(message)));
        }
        let path = head.uri.path();
        Method::named(path).ok_or_else(|| Status::unimplemented(format!("there is no method {path:.100}")))
    }

    /// Has tonic read a call's messages and write those of its reply.
    async fn exchange(self, call: Call, method: Method, body: Incoming) -> Response<Body> {
        let config = self.service.config();
        let limit = usize::try_from(config.request.max_body_bytes).unwrap_or(usize::MAX);
        // A stream's messages come when they come; each, once it has begun, no slower than the only one of other calls.
        let pace = Arc::new(Pace::new(!matches!(method, Method::StreamInfer)));
        let body = Paced::new(body, Arc::clone(&pace), config.body_timeout);
        drop(config);
        // What it says of the coding of messages; the rest stays with the call.
        let mut request = Request::new(body);
        if let Some(encoding) = call.head.headers.get(GRPC_ENCODING) {
            request.headers_mut().insert(GRPC_ENCODING, encoding.clone());
        }
        let mut exchange = Exchange::new(Raw::new(pace)).max_decoding_message_size(limit);
        exchange.streaming(Handler { grpc: self, method, call: Some(call) }, request).await
    }

    /// The only message of a call.
    async fn message(&self, messages: &mut Streaming<Bytes>) -> Result<Bytes, Status> {
        match self.next_message(messages).await? {
            Some(message) => Ok(message),
            None => Err(Status::invalid_argument("there is no message, expected one")),
        }
    }

    /// The next message of a call, no larger than is allowed and no slower, if there is one.
    async fn next_message(&self, messages: &mut Streaming<Bytes>) -> Result<Option<Bytes>, Status> {
        messages.message().await.map_err(|status| {
            let counters = &self.service.counters;
            match status.code() {
                // So it calls a message that is too large.
                Code::OutOfRange => {
                    counters.body_bytes.fetch_add(1, Ordering::Relaxed);
                    let limit = self.service.config().request.max_body_bytes;
                    let message = format!("the message is larger than the {limit} bytes that are allowed");
                    samara_grpc::status::status(&Error::PayloadTooLarge(message))
                }
                // Which is said of nothing but the pace.
                Code::DeadlineExceeded => {
                    counters.body_timeout.fetch_add(1, Ordering::Relaxed);
                    status
                }
                _ => status,
            }
        })
    }

    async fn unary(self, unary: Unary, call: Call, mut messages: Streaming<Bytes>) -> Result<Written, Status> {
        let message = self.message(&mut messages).await?;
        match unary {
            Unary::Infer => {
                let reply = infer::infer(&self.service, &call, message, None).await;
                reply.map(Written::from).map_err(|error| samara_grpc::status::status(&error))
            }
            Unary::Fact(fact) => facts::tell(&self.service, fact, &message).map(Written::from),
            Unary::Health => health::check(&message, *self.stopping.borrow()).map(Written::from),
        }
    }
}

/// Is ready when the server is about to stop.
pub async fn stopping(mut stopping: watch::Receiver<bool>) {
    // Who would say so is gone only when the server is.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

const GRPC_ENCODING: &str = "grpc-encoding";

/// What a client is told that does not speak gRPC.
fn no_grpc(head: &Parts) -> Response<Body> {
    let (status, message) = match head.method {
        hyper::Method::POST => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/grpc"),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "expected POST, as gRPC has it"),
    };
    let mut response = Response::new(Body::new(http_body_util::Full::from(message)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/plain"));
    response
}

// === impl Handler ===

impl StreamingService<Bytes> for Handler {
    type Response = Written;
    type ResponseStream = Replies;
    type Future = Answer;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Answer {
        let (grpc, method, messages) = (self.grpc.clone(), self.method, request.into_inner());
        let Some(call) = self.call.take() else {
            return Box::pin(async { Err(Status::internal("a call that was handed over")) });
        };
        Box::pin(async move {
            let replies: Replies = match method {
                Method::Unary(unary) => {
                    let reply = grpc.unary(unary, call, messages).await?;
                    Box::pin(futures_util::stream::iter([Ok(reply)]))
                }
                Method::StreamInfer => Box::pin(infer::stream(grpc, call, messages)),
                Method::Watch => Box::pin(health::watch(grpc, messages).await?),
            };
            Ok(tonic::Response::new(replies))
        })
    }
}

// === impl Method ===

impl Method {
    /// The method at a path.
    fn named(path: &str) -> Option<Method> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        match service {
            health::INFERENCE => Some(match name {
                "ModelInfer" => Method::Unary(Unary::Infer),
                "ModelStreamInfer" => Method::StreamInfer,
                _ => Method::Unary(Unary::Fact(facts::Fact::named(name)?)),
            }),
            health::HEALTH => match name {
                "Check" => Some(Method::Unary(Unary::Health)),
                "Watch" => Some(Method::Watch),
                _ => None,
            },
            _ => None,
        }
    }
}
