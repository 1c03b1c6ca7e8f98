//! A guest with the model in it, frozen: the engine with its graph, or the adapter with what it is to ask for.
//!
//! Wizer makes a module whose memory and globals start as those of an instance are now. What it needs to see them is
//! added to the guest first (`instrument`), and gone afterwards.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use samara_runtime::{CodeCache, CodeKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::{Engine, Instance, Linker, Memory, Module, Store, TypedFunc};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use crate::nnef::Part;
use crate::{CompileError, references};

/// A guest, ready to take a model.
pub struct Prepared {
    wizer: Wizer,
    guest: &'static [u8],
    module: Module,
}

/// The export that loads the model, which no snapshot keeps.
const LOAD: &str = "samara-load";

/// The export that runs the loaded model once more.
const REHEARSE: &str = "samara-rehearse";

impl Prepared {
    /// Makes the machine code of a core module, instrumented, or takes it from the cache.
    pub fn new(guest: &'static [u8], cache: Option<&CodeCache>) -> Result<Prepared, CompileError> {
        let failed = |error: wasmtime::Error| CompileError::Engine(format!("{error:#}"));
        let mut wizer = Wizer::new();
        wizer.init_func(LOAD).keep_init_func(false);
        let (_, instrumented) = wizer.instrument(guest).map_err(failed)?;
        let engine = Engine::new(&configuration()).map_err(failed)?;
        let key = CodeKey::of_content(&engine, &instrumented);
        if let Some(module) = cache.and_then(|cache| cache.module(&engine, &key)) {
            return Ok(Prepared { wizer, guest, module });
        }
        let module = Module::new(&engine, &instrumented).map_err(failed)?;
        if let Some(cache) = cache {
            cache.put(&key, &module.serialize().map_err(failed)?, None);
        }
        Ok(Prepared { wizer, guest, module })
    }

    /// Loads a model, and gives what the guest tells about it and the guest's core module with it inside.
    ///
    /// The declaration and the reply are those of the guest's own loader, in JSON.
    pub fn freeze<Reply: DeserializeOwned>(
        &self,
        declaration: &impl Serialize,
        parts: Vec<Part>,
    ) -> Result<(Reply, Frozen<'_>), CompileError> {
        let mut guest = Guest::instantiate(&self.module)?;
        for part in parts {
            guest.resource(&part)?;
        }
        let declaration = serde_json::to_vec(declaration).map_err(|error| CompileError::Engine(error.to_string()))?;
        let reply = guest.load(&declaration)?;
        let loaded = serde_json::from_slice(&reply).map_err(|error| CompileError::Engine(error.to_string()))?;
        let called = guest.rehearse()?;
        guest.finish()?;
        Ok((loaded, Frozen { prepared: self, guest, called }))
    }
}

/// A guest that has loaded a model, about to be written down.
pub struct Frozen<'a> {
    prepared: &'a Prepared,
    guest: Guest,
    /// The entries of its function table that a run calls.
    called: Vec<u32>,
}

impl Frozen<'_> {
    /// The module that starts as the instance is now.
    pub fn module(mut self) -> Result<Vec<u8>, CompileError> {
        let failed = |error: wasmtime::Error| CompileError::Engine(format!("{error:#}"));
        let wizer = &self.prepared.wizer;
        let (context, _) = wizer.instrument(self.prepared.guest).map_err(failed)?;
        let module = at_once(wizer.snapshot(&context, &mut self.guest))?.map_err(failed)?;
        references::made_at_start(module, &self.called).map_err(|error| CompileError::Engine(error.to_string()))
    }
}

/// The settings under which models are loaded. Memories are made on demand and may use all of their 4 GiB.
fn configuration() -> wasmtime::Config {
    let mut config = samara_runtime::Config::code_generation();
    config.epoch_interruption(false).memory_init_cow(false);
    config
}

/// An instance of a guest's core module.
struct Guest {
    store: Store<()>,
    instance: Instance,
    memory: Memory,
    buffer: TypedFunc<u32, u32>,
    load: TypedFunc<(), i32>,
    reply: TypedFunc<(), u64>,
    finish: TypedFunc<(), ()>,
}

impl Guest {
    fn instantiate(module: &Module) -> Result<Guest, CompileError> {
        let failed = |error: wasmtime::Error| CompileError::Engine(format!("{error:#}"));
        let mut store = Store::new(module.engine(), ());
        let mut linker = Linker::new(module.engine());
        // What serving HTTP imports; loading calls none of it.
        linker.define_unknown_imports_as_traps(module).map_err(failed)?;
        let instance = linker.instantiate(&mut store, module).map_err(failed)?;
        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or_else(|| CompileError::Engine("it exports no memory".to_owned()))?;
        Ok(Guest {
            buffer: instance.get_typed_func(&mut store, "samara-buffer").map_err(failed)?,
            load: instance.get_typed_func(&mut store, LOAD).map_err(failed)?,
            reply: instance.get_typed_func(&mut store, "samara-reply").map_err(failed)?,
            finish: instance.get_typed_func(&mut store, "samara-finish").map_err(failed)?,
            store,
            instance,
            memory,
        })
    }

    fn resource(&mut self, part: &Part) -> Result<(), CompileError> {
        let label = part.label.as_bytes();
        let resource: TypedFunc<u32, i32> = self
            .instance
            .get_typed_func(&mut self.store, "samara-resource")
            .map_err(|error| CompileError::Engine(format!("{error:#}")))?;
        self.write(&[label, &part.content])?;
        let outcome = resource.call(&mut self.store, label.len() as u32);
        self.check(outcome).map(drop)
    }

    fn load(&mut self, declaration: &[u8]) -> Result<Vec<u8>, CompileError> {
        self.write(&[declaration])?;
        let outcome = self.load.call(&mut self.store, ());
        self.check(outcome)
    }

    /// Runs the model once more, where the guest runs it itself, and gives the entries of its function table that this calls.
    fn rehearse(&mut self) -> Result<Vec<u32>, CompileError> {
        let Ok(rehearse) = self.instance.get_typed_func::<(), i32>(&mut self.store, REHEARSE) else {
            return Ok(Vec::new());
        };
        let watched = references::called(&mut self.store, &self.instance, |store| rehearse.call(store, ()));
        let (outcome, called) = watched.map_err(|error| self.explain(&error))?;
        self.check(outcome)?;
        Ok(called)
    }

    fn finish(&mut self) -> Result<(), CompileError> {
        let outcome = self.finish.call(&mut self.store, ());
        outcome.map_err(|error| self.explain(&error))
    }

    /// Puts the argument of the next call into the guest's buffer.
    fn write(&mut self, pieces: &[&[u8]]) -> Result<(), CompileError> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let length = u32::try_from(length).map_err(|_| CompileError::OutOfMemory)?;
        let outcome = self.buffer.call(&mut self.store, length);
        let mut address = outcome.map_err(|error| self.explain(&error))? as usize;
        for piece in pieces {
            self.memory
                .write(&mut self.store, address, piece)
                .map_err(|error| CompileError::Engine(error.to_string()))?;
            address += piece.len();
        }
        Ok(())
    }

    /// The reply of the last call, or the error that it is.
    fn check(&mut self, outcome: wasmtime::Result<i32>) -> Result<Vec<u8>, CompileError> {
        let outcome = outcome.map_err(|error| self.explain(&error))?;
        let place = self.reply.call(&mut self.store, ()).map_err(|error| self.explain(&error))?;
        let (address, length) = ((place >> 32) as usize, (place & 0xffff_ffff) as usize);
        let reply = self
            .memory
            .data(&self.store)
            .get(address..address + length)
            .ok_or_else(|| CompileError::Engine("its reply is outside its memory".to_owned()))?
            .to_vec();
        if outcome == 0 { Ok(reply) } else { Err(CompileError::Engine(String::from_utf8_lossy(&reply).into_owned())) }
    }

    /// What a trap means: the memory is full, or tract gave up.
    fn explain(&self, error: &wasmtime::Error) -> CompileError {
        const NEARLY_FULL: u64 = (4 << 30) - (256 << 20);
        if self.memory.data_size(&self.store) as u64 >= NEARLY_FULL {
            CompileError::OutOfMemory
        } else {
            CompileError::Engine(format!("{error:#}"))
        }
    }
}

impl InstanceState for Guest {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut self.store, name).expect("instrumentation exports every global");
        match global.get(&mut self.store) {
            wasmtime::Val::I32(value) => SnapshotVal::I32(value),
            wasmtime::Val::I64(value) => SnapshotVal::I64(value),
            wasmtime::Val::F32(bits) => SnapshotVal::F32(bits),
            wasmtime::Val::F64(bits) => SnapshotVal::F64(bits),
            wasmtime::Val::V128(value) => SnapshotVal::V128(value.as_u128()),
            other => unreachable!("guests have no mutable global of type {other:?}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&mut self.store, name).expect("instrumentation exports every memory");
        contents(memory.data(&self.store));
    }
}

/// The result of a future that waits for nothing, as those of Wizer do on an instance like ours.
fn at_once<F: Future>(future: F) -> Result<F::Output, CompileError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(CompileError::Engine("the snapshot waits for something".to_owned())),
    }
}
