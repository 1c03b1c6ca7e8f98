//! What a component is served with by those who know nothing of Samara: after the example of `wasmtime-wasi-http`, and
//! with nothing set that Wasmtime does not set by itself, but for where it keeps the functions that it has compiled.

use std::borrow::Cow;
use std::fs;
use std::future::poll_fn;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use samara_tests::models;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{CacheStore, Config, Engine, Result, Store, format_err};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, p3,
};

use crate::nn::{self, Nn};

/// A component, by the handler that it exports.
enum Handler {
    /// `wasi:http/incoming-handler@0.2`.
    Incoming(ProxyPre<State>),
    /// `wasi:http/handler@0.3`.
    Service(ServicePre<State>),
}

/// A host that serves one component, with `wasi:nn` where it asks for that. It stops when this is dropped.
pub struct BareHost {
    address: SocketAddr,
    _runtime: Runtime,
}

impl BareHost {
    /// Compiles the component, and serves it on a port that is free.
    pub fn start(component: &Path) -> BareHost {
        let mut config = Config::new();
        config.enable_incremental_compilation(Arc::new(Functions(models::function_cache()))).unwrap();
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_file(&engine, component).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi_http::p2::add_to_linker_async(&mut linker).unwrap();
        wasmtime_wasi::p3::add_to_linker(&mut linker).unwrap();
        wasmtime_wasi_http::p3::add_to_linker(&mut linker).unwrap();
        nn::add_to_linker(&mut linker, |state: &mut State| &mut state.nn);
        let prepared = linker.instantiate_pre(&component).unwrap();
        let handler = match ProxyPre::new(prepared.clone()) {
            Ok(component) => Handler::Incoming(component),
            Err(_) => Handler::Service(ServicePre::new(prepared).unwrap()),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, Arc::new(handler)));
        BareHost { address, _runtime: runtime }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, handler: Arc<Handler>) {
    while let Ok((client, _)) = listener.accept().await {
        let handler = Arc::clone(&handler);
        let service = service_fn(move |request| {
            let handler = Arc::clone(&handler);
            async move {
                match &*handler {
                    Handler::Incoming(component) => answer(component, request).await,
                    Handler::Service(component) => answer_concurrently(component, request).await,
                }
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(client), service));
    }
}

async fn answer(component: &ProxyPre<State>, request: Request<Incoming>) -> Result<Response<WasiBody>> {
    let mut store = Store::new(component.engine(), State::default());
    let (sender, receiver) = oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    let component = component.clone();
    // In a task of its own, since a guest goes on after it has set the head of its reply.
    let task = tokio::spawn(async move {
        let proxy = component.instantiate_async(&mut store).await?;
        proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
    });
    match receiver.await {
        Ok(reply) => Ok(reply?),
        Err(_) => {
            task.await??;
            Err(format_err!("the guest returned without a reply"))
        }
    }
}

async fn answer_concurrently(component: &ServicePre<State>, request: Request<Incoming>) -> Result<Response<WasiBody>> {
    let mut store = Store::new(component.engine(), State::default());
    let (sender, receiver) = oneshot::channel();
    let (request, sent) = p3::Request::from_http(store.data_mut().http().hooks, request);
    let component = component.clone();
    let task = tokio::spawn(async move {
        let service = component.instantiate_async(&mut store).await?;
        store
            .run_concurrent(async |accessor| {
                let response = service.handle(accessor, request).await??;
                let response = accessor.with(|store| response.into_http(store, sent))?;
                // If nobody waits any more, the reply is for nobody.
                let _ = sender.send(response);
                poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
                wasmtime::error::Ok(())
            })
            .await?
    });
    match receiver.await {
        Ok(reply) => Ok(reply),
        Err(_) => {
            task.await??;
            Err(format_err!("the guest returned without a reply"))
        }
    }
}

/// A directory of functions that hosts like this have compiled: most of them are the engine's, which all models have in common.
#[derive(Debug)]
struct Functions(PathBuf);

impl Functions {
    fn path(&self, key: &[u8]) -> PathBuf {
        let digits: Vec<String> = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(digits.concat())
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        fs::read(self.path(key)).ok().map(Cow::Owned)
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        // Another test may be at the same function.
        let write = || NamedTempFile::new_in(&self.0).and_then(|mut file| file.write_all(&code).map(|()| file));
        write().is_ok_and(|file| file.persist(self.path(key)).is_ok())
    }
}

/// What an instance has of its host.
#[derive(Default)]
pub struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: NoRequests,
    /// The graphs that it may ask for.
    pub nn: Nn,
}

/// Lets no request out: a model has nobody to ask.
#[derive(Default)]
struct NoRequests;

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _body: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
