//! Connections: accepted, held to their limits, and let finish when the server stops.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};

use crate::Config;
use crate::activity::Busy;
use crate::http::Service;
use crate::linger::Lingering;

/// What a listener's clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2, whichever a client begins with.
    Http,
    /// gRPC, which is HTTP/2.
    Grpc,
}

/// Serves until `stop` is ready, then lets what has begun come to its end.
pub async fn serve<F, A, B>(
    listener: TcpListener,
    service: Arc<Service>,
    protocol: Protocol,
    answer: F,
    stop: impl Future<Output = ()>,
) where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: others may close theirs in the meantime.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // Before anything else can find that nobody is served.
        let about_to = service.activity.begin();
        tokio::spawn(hold(stream, Arc::clone(&service), about_to, protocol, answer.clone(), graceful.watcher()));
    }
    drop(listener);
    service.workers.admission.drain();
    let longest = service.longest();
    if tokio::time::timeout(longest, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

fn builder(config: &Config, protocol: Protocol) -> auto::Builder<TokioExecutor> {
    // The service refuses what is over the limit, with a reason; what is far over it, hyper does without one.
    let header_bytes = config.max_header_bytes + HEADER_SLACK_BYTES;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(header_bytes)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX));
    match protocol {
        Protocol::Http => builder,
        Protocol::Grpc => builder.http2_only(),
    }
}

/// How much larger than allowed headers may be and still be answered with a reason.
const HEADER_SLACK_BYTES: usize = 64 << 10;

/// How much of a refused body is read and forgotten at least, if it comes.
const FORGOTTEN_BYTES: u64 = 16 << 20;

/// Answers the requests of one connection.
async fn hold<F, A, B>(
    stream: TcpStream,
    service: Arc<Service>,
    about_to: Busy,
    protocol: Protocol,
    answer: F,
    watcher: Watcher,
) where
    F: Fn(Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Replies are written whole; there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    // Those that hold now hold for this connection.
    let config = service.config();
    let began = Arc::new(AtomicBool::new(false));
    // Whoever has connected is about to ask, until the first request is there.
    let about_to = Mutex::new(Some(about_to));
    let unread = Arc::new(AtomicBool::new(false));
    let stream = Lingering::new(stream, Arc::clone(&unread), config.request.max_body_bytes.max(FORGOTTEN_BYTES));
    let answer = service_fn({
        let (began, service) = (Arc::clone(&began), Arc::clone(&service));
        move |request| {
            began.store(true, Ordering::Relaxed);
            let busy = service.activity.begin();
            drop(about_to.lock().unwrap_or_else(PoisonError::into_inner).take());
            let (reply, unread) = (answer(request), Arc::clone(&unread));
            async move {
                let reply = reply.await;
                // The service closes connections for no other reason.
                if reply.headers().contains_key(CONNECTION) {
                    unread.store(true, Ordering::Relaxed);
                }
                drop(busy);
                Ok::<_, Infallible>(reply)
            }
        }
    });
    let builder = builder(&config, protocol);
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(watcher.watch(connection));
    // Whoever has not sent a request by now does not mean to: hyper's own timeout begins only once it is known which
    // version of HTTP the client speaks.
    let result = match tokio::time::timeout(config.header_timeout, &mut connection).await {
        Ok(result) => result,
        Err(_) if began.load(Ordering::Relaxed) => connection.await,
        Err(_) => {
            service.counters.header_timeout.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    if let Err(error) = result {
        count(&service, &*error, began.load(Ordering::Relaxed));
    }
}

/// Counts the limits that ended a connection.
///
/// A connection that is kept after a request and asks for nothing more runs into the same timeout as one that is slow to
/// ask, but there is nothing wrong with it.
fn count(service: &Service, error: &(dyn Error + Send + Sync + 'static), began: bool) {
    let Some(error) = error.downcast_ref::<hyper::Error>() else { return };
    if error.is_timeout() && !began {
        service.counters.header_timeout.fetch_add(1, Ordering::Relaxed);
    } else if error.is_parse_too_large() {
        service.counters.header_bytes.fetch_add(1, Ordering::Relaxed);
    }
}
