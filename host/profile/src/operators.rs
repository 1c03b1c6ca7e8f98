//! Where the time of an inference goes.
//!
//! A component can read no clock. Here its engine runs as what it is underneath, a core module, whose function table it
//! exports: one entry of that is a clock that stands still, and is replaced by one that goes. The engine then takes the time
//! of each operator itself, in an instance of its own.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use samara_artifact::core_module;
use samara_protocol::{Datatype, InputTensor};
use samara_runtime::{CodeCache, CodeKey, Config, FunctionCache, Limits};
use serde::{Deserialize, Serialize};
use wasmtime::{Engine, Func, Instance, Linker, Module, Ref, Store, StoreLimits, StoreLimitsBuilder, Trap};

/// Where the time of an inference goes.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// In the order in which they run.
    pub operators: Vec<Operator>,
    /// The fastest run, with what is between the operators.
    pub nanoseconds: u64,
    /// The most memory that an inference on the inputs for which the model was compiled has in use at once, beside the weights,
    /// in bytes.
    pub peak_bytes: u64,
    /// The memory in which that was planned, in bytes.
    pub arena_bytes: u64,
    /// Whether these inputs are like those: whether all that the inference allocates lies where it was planned.
    pub planned: bool,
    /// The rate at which this CPU does multiply-adds on numbers in registers, in the vector instructions of this engine, in
    /// 10⁹ operations a second. A multiply-add is two.
    pub peak_gflops: f64,
}

/// An operator of the optimised graph.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Operator {
    /// Its name in the graph.
    pub name: String,
    /// What kind of operator it is.
    pub kind: String,
    /// The kernels that it may run, where it is a product of matrices.
    pub kernels: Vec<String>,
    /// The least that it took.
    pub nanoseconds: u64,
    /// Floating-point operations, where the operator tells: two for each multiply-add.
    pub flops: u64,
    /// Bytes of its inputs and outputs.
    pub bytes: u64,
    /// Bytes of what is packed for its kernel, as weights are, where the operator tells.
    pub weight_bytes: u64,
    /// The shapes of its outputs.
    pub outputs: Vec<Vec<usize>>,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// It is no component.
    #[error(transparent)]
    Component(#[from] samara_artifact::InspectError),
    /// Its engine is not in it, or is too old to be profiled.
    #[error(
        "there is no engine in it that can be profiled: compile the model again with this version's `samara compile`"
    )]
    NoEngine,
    /// The inputs are such that they cannot be told to the engine.
    #[error("inputs of strings cannot be profiled")]
    Strings,
    /// The engine was stopped.
    #[error("the runs did not end within the time that is allowed: a deadline of {} ms for each", deadline.as_millis())]
    Deadline {
        /// What a run may take.
        deadline: Duration,
    },
    /// The engine has failed.
    #[error("the engine failed: {0}")]
    Engine(String),
}

/// What a core module exports that can be profiled.
const PROFILE: &str = "samara-profile";

/// How many rounds of multiply-adds are one measurement of the peak.
const PEAK_ROUNDS: u32 = 1 << 20;

/// How often the peak is measured; the fastest counts.
const PEAK_RUNS: usize = 20;

#[derive(Serialize)]
struct Input<'a> {
    datatype: Datatype,
    shape: &'a [u64],
}

#[derive(Serialize)]
struct Request<'a> {
    inputs: Vec<Input<'a>>,
    runs: usize,
}

#[derive(Deserialize)]
struct Reply {
    operators: Vec<Operator>,
    nanoseconds: u64,
    peak_bytes: u64,
    arena_bytes: u64,
    planned: bool,
}

/// Profiles the model in a component on `inputs`, which are all of its inputs in its order: `runs` runs, of which the
/// fastest counts, after one that does not. The machine code is kept in `cache`, from which functions come that are not
/// compiled for the first time. An instance may use as much memory as `limits` say, and for each run as much time.
///
/// # Errors
///
/// [`ProfileError`] says what is wrong with the component or its inputs.
pub fn operators(
    component: &[u8],
    inputs: &[InputTensor<'_>],
    runs: usize,
    limits: &Limits,
    cache: Option<&CodeCache>,
) -> Result<Profile, ProfileError> {
    let core = check(component, inputs)?;
    let mut guest =
        Guest::new(core, limits, runs, cache).map_err(|error| ProfileError::Engine(format!("{error:#}")))?;
    let head = Request {
        inputs: inputs.iter().map(|input| Input { datatype: input.datatype, shape: &input.shape }).collect(),
        runs,
    };
    let mut argument = serde_json::to_vec(&head).map_err(|error| ProfileError::Engine(error.to_string()))?;
    let length = u32::try_from(argument.len()).unwrap_or(u32::MAX).to_le_bytes();
    argument.splice(0..0, length);
    inputs.iter().for_each(|input| argument.extend_from_slice(&input.data));
    let reply = guest.profile(&argument).map_err(|error| match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => ProfileError::Deadline { deadline: limits.deadline },
        _ => ProfileError::Engine(format!("{error:#}")),
    })?;
    let Reply { operators, nanoseconds, peak_bytes, arena_bytes, planned } =
        // An older engine tells less.
        serde_json::from_slice(&reply).map_err(|_| ProfileError::NoEngine)?;
    let peak_gflops = guest.peak().map_err(|error| ProfileError::Engine(format!("{error:#}")))?;
    Ok(Profile { operators, nanoseconds, peak_bytes, arena_bytes, planned, peak_gflops })
}

/// Whether the model in a component can be profiled on inputs like these: its engine's core module.
///
/// # Errors
///
/// [`ProfileError`] says what is wrong with the component or its inputs.
pub fn check<'a>(component: &'a [u8], inputs: &[InputTensor<'_>]) -> Result<&'a [u8], ProfileError> {
    if inputs.iter().any(|input| input.datatype == Datatype::Bytes) {
        return Err(ProfileError::Strings);
    }
    core_module(component, PROFILE)?.ok_or(ProfileError::NoEngine)
}

/// An engine with its model, without the component around it.
struct Guest {
    store: Store<StoreLimits>,
    instance: Instance,
    /// Ends the thread that would stop it.
    _running: mpsc::Sender<()>,
}

impl Guest {
    fn new(core: &[u8], limits: &Limits, runs: usize, cache: Option<&CodeCache>) -> wasmtime::Result<Guest> {
        let mut config = Config::code_generation();
        let functions = cache.map(|cache| FunctionCache::enable(cache, &mut config)).transpose()?;
        let engine = Engine::new(&config)?;
        let key = CodeKey::of_content(&engine, core);
        let module = match cache.and_then(|cache| cache.module(&engine, &key)) {
            Some(module) => module,
            None => {
                let compile = || Module::new(&engine, core);
                let module = functions.as_ref().map_or_else(compile, |functions| functions.during(compile))?;
                if let Some(cache) = cache {
                    cache.put(&key, &module.serialize()?, None);
                }
                module
            }
        };
        let mut store = Store::new(&engine, StoreLimitsBuilder::new().memory_size(limits.memory_bytes).build());
        store.limiter(|limits| limits);
        store.set_epoch_deadline(1);
        let running = stop_after(
            &engine,
            limits.deadline.saturating_mul(u32::try_from(runs).unwrap_or(u32::MAX).saturating_add(1)),
        );
        let mut linker = Linker::new(&engine);
        // What serving HTTP imports.
        linker.define_unknown_imports_as_traps(&module)?;
        let instance = linker.instantiate(&mut store, &module)?;
        let place = instance.get_typed_func::<(), u32>(&mut store, "samara-clock")?.call(&mut store, ())?;
        let table = instance
            .get_table(&mut store, "__indirect_function_table")
            .ok_or_else(|| wasmtime::format_err!("it exports no function table"))?;
        let begin = Instant::now();
        let clock = Func::wrap(&mut store, move || u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
        table.set(&mut store, u64::from(place), Ref::Func(Some(clock)))?;
        Ok(Guest { store, instance, _running: running })
    }

    fn profile(&mut self, argument: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let (store, instance) = (&mut self.store, &self.instance);
        let memory =
            instance.get_memory(&mut *store, "memory").ok_or_else(|| wasmtime::format_err!("it has no memory"))?;
        let length = u32::try_from(argument.len())?;
        let address = instance.get_typed_func::<u32, u32>(&mut *store, "samara-buffer")?.call(&mut *store, length)?;
        memory.write(&mut *store, address as usize, argument)?;
        let outcome = instance.get_typed_func::<(), i32>(&mut *store, PROFILE)?.call(&mut *store, ())?;
        let place = instance.get_typed_func::<(), u64>(&mut *store, "samara-reply")?.call(&mut *store, ())?;
        let (address, length) = ((place >> 32) as usize, (place & 0xffff_ffff) as usize);
        let reply = memory.data(&*store).get(address..address.saturating_add(length));
        let reply = reply.ok_or_else(|| wasmtime::format_err!("its reply is outside its memory"))?.to_vec();
        wasmtime::ensure!(outcome == 0, "{}", String::from_utf8_lossy(&reply));
        Ok(reply)
    }

    fn peak(&mut self) -> wasmtime::Result<f64> {
        let peak = self.instance.get_typed_func::<u32, u64>(&mut self.store, "samara-peak")?;
        let mut best = 0.0_f64;
        for _ in 0..PEAK_RUNS {
            let start = Instant::now();
            let operations = peak.call(&mut self.store, PEAK_ROUNDS)?;
            best = best.max(operations as f64 / start.elapsed().as_secs_f64().max(1e-9) / 1e9);
        }
        Ok(best)
    }
}

/// Stops what runs in an engine when the time is over, unless what is given back is dropped before.
fn stop_after(engine: &Engine, time: Duration) -> mpsc::Sender<()> {
    let (running, stopped) = mpsc::channel();
    let engine = engine.clone();
    thread::spawn(move || {
        if stopped.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
            engine.increment_epoch();
        }
    });
    running
}
