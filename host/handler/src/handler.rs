//! A component that answers requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use samara_artifact::Inspection;
use samara_runtime::{CodeKey, CodeOrigin, MemoryLimit};
use tokio::sync::oneshot;
use wasmtime::Store;
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

struct Inner {
    runtime: HandlerRuntime,
    component: ProxyPre<Guest>,
    interface: Interface,
    origin: CodeOrigin,
}

// === impl Handler ===

impl Handler {
    pub(crate) fn new(runtime: &HandlerRuntime, bytes: &[u8]) -> Result<Handler, LoadError> {
        let shared = &runtime.shared;
        let interface = Interface::of(&Inspection::of(bytes)?)?;
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
        Ok(Handler { inner: Arc::new(Inner { runtime: runtime.clone(), component, interface, origin }) })
    }

    /// The interface that it answers by.
    pub fn interface(&self) -> Interface {
        self.inner.interface
    }

    /// Where its machine code came from.
    pub fn origin(&self) -> CodeOrigin {
        self.inner.origin
    }

    /// Answers a request in a fresh instance, within `deadline`.
    ///
    /// The head of the reply goes to `reply` as soon as the instance has given it, and its body follows as the instance
    /// writes it. What is returned is ready when the instance has come to its end, and has been reset.
    ///
    /// Where there is no reply, `reply` is told why; a failure after the head of the reply ends its body instead.
    pub async fn handle(
        &self,
        request: Request,
        deadline: Duration,
        reply: oneshot::Sender<Result<Reply, HandleError>>,
    ) {
        let Inner { runtime, component, .. } = &*self.inner;
        let limits = &runtime.shared.limits;
        let mut store = Store::new(&runtime.shared.engine, Guest::new(MemoryLimit::new(limits.memory_bytes)));
        store.limiter(|guest| &mut guest.memory);
        run::run(store, component, &runtime.shared, request, deadline, reply).await;
    }
}
