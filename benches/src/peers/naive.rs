//! A function as one writes it without Samara, on Wasmtime as it comes: `functions/naive-program`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use wasmtime::{Engine, Linker, Memory, Module, Store, TypedFunc};

use super::peer::{Lab, Peer, Subject};
use crate::http::{Reply, Request};
use crate::samara::repository;
use crate::tensor::{Form, Tensor, infer_request, outputs_of};

/// Where `functions/build.sh` leaves it.
const MODULE: &str = "functions/target/naive-program/samara-naive-program.wasm";

/// The program, as machine code.
#[derive(Clone)]
pub struct Program {
    module: Module,
    linker: Linker<()>,
}

/// The program with a model and a request.
struct Naive {
    program: Program,
    model: Vec<u8>,
    request: Request,
}

/// The naive function.
pub fn start(lab: &Lab<'_>, subject: &Subject) -> Result<Box<dyn Peer>> {
    let path = &subject.build.onnx;
    let model = std::fs::read(path).with_context(|| path.display().to_string())?;
    let request = infer_request(&subject.build.name, &subject.inputs, Form::Binary)?;
    Ok(Box::new(Naive { program: lab.naive()?.clone(), model, request }))
}

/// What it is made of. The guests pin tract's release as the host does.
pub fn version() -> Option<String> {
    let (wasmtime, tract) = (crate::machine::version_of("wasmtime")?, super::tract::version()?);
    Some(format!("{tract}, {wasmtime}"))
}

impl Program {
    /// Compiles it, which takes seconds.
    pub fn compile() -> Result<Program> {
        let path = repository().join(MODULE);
        ensure!(path.is_file(), "there is no {MODULE}: functions/build.sh naive-program");
        let engine = Engine::default();
        let module = Module::from_file(&engine, path).map_err(|error| anyhow!("{error:#}"))?;
        Ok(Program { module, linker: Linker::new(&engine) })
    }

    /// Answers a request in an instance of its own.
    fn answer(&self, model: &[u8], request: &Request) -> wasmtime::Result<Reply> {
        let mut store = Store::new(self.module.engine(), ());
        let instance = self.linker.instantiate(&mut store, &self.module)?;
        let memory = instance.get_memory(&mut store, "memory").ok_or_else(|| wasmtime::format_err!("no memory"))?;
        let allocate: TypedFunc<u32, u32> = instance.get_typed_func(&mut store, "allocate")?;
        let infer: TypedFunc<(u32, u32, u32, u32, u32), u32> = instance.get_typed_func(&mut store, "infer")?;
        let mut give = |bytes: &[u8]| -> wasmtime::Result<(u32, u32)> {
            let length = u32::try_from(bytes.len())?;
            let address = allocate.call(&mut store, length)?;
            memory.write(&mut store, address as usize, bytes)?;
            Ok((address, length))
        };
        let (model, model_bytes) = give(model)?;
        let (body, body_bytes) = give(request.body())?;
        let header = u32::try_from(request.header_length().unwrap_or(0))?;
        let told = infer.call(&mut store, (model, model_bytes, body, body_bytes, header))?;
        let [address, bytes, header] = numbers(&memory, &store, told)?;
        let mut body = vec![0; bytes];
        memory.read(&store, address, &mut body)?;
        if header == 0 {
            wasmtime::bail!("{}", String::from_utf8_lossy(&body));
        }
        Ok(Reply { status: 200, header_length: Some(header), body })
    }
}

/// Three numbers that the program has left in its memory.
fn numbers(memory: &Memory, store: &Store<()>, address: u32) -> wasmtime::Result<[usize; 3]> {
    let mut bytes = [0; 12];
    memory.read(store, address as usize, &mut bytes)?;
    let mut numbers = [0; 3];
    for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *number = u32::from_le_bytes(*bytes) as usize;
    }
    Ok(numbers)
}

impl Naive {
    fn run(&self) -> Result<Reply> {
        match self.program.answer(&self.model, &self.request) {
            Ok(reply) => Ok(reply),
            Err(error) => bail!("{error:#}"),
        }
    }
}

impl Peer for Naive {
    fn outputs(&mut self) -> Result<Vec<Tensor>> {
        outputs_of(&self.run()?)
    }

    fn time(&mut self, count: usize) -> Result<Vec<Duration>> {
        let run = |_| {
            let start = Instant::now();
            self.run()?;
            Ok(start.elapsed())
        };
        (0..count).map(run).collect()
    }
}
