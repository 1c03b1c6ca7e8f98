//! Spans, made of times that have been measured already.

use std::time::{Instant, SystemTime};

use hyper::HeaderMap;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer as _, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use crate::RequestId;
use crate::otlp::OtlpClient;
use crate::stage::Stages;

/// Where spans go, and how many.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceConfig {
    /// The collector, as in `http://localhost:4318`: the spans go to `/v1/traces` below it, by OTLP over HTTP.
    pub endpoint: String,
    /// The part of requests that are traced, from 0 to 1, of those that come without a trace of their own. Where a request has
    /// one, that says whether it is traced.
    pub ratio: f64,
}

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent to {endpoint}: {reason}")]
pub struct TraceError {
    endpoint: String,
    reason: String,
}

/// Makes spans, and sends them in the background. Cloning it is cheap.
#[derive(Clone)]
pub struct Tracer {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

/// The trace of a request. When this is dropped, its span ends.
pub struct Trace {
    tracer: SdkTracer,
    /// The request's own span, which those of its stages are within.
    context: Context,
    /// The same moment by both clocks.
    began: (Instant, SystemTime),
}

// === impl Tracer ===

impl Tracer {
    /// Sets up where spans go, in a runtime.
    ///
    /// # Errors
    ///
    /// The endpoint is no URL.
    pub fn new(config: &TraceConfig, runtime: Handle) -> Result<Tracer, TraceError> {
        let failed = |reason: String| TraceError { endpoint: config.endpoint.clone(), reason };
        if !config.endpoint.starts_with("http://") {
            return Err(failed("expected a URL that begins with http://".to_owned()));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OtlpClient::new(runtime))
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("samara");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.ratio))))
            .with_resource(resource.build())
            .build();
        let tracer = provider.tracer("samara");
        Ok(Tracer { provider, tracer, propagator: TraceContextPropagator::new() })
    }

    /// Begins the trace of a request, within the one that its headers tell of, if they do.
    #[must_use]
    pub fn begin(&self, name: String, headers: &HeaderMap, id: &RequestId) -> Trace {
        let began = (Instant::now(), SystemTime::now());
        let parent = self.propagator.extract(&HeaderExtractor(headers));
        let span = self
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_start_time(began.1)
            .with_attributes([KeyValue::new("samara.request_id", id.to_string())])
            .start_with_context(&self.tracer, &parent);
        Trace { tracer: self.tracer.clone(), context: parent.with_span(span), began }
    }

    /// Passes a trace on, in the headers of a request that is made within it.
    pub fn pass_on(&self, trace: &Trace, headers: &mut HeaderMap) {
        self.propagator.inject_context(&trace.context, &mut HeaderInjector(headers));
    }

    /// Sends what is left.
    pub fn flush(&self) {
        if let Err(error) = self.provider.shutdown() {
            // The log may be gone by now; there is nobody else to tell.
            let _ = error;
        }
    }
}

// === impl Trace ===

impl Trace {
    /// What it is known by.
    #[must_use]
    pub fn ids(&self) -> (TraceId, SpanId) {
        let span = self.context.span();
        let context = span.span_context();
        (context.trace_id(), context.span_id())
    }

    /// Adds a span for each stage that the request came to.
    pub fn add(&self, stages: &Stages) {
        // The request's own span may have ended by now: its reply is on its way before its instance is reset.
        if !self.context.span().span_context().is_sampled() {
            return;
        }
        for (stage, began, ended) in stages.iter() {
            let mut span = self
                .tracer
                .span_builder(stage.name())
                .with_kind(SpanKind::Internal)
                .with_start_time(self.time(began))
                .start_with_context(&self.tracer, &self.context);
            span.end_with_timestamp(self.time(ended));
        }
    }

    /// Notes how the request was answered.
    pub fn answered(&self, status: u16, outcome: &'static str) {
        self.end([KeyValue::new("http.response.status_code", i64::from(status))], outcome, status >= 500);
    }

    /// Notes how a request for a model was answered over gRPC, by the name of the code, and whether that is the server's fault.
    pub fn answered_grpc(&self, code: &'static str, model: &str, outcome: &'static str, failed: bool) {
        let attributes = [
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.response.status_code", code),
            KeyValue::new("samara.model", model.to_owned()),
        ];
        self.end(attributes, outcome, failed);
    }

    fn end(&self, attributes: impl IntoIterator<Item = KeyValue>, outcome: &'static str, failed: bool) {
        let span = self.context.span();
        span.set_attributes(attributes);
        span.set_attribute(KeyValue::new("samara.outcome", outcome));
        if failed {
            span.set_status(Status::error(outcome));
        }
        span.end();
    }

    /// A moment, by the clock on the wall.
    fn time(&self, moment: Instant) -> SystemTime {
        let (instant, time) = self.began;
        match moment.checked_duration_since(instant) {
            Some(later) => time + later,
            None => time - instant.duration_since(moment),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// What a function makes of the header is within the request's span, which is within its client's.
    #[tokio::test]
    async fn a_trace_is_passed_on() {
        let config = TraceConfig { endpoint: "http://127.0.0.1:9".to_owned(), ratio: 1.0 };
        let tracer = Tracer::new(&config, Handle::current()).unwrap();
        let mut headers = HeaderMap::new();
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", HeaderValue::from_static(given));
        let trace = tracer.begin("test".to_owned(), &headers, &RequestId::of(&headers));
        tracer.pass_on(&trace, &mut headers);
        let (trace_id, span_id) = trace.ids();
        assert_eq!(headers["traceparent"], format!("00-{trace_id}-{span_id}-01"));
        assert!(given.contains(&trace_id.to_string()) && !given.contains(&span_id.to_string()));
        // Without one, a trace begins here.
        let none = HeaderMap::new();
        let other = tracer.begin("test".to_owned(), &none, &RequestId::of(&none));
        assert_ne!(other.ids().0, trace_id);
    }
}
