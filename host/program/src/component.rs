//! Components that export `wasi:cli/run@0.2`.

use std::sync::Arc;

use samara_nn::wit::{self, NnCtx, NnView};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::limit::Limit;
use crate::{Options, ProgramError, wasi};

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    nn: NnCtx,
    limit: Limit,
}

pub fn run(engine: &Engine, program: &[u8], options: &Options) -> Result<i32, ProgramError> {
    let component = Component::new(engine, program).map_err(ProgramError::Start)?;
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(ProgramError::Start)?;
    wit::add_to_linker(&mut linker, State::nn).map_err(ProgramError::Start)?;
    let mut nn = NnCtx::new(Arc::clone(&options.graphs));
    nn.set_memory_limit(options.memory_bytes);
    let (wasi, table) = (wasi(options)?.build(), ResourceTable::new());
    let mut store = Store::new(engine, State { wasi, table, nn, limit: Limit::new(options.memory_bytes) });
    store.limiter(|state| &mut state.limit);
    store.set_hostcall_fuel(options.memory_bytes);
    let command = Command::instantiate(&mut store, &component, &linker).map_err(ProgramError::Start)?;
    let result = command.wasi_cli_run().call_run(&mut store).map_err(ProgramError::Trap)?;
    Ok(if result.is_ok() { 0 } else { 1 })
}

impl State {
    fn nn(&mut self) -> NnView<'_> {
        NnView { table: &mut self.table, ctx: &mut self.nn }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
