//! What an instance carries on the host's side, and what it is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use samara_nn::Registry;
use samara_nn::wit::{NnCtx, NnView};
use samara_runtime::{Limits, MemoryLimit, Watch};
use wasmtime::Engine;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// The host's side of one instance.
pub struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: NoRequests,
    nn: NnCtx,
    /// How much each of its memories may have.
    pub memory: MemoryLimit,
    /// What stops it.
    pub watch: Watch,
}

/// Lets no request out.
struct NoRequests;

/// What guests may call. They get to see no file, no socket and no environment by any of it.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    samara_nn::wit::add_to_linker(&mut linker, Guest::nn)?;
    Ok(linker)
}

// === impl Guest ===

impl Guest {
    pub fn new(limits: &Limits, graphs: &Arc<Registry>) -> Guest {
        // What a guest prints is its log; standard output belongs to the command.
        let wasi = WasiCtx::builder().stdout(wasmtime_wasi::cli::stderr()).inherit_stderr().build();
        let mut nn = NnCtx::new(Arc::clone(graphs));
        nn.set_memory_limit(limits.memory_bytes);
        let memory = MemoryLimit::new(limits.memory_bytes);
        Guest {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            hooks: NoRequests,
            nn,
            memory,
            watch: Watch::default(),
        }
    }

    /// Sets how long a graph's computation may wait for its turn from now on.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.nn.set_deadline(Instant::now().checked_add(deadline));
    }

    fn nn(&mut self) -> NnView<'_> {
        NnView { table: &mut self.table, ctx: &mut self.nn }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

type Sent = Result<(hyper::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _request: hyper::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _body: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
