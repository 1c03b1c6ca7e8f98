//! One request, in an instance of its own.

use std::future::poll_fn;
use std::time::Duration;

use futures_channel::oneshot as proxy;
use samara_runtime::Ticker;
use tokio::sync::oneshot;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{Prepared, ProxyPre};

use crate::guest::Guest;
use crate::{HandleError, Shared};

/// A request, with a body that is there or comes.
pub type Request = hyper::Request<WasiBody>;

/// A reply, whose body comes as the instance writes it.
pub type Reply = hyper::Response<WasiBody>;

/// The body of a [`Reply`].
pub type ReplyBody = WasiBody;

pub async fn run(
    mut store: Store<Guest>,
    component: &ProxyPre<Guest>,
    shared: &Shared,
    request: Request,
    deadline: Duration,
    reply: oneshot::Sender<Result<Reply, HandleError>>,
) {
    // The instance's time is the processor's, which epochs measure, and that in which it waits.
    store.set_epoch_deadline(Ticker::ticks(deadline));
    let _running = shared.ticker.running();
    let (head, given) = proxy::channel();
    let mut reply = Some(reply);
    let mut refused = None;
    let result = {
        let instance = answer(&mut store, component, request, head);
        let forwarded = async {
            match given.await {
                Ok(Ok(response)) => {
                    if let Some(reply) = reply.take() {
                        // If nobody waits any more, the reply is for nobody.
                        let _ = reply.send(Ok(response));
                    }
                }
                Ok(Err(error)) => refused = Some(error),
                // The instance ended before it gave anything.
                Err(_) => {}
            }
        };
        let both = async { tokio::join!(instance, forwarded).0 };
        tokio::time::timeout(deadline, both).await
    };
    let Some(reply) = reply else { return };
    let error = match (result, refused) {
        (Err(_), _) => HandleError::Deadline { deadline },
        (Ok(Err(error)), _) | (Ok(Ok(())), Some(error)) => explain(&error, &store, shared, deadline),
        (Ok(Ok(())), None) => HandleError::Failed("it ended without a reply".to_owned()),
    };
    drop(store);
    let _ = reply.send(Err(error));
}

/// Runs an instance until it has nothing more to do: its reply is given, and so is all of the body.
async fn answer(
    store: &mut Store<Guest>,
    component: &ProxyPre<Guest>,
    request: Request,
    reply: proxy::Sender<wasmtime::Result<Reply>>,
) -> wasmtime::Result<()> {
    let instance = component.instantiate_async(&mut *store).await?;
    store
        .run_concurrent(async |accessor| {
            let prepared = accessor.with(|mut store| {
                Prepared::new(
                    wasmtime::AsContextMut::as_context_mut(&mut store),
                    &instance,
                    request,
                    Guest::http,
                    reply,
                )
            })?;
            prepared.run(accessor, std::future::pending()).await?;
            // The body of a reply is written by tasks that outlive the call.
            poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
            wasmtime::error::Ok(())
        })
        .await?
}

/// What an error of Wasmtime means to whoever wanted a reply.
fn explain(error: &wasmtime::Error, store: &Store<Guest>, shared: &Shared, deadline: Duration) -> HandleError {
    if store.data().memory.is_exceeded() {
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
