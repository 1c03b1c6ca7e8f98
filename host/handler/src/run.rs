//! One request, in an instance of its own, or in one that it has for a while.

use std::convert::Infallible;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot as proxy;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use samara_runtime::{Cancellation, Watch};
use tokio::sync::oneshot;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::Prepared;

use crate::guest::Guest;
use crate::handler::Inner;
use crate::reuse::Instance;
use crate::{HandleError, Shared};

/// How long an instance that is to answer another request waits for what is left of its reply to be read.
const READ: Duration = Duration::from_millis(100);

/// A request, with a body that is there or comes.
pub type Request = hyper::Request<WasiBody>;

/// A reply, whose body comes as the instance writes it.
pub type Reply = hyper::Response<WasiBody>;

/// The body of a [`Reply`].
pub type ReplyBody = WasiBody;

/// Answers a request in an instance: one that waits for it, where the component's instances answer several, or else a
/// fresh one.
pub async fn run(
    handler: &Inner,
    request: Request,
    deadline: Duration,
    cancellation: &Cancellation,
    reply: oneshot::Sender<Result<Reply, HandleError>>,
) {
    let shared = &*handler.runtime.shared;
    let mut reply = Some(reply);
    let mut instance = None;
    // Whether what an instance starts with is more memory than it may have.
    let mut too_large = false;
    let mut refused = None;
    let _running = shared.ticker.running();
    let result = {
        let answered = async {
            let instance = instance.insert(obtain(handler, deadline, cancellation, &mut too_large).await?);
            let (head, given) = proxy::channel::<wasmtime::Result<Reply>>();
            let (reading, read) = oneshot::channel();
            let forwarded = async {
                match given.await {
                    Ok(Ok(response)) => {
                        if let Some(reply) = reply.take() {
                            let response = response.map(|body| Watched { body, _until: reading }.boxed_unsync());
                            // If nobody waits any more, the reply is for nobody.
                            let _ = reply.send(Ok(response));
                        }
                    }
                    Ok(Err(error)) => refused = Some(error),
                    // The instance ended before it gave anything.
                    Err(_) => {}
                }
            };
            tokio::join!(answer(instance, request, head, read, handler.reuse), forwarded).0
        };
        tokio::time::timeout(deadline, answered).await
    };
    let Some(reply) = reply else {
        if let (Ok(Ok(Read::Whole)), Some(instance)) = (result, instance)
            && !instance.store.data().memory.is_exceeded()
        {
            shared.idle.keep(handler.id, instance, handler.reuse);
        }
        return;
    };
    let exceeded = too_large || instance.is_some_and(|instance| instance.store.data().memory.is_exceeded());
    let error = match (result, refused) {
        _ if cancellation.is_cancelled() => HandleError::Cancelled,
        (Err(_), _) => HandleError::Deadline { deadline },
        (Ok(Err(error)), _) | (Ok(Ok(_)), Some(error)) => explain(&error, exceeded, shared, deadline),
        (Ok(Ok(_)), None) => HandleError::Failed("it ended without a reply".to_owned()),
    };
    let _ = reply.send(Err(error));
}

/// An instance for a request that has so much time. Says whether there is none for the memory that it would take.
async fn obtain(
    handler: &Inner,
    deadline: Duration,
    cancellation: &Cancellation,
    too_large: &mut bool,
) -> wasmtime::Result<Instance> {
    let shared = &*handler.runtime.shared;
    let watch = |store: &mut Store<Guest>| {
        store.set_epoch_deadline(1);
        store.data_mut().watch = Watch::new(deadline, cancellation);
        store.data_mut().set_deadline(deadline);
    };
    if let Some(mut instance) = shared.idle.take(handler.id) {
        watch(&mut instance.store);
        return Ok(instance);
    }
    loop {
        let mut store = Store::new(&shared.engine, Guest::new(&shared.limits, &shared.graphs));
        store.limiter(|guest| &mut guest.memory);
        // A call to the host can carry as much as the instance can hold.
        store.set_hostcall_fuel(shared.limits.memory_bytes);
        store.epoch_deadline_callback(|context| Ok(context.data().watch.at_epoch()));
        watch(&mut store);
        match handler.component.instantiate_async(&mut store).await {
            Ok(proxy) => return Ok(Instance { store, proxy, requests: 0 }),
            Err(error) if error.is::<PoolConcurrencyLimitError>() && shared.idle.make_place() => {}
            Err(error) => {
                *too_large = store.data().memory.is_exceeded();
                return Err(error);
            }
        }
    }
}

/// Runs an instance until it has nothing more to do: its reply is given, and so is all of the body. `read` is closed when
/// the body has been read, which only an instance that is to answer another request waits for.
async fn answer(
    instance: &mut Instance,
    request: Request,
    reply: proxy::Sender<wasmtime::Result<Reply>>,
    read: oneshot::Receiver<Infallible>,
    reuse: NonZeroU32,
) -> wasmtime::Result<Read> {
    let Instance { store, proxy, requests } = instance;
    *requests += 1;
    store
        .run_concurrent(async |accessor| {
            let prepared = accessor.with(|mut store| {
                Prepared::new(wasmtime::AsContextMut::as_context_mut(&mut store), proxy, request, Guest::http, reply)
            })?;
            prepared.run(accessor, std::future::pending()).await?;
            // The body of a reply is written by tasks that outlive the call.
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            if *requests >= reuse.get() {
                return wasmtime::error::Ok(Read::Unknown);
            }
            // What an instance leaves to be read when its last task has ended, as trailers, is read from the instance; and
            // whoever does not read it keeps this thread for a moment, and the instance from others for good.
            Ok(match tokio::time::timeout(READ, read).await {
                Ok(_) => Read::Whole,
                Err(_) => Read::Unknown,
            })
        })
        .await?
}

/// Whether the body of a reply has been read to its end.
enum Read {
    Whole,
    Unknown,
}

/// The body of a reply, which tells that it has been read by being dropped.
struct Watched {
    body: ReplyBody,
    _until: oneshot::Sender<Infallible>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What an error of Wasmtime means to whoever wanted a reply.
fn explain(error: &wasmtime::Error, memory_exceeded: bool, shared: &Shared, deadline: Duration) -> HandleError {
    if memory_exceeded {
        return HandleError::Memory { limit_bytes: shared.limits.memory_bytes };
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return HandleError::Instances { limit: shared.limits.instances };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => HandleError::Deadline { deadline },
        _ => HandleError::Failed(format!("{error:#}")),
    }
}
