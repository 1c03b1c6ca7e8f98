//! Core modules for WASI's preview 1.

use std::sync::Arc;

use samara_nn::witx::{self, WitxCtx};
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};

use crate::limit::Limit;
use crate::{Options, ProgramError, wasi};

struct State {
    wasi: WasiP1Ctx,
    nn: WitxCtx,
    limit: Limit,
}

pub fn run(engine: &Engine, program: &[u8], options: &Options) -> Result<i32, ProgramError> {
    let module = Module::new(engine, program).map_err(ProgramError::Start)?;
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |state: &mut State| &mut state.wasi).map_err(ProgramError::Start)?;
    witx::add_to_linker(&mut linker, |state: &mut State| &mut state.nn).map_err(ProgramError::Start)?;
    let mut nn = WitxCtx::new(Arc::clone(&options.graphs));
    nn.set_memory_limit(options.memory_bytes);
    let mut store =
        Store::new(engine, State { wasi: wasi(options)?.build_p1(), nn, limit: Limit::new(options.memory_bytes) });
    store.limiter(|state| &mut state.limit);
    let instance = linker.instantiate(&mut store, &module).map_err(ProgramError::Start)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(ProgramError::Start)?;
    start.call(&mut store, ()).map_err(ProgramError::Trap)?;
    Ok(0)
}
