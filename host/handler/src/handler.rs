//! A component that answers requests.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use samara_artifact::Inspection;
use samara_runtime::{Cancellation, CodeKey, CodeOrigin};
use tokio::sync::oneshot;
use wasmtime::component::Component;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use crate::guest::Guest;
use crate::run::{self, Reply, Request};
use crate::{HandleError, HandlerRuntime, Interface, LoadError};

/// A component that answers requests. Cloning it is cheap.
#[derive(Clone)]
pub struct Handler {
    inner: Arc<Inner>,
}

pub struct Inner {
    pub runtime: HandlerRuntime,
    pub component: ProxyPre<Guest>,
    /// Tells its instances from those of others.
    pub id: usize,
    pub reuse: NonZeroU32,
    interface: Interface,
    origin: CodeOrigin,
}

// === impl Handler ===

impl Handler {
    pub(crate) fn new(runtime: &HandlerRuntime, bytes: &[u8], reuse: NonZeroU32) -> Result<Handler, LoadError> {
        let shared = &runtime.shared;
        let interface = Interface::of(&Inspection::of(bytes)?, !shared.graphs.is_empty())?;
        if interface == Interface::IncomingHandler && reuse.get() > 1 {
            return Err(LoadError::NotReusable { reuse });
        }
        let key = CodeKey::of_content(&shared.engine, bytes);
        let cached = shared.cache.as_ref().and_then(|cache| cache.component(&shared.engine, &key));
        let (component, origin) = match cached {
            Some((component, _)) => (component, CodeOrigin::Cache),
            None => {
                let start = Instant::now();
                let compile = || Component::new(&shared.engine, bytes);
                let component = match &shared.functions {
                    Some(functions) => functions.during(compile),
                    None => compile(),
                };
                let component = component.map_err(LoadError::Compile)?;
                let origin = CodeOrigin::Compiled(start.elapsed());
                if let Some(cache) = &shared.cache {
                    cache.put(&key, &component.serialize().map_err(LoadError::Compile)?, None);
                }
                (component, origin)
            }
        };
        let prepared = shared.linker.instantiate_pre(&component).map_err(LoadError::Compile)?;
        let component = match interface {
            Interface::IncomingHandler => p2::bindings::ProxyPre::new(prepared).map(ProxyPre::P2),
            Interface::Handler => p3::bindings::ServicePre::new(prepared).map(ProxyPre::P3),
        };
        let component = component.map_err(LoadError::Compile)?;
        let id = shared.handlers.fetch_add(1, Ordering::Relaxed);
        Ok(Handler { inner: Arc::new(Inner { runtime: runtime.clone(), component, id, reuse, interface, origin }) })
    }

    /// The interface that it answers by.
    pub fn interface(&self) -> Interface {
        self.inner.interface
    }

    /// How many requests an instance answers, one after another.
    pub fn reuse(&self) -> NonZeroU32 {
        self.inner.reuse
    }

    /// Where its machine code came from.
    pub fn origin(&self) -> CodeOrigin {
        self.inner.origin
    }

    /// Answers a request within `deadline`, in a fresh instance, or in one that answers several.
    ///
    /// The head of the reply goes to `reply` as soon as the instance has given it, and its body follows as the instance
    /// writes it. What is returned is ready when the instance has done all there is to do, and has been reset or kept.
    /// It is to be awaited within a Tokio runtime.
    ///
    /// Where there is no reply, `reply` is told why; a failure after the head of the reply ends its body instead.
    pub async fn handle(
        &self,
        request: Request,
        deadline: Duration,
        reply: oneshot::Sender<Result<Reply, HandleError>>,
    ) {
        self.handle_unless(&Cancellation::default(), request, deadline, reply).await;
    }

    /// The same, unless it is cancelled: an instance that computes is stopped then. One that waits is stopped by dropping what
    /// this returns.
    pub async fn handle_unless(
        &self,
        cancellation: &Cancellation,
        request: Request,
        deadline: Duration,
        reply: oneshot::Sender<Result<Reply, HandleError>>,
    ) {
        run::run(&self.inner, request, deadline, cancellation, reply).await;
    }
}

// === impl Inner ===

impl Drop for Inner {
    fn drop(&mut self) {
        self.runtime.shared.idle.forget(self.id);
    }
}
