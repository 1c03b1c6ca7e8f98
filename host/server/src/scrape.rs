//! Metrics: what there is to tell, and an address of their own for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use samara_protocol::Error;
use samara_runtime::trim_heap;
use samara_telemetry::{Resident, Subject, process_open_files, process_resident_bytes};
use tokio::net::TcpListener;

use crate::http::{METRICS_PATH, Reply, Service, json, refuse};
use crate::repository::Served;

/// From how many bytes on the memory in which metrics are put together is given back.
const LARGE: usize = 1 << 20;

/// How long a client may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells metrics, until it is dropped.
pub async fn serve(listener: TcpListener, service: Arc<Service>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (builder, service) = (builder.clone(), Arc::clone(&service));
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { Ok::<_, Infallible>(answer(&service, &request).await) }
            });
            // A client that breaks off does so at its own cost.
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(service: &Arc<Service>, request: &Request<Incoming>) -> Reply {
    let reply = if request.uri().path() == METRICS_PATH {
        service.tell_metrics(request.method()).await
    } else {
        Err(Error::NotFound(format!("only {METRICS_PATH} is here")))
    };
    reply.unwrap_or_else(|error| refuse(&error, request.version()))
}

impl Service {
    /// The metrics, if they are asked for as they should be.
    pub async fn tell_metrics(self: &Arc<Self>, method: &Method) -> Result<Reply, Error> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Error::MethodNotAllowed { allow: "GET, HEAD" });
        }
        // It reads what the kernel has mapped, which can take some milliseconds.
        let service = Arc::clone(self);
        let text = tokio::task::spawn_blocking(move || {
            let text = service.metrics_text();
            // What was put together for it is several times as large, and not needed again for a while.
            if text.len() > LARGE {
                trim_heap();
            }
            text
        });
        let text = text.await;
        let text = text.map_err(|error| Error::Internal(format!("the metrics were lost: {error}")))?;
        let mut reply = json(text.into_bytes());
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
        Ok(reply)
    }

    fn metrics_text(&self) -> String {
        let admission = &self.workers.admission;
        self.metrics.text(|scrape| {
            let resident = Resident::read();
            scrape.process(process_resident_bytes(), process_open_files());
            for (limit, count) in self.counters.read() {
                scrape.limit(None, limit, count);
            }
            let catalog = self.repository.catalog();
            scrape.models(catalog.models().count(), self.keeper.mapped().len());
            for (reason, count) in self.keeper.evictions() {
                scrape.evictions(reason, count);
            }
            // What has never been asked has nothing to tell.
            let known = |served: &Arc<Served>| served.series.get().is_some();
            for served in catalog.models().filter(|served| known(served)) {
                let (subject, metadata) = (served.subject(), served.metadata());
                for (limit, count) in served.counters.limits() {
                    scrape.limit(Some(&subject), limit, count);
                }
                scrape.triton(&metadata.name, &metadata.version, served.counters.triton());
                let bytes = served.model.if_mapped().and_then(|model| resident.at(model.image().start));
                scrape.resident(&metadata.name, &metadata.version, bytes.unwrap_or(0));
            }
            // A model's versions share a queue.
            for versions in catalog.by_model().filter(|versions| versions.all().any(known)) {
                let Some(newest) = versions.all().next_back() else { continue };
                scrape.versions(&newest.metadata().name, versions.all().count());
                if let Some(lane) = newest.lane.get() {
                    let depth = admission.depth(*lane);
                    let (name, version) = (newest.metadata().name.clone(), String::new());
                    scrape.depth(&Subject::Model { name, version }, depth.waiting, depth.running);
                }
            }
            for function in self.functions.iter() {
                let subject = function.subject();
                for (limit, count) in function.counters.limits() {
                    scrape.limit(Some(&subject), limit, count);
                }
                if let Some(lane) = function.lane.get() {
                    let depth = admission.depth(*lane);
                    scrape.depth(&subject, depth.waiting, depth.running);
                }
            }
        })
    }
}
