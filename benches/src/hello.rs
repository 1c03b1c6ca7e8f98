//! A hello world on Wasmtime without Samara: `hello.wat` as a component, served the way `wasmtime serve` does it, with
//! `wasmtime-wasi-http` and a pooling allocator, each request in a fresh instance.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::anyhow;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::samara::repository;

const WORLD: &str = "package samara:bench; world hello { export wasi:http/incoming-handler@0.2.0; }";

/// A server that says hello. It stops when it is dropped.
pub struct Hello {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Hello {
    /// Compiles the component, and serves it on a port that is free.
    pub fn start() -> anyhow::Result<Hello> {
        let failed = |error: wasmtime::Error| anyhow!("{error:#}");
        let mut config = Config::new();
        config.allocation_strategy(PoolingAllocationConfig::default());
        let engine = Engine::new(&config).map_err(failed)?;
        let component = Component::from_binary(&engine, &component()?).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi_http::p2::add_to_linker_async(&mut linker).map_err(failed)?;
        let component = linker.instantiate_pre(&component).and_then(ProxyPre::new).map_err(failed)?;
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(serve(listener, Arc::new(component)));
        Ok(Hello { address, _runtime: runtime })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// `hello.wat` as a component.
fn component() -> anyhow::Result<Vec<u8>> {
    let mut module = wat::parse_file(repository().join("benches").join("hello.wat"))?;
    let failed = |error| anyhow!("{error:#}");
    let mut resolve = Resolve::default();
    resolve.push_dir(repository().join("wit")).map_err(failed)?;
    let package = resolve.push_str("hello.wit", WORLD).map_err(failed)?;
    let world = resolve.select_world(&[package], Some("hello")).map_err(failed)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(failed)?;
    ComponentEncoder::default().module(&module).and_then(|encoder| encoder.validate(true).encode()).map_err(failed)
}

async fn serve(listener: TcpListener, component: Arc<ProxyPre<State>>) {
    while let Ok((client, _)) = listener.accept().await {
        // Small replies must not wait for an acknowledgement.
        let _ = client.set_nodelay(true);
        let component = Arc::clone(&component);
        let service = service_fn(move |request| {
            let component = Arc::clone(&component);
            async move { answer(&component, request).await }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(client), service));
    }
}

async fn answer(
    component: &ProxyPre<State>,
    request: Request<Incoming>,
) -> wasmtime::Result<Response<HyperOutgoingBody>> {
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
            Err(wasmtime::format_err!("the guest returned without a reply"))
        }
    }
}

#[derive(Default)]
struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: NoRequests,
}

/// Lets no request out: the guest makes none.
#[derive(Default)]
struct NoRequests;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Connection, Request};

    #[test]
    fn it_says_hello() {
        let hello = Hello::start().expect("a server");
        let reply = Connection::open(hello.address())
            .and_then(|mut connection| connection.send(&Request::get("/")))
            .expect("a reply");
        assert_eq!((reply.status, &reply.body[..]), (200, &b"hello"[..]));
    }
}
