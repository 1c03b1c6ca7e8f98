//! ONNX Runtime, whose library is loaded when the first graph wants it.
//!
//! There is one session a graph, so that its weights are in memory once, and every context runs that session. Crate `ort`
//! takes a session by `&mut`, which would make that one computation at a time; so `Run`, and the values that go in and
//! out, are called here as ONNX Runtime's C interface has them. Its authors say that a session may be run by any number of
//! threads; where an execution provider cannot bear that, the session takes a lock of its own.

mod value;

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ort::environment::Environment;
use ort::ep::{CUDA, TensorRT};
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::sys::OrtValue;
use ort::value::{Outlet, ValueType};
use ort::{AsPointer, ErrorCode};
use samara_protocol::{Datatype, TensorSpec};

use self::value::{Aligned, Value, check, datatype};
use super::{Backend, Context, Loaded, Source};
use crate::registry::Options;
use crate::spec::{BackendKind, Device, GraphSpec, Optimization};
use crate::{BackendError, ComputeError, Tensor, declared, library};

/// What to do where there is no library.
const INSTALL: &str =
    "install one (`pip install onnxruntime`, or `onnxruntime-gpu` for CUDA) or name it with --ort-dylib";

/// The oldest interface that will do: ONNX Runtime 1.17's.
const API_VERSION: u32 = ort::MINOR_VERSION;

/// The library, which a process can load once.
static LIBRARY: Mutex<Option<Arc<Library>>> = Mutex::new(None);

struct Library {
    path: PathBuf,
    version: String,
    environment: Environment,
}

/// A graph that ONNX Runtime runs.
struct Graph {
    session: Session,
    memory: MemoryInfo<'static>,
    input_names: Vec<CString>,
    output_names: Vec<CString>,
}

struct OrtBackend(Arc<Graph>);

struct OrtContext(Arc<Graph>);

/// Loads a graph.
pub fn load(source: Source<'_>, spec: &GraphSpec, options: &Options) -> Result<Loaded, BackendError> {
    let library = open(options)?;
    let (session, device, fell_back) = match spec.device {
        device @ (Device::Cpu | Device::Cuda(_) | Device::Tensorrt(_)) => {
            (library.session(source, spec, device)?, device, None)
        }
        Device::Auto => match library.session(source, spec, Device::Cuda(0)) {
            Ok(session) => (session, Device::Cuda(0), None),
            Err(BackendError::Device { reason, .. }) => {
                (library.session(source, spec, Device::Cpu)?, Device::Cpu, Some(reason))
            }
            Err(other) => return Err(other),
        },
    };
    let inputs = specs(session.inputs())?;
    let outputs = specs(session.outputs())?;
    let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)
        .map_err(|error| model(error.message()))?;
    let graph = Graph { input_names: names(&inputs)?, output_names: names(&outputs)?, session, memory };
    Ok(Loaded {
        backend: Box::new(OrtBackend(Arc::new(graph))),
        version: library.version.clone(),
        device,
        fell_back,
        inputs,
        outputs,
    })
}

fn model(reason: impl Into<String>) -> BackendError {
    BackendError::Model { backend: BackendKind::Onnxruntime, reason: reason.into() }
}

fn unusable(reason: impl Into<String>) -> BackendError {
    BackendError::Library { backend: BackendKind::Onnxruntime, reason: reason.into() }
}

fn names(specs: &[TensorSpec]) -> Result<Vec<CString>, BackendError> {
    let name = |spec: &TensorSpec| CString::new(spec.name.as_str());
    specs.iter().map(name).collect::<Result<_, _>>().map_err(|_| model("a tensor's name has a NUL in it"))
}

fn specs(outlets: &[Outlet]) -> Result<Vec<TensorSpec>, BackendError> {
    let spec = |outlet: &Outlet| match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => Ok(TensorSpec {
            name: outlet.name().to_owned(),
            datatype: datatype(*ty).ok_or_else(|| {
                model(format!("{:?} has {ty:?} elements, which the protocol has no datatype for", outlet.name()))
            })?,
            shape: shape.iter().map(|&size| size.max(-1)).collect(),
        }),
        other => Err(model(format!("{:?} is {other}, and only tensors can go in and out", outlet.name()))),
    };
    outlets.iter().map(spec).collect()
}

// === impl Library ===

/// Loads the library, unless that has been done.
fn open(options: &Options) -> Result<Arc<Library>, BackendError> {
    let path = options
        .ort_dylib
        .clone()
        .or_else(library::onnxruntime)
        .ok_or_else(|| unusable(format!("ONNX Runtime's library is not to be found: {INSTALL}")))?;
    let path =
        path.canonicalize().map_err(|error| unusable(format!("cannot open {}: {error}; {INSTALL}", path.display())))?;
    let mut library = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = &*library {
        if library.path != path {
            let reason = format!("{} is loaded, and {} cannot be too", library.path.display(), path.display());
            return Err(unusable(reason));
        }
        return Ok(Arc::clone(library));
    }
    let version = probe(&path)?;
    let broken = |reason: String| unusable(format!("{}: {reason}", path.display()));
    let environment = ort::init_from(&path)
        .map_err(|error| broken(error.to_string()))?
        .with_name("samara")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| broken(error.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    Ok(Arc::clone(library.insert(Arc::new(Library { path, version, environment }))))
}

/// Passes on what ONNX Runtime has to say.
fn log(level: LogLevel, _category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => tracing::debug!(location, "ONNX Runtime: {message}"),
        LogLevel::Warning => tracing::warn!(location, "ONNX Runtime: {message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(location, "ONNX Runtime: {message}"),
    }
}

/// Checks that the file is ONNX Runtime's library and new enough, since `ort` panics where it is not. Gives its version.
fn probe(path: &Path) -> Result<String, BackendError> {
    type GetApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;

    let broken = |reason: String| unusable(format!("{}: {reason}; {INSTALL}", path.display()));
    // SAFETY: Loading a library runs its initialisers. The operator names the file, and trusts it as much as Samara.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| broken(error.to_string()))?;
    // SAFETY: A library that exports this name is ONNX Runtime, where it has this type.
    let get_base = unsafe { library.get::<GetApiBase>(b"OrtGetApiBase") }
        .map_err(|_| broken("it is not ONNX Runtime's library".to_owned()))?;
    // SAFETY: It takes nothing, and gives null or a pointer to what lives as long as the library.
    let base = unsafe { get_base().as_ref() }.ok_or_else(|| broken("it has no interface".to_owned()))?;
    // SAFETY: It takes nothing, and gives null or a string that lives as long as the library.
    let version = unsafe { (base.GetVersionString)() };
    let version = if version.is_null() {
        "unknown".to_owned()
    } else {
        // SAFETY: As above: a string that ends with NUL.
        unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned()
    };
    let mut parts = version.split('.');
    let is_first = parts.next() == Some("1");
    let minor: u32 = parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
    // SAFETY: It takes any number, and gives null for a version that it does not have.
    let has_interface = is_first && minor >= API_VERSION && !unsafe { (base.GetApi)(API_VERSION) }.is_null();
    if !has_interface {
        let reason = format!("it is version {version}, and 1.{API_VERSION} or a later 1.x is needed");
        return Err(broken(reason));
    }
    Ok(version)
}

impl Library {
    /// Makes a session that runs on a device.
    fn session(&self, source: Source<'_>, spec: &GraphSpec, device: Device) -> Result<Session, BackendError> {
        let fault = |error: ort::Error| {
            let of_model = matches!(
                error.code(),
                ErrorCode::InvalidProtobuf
                    | ErrorCode::InvalidGraph
                    | ErrorCode::NoModel
                    | ErrorCode::NoSuchFile
                    | ErrorCode::NotImplemented
            );
            match device {
                Device::Cuda(_) | Device::Tensorrt(_) if !of_model => BackendError::Device {
                    device,
                    backend: BackendKind::Onnxruntime,
                    reason: error.message().to_owned(),
                },
                _ => model(error.message()),
            }
        };
        let mut builder = self.builder(spec, device).map_err(fault)?;
        match source {
            Source::File(path) => builder.commit_from_file(path).map_err(fault),
            Source::Bytes(bytes) => {
                declared::decode(bytes).and_then(|proto| declared::names_no_files(&proto)).map_err(model)?;
                builder.commit_from_memory(bytes).map_err(fault)
            }
        }
    }

    fn builder(&self, spec: &GraphSpec, device: Device) -> Result<SessionBuilder, ort::Error> {
        let level = match spec.optimization {
            Optimization::None => GraphOptimizationLevel::Disable,
            Optimization::Basic => GraphOptimizationLevel::Level1,
            Optimization::Extended => GraphOptimizationLevel::Level2,
            Optimization::All => GraphOptimizationLevel::All,
        };
        let builder = Session::builder(&self.environment)?
            .with_optimization_level(level)?
            .with_parallel_execution(false)?
            .with_inter_threads(1)?
            .with_intra_threads(spec.threads)?
            // Threads that wait by turning in circles would take the cores from the other contexts.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        let number = |number: u32| i32::try_from(number).map_err(|_| ort::Error::new("no device has that number"));
        // TF32 has 10 bits of precision, which the model's author may not have reckoned with.
        let cuda = |number| CUDA::default().with_device_id(number).with_tf32(false).build().error_on_failure();
        let providers = match device {
            Device::Cpu | Device::Auto => return Ok(builder),
            Device::Cuda(device) => vec![cuda(number(device)?)],
            // What TensorRT cannot run, CUDA does.
            Device::Tensorrt(device) => {
                let number = number(device)?;
                vec![TensorRT::default().with_device_id(number).build().error_on_failure(), cuda(number)]
            }
        };
        Ok(builder.with_execution_providers(providers)?)
    }
}

// === impl Graph ===

impl Graph {
    fn run(self: &Arc<Self>, inputs: &[Tensor]) -> Result<Vec<Tensor>, ComputeError> {
        let data: Vec<Aligned<'_>> = inputs.iter().map(|tensor| Aligned::new(&tensor.data)).collect();
        let values = inputs
            .iter()
            .zip(&data)
            .map(|(tensor, data)| match tensor.datatype {
                Datatype::Bytes => Value::of_strings(tensor),
                datatype => Value::borrowing(&self.memory, datatype, &tensor.shape, data, tensor.data.len()),
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(explain)?;
        let outputs = self.run_values(&values)?;
        let taken = outputs.into_iter().map(|output| {
            let tensor = output.into_tensor(self)?;
            // An output that is an input's own is that input's value.
            let is_in_an_input = data.iter().any(|data| data.contains(tensor.data.as_ptr()));
            Ok(if is_in_an_input { Tensor { data: Bytes::copy_from_slice(&tensor.data), ..tensor } } else { tensor })
        });
        taken.collect::<Result<_, _>>().map_err(explain)
    }

    fn run_values(&self, inputs: &[Value<'_>]) -> Result<Vec<Value<'static>>, ComputeError> {
        let input_names: Vec<_> = self.input_names.iter().map(|name| name.as_ptr()).collect();
        let output_names: Vec<_> = self.output_names.iter().map(|name| name.as_ptr()).collect();
        let inputs: Vec<*const OrtValue> = inputs.iter().map(|input| input.as_ptr()).collect();
        let mut outputs: Vec<*mut OrtValue> = vec![ptr::null_mut(); output_names.len()];
        if inputs.len() != input_names.len() {
            let reason = format!("{} inputs for a graph with {}", inputs.len(), input_names.len());
            return Err(ComputeError::InvalidArgument(reason));
        }
        // SAFETY: The session lives as long as `self`. It may be run by several threads at once: ONNX Runtime's authors say
        // so (microsoft/onnxruntime#114), and a provider for which that is not so makes the session lock itself. Each list
        // has as many entries as is said; the values and names outlive the call, which writes nothing but `outputs`.
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                input_names.as_ptr(),
                inputs.as_ptr(),
                inputs.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            )
        };
        // Before the status is looked at, so that what there is is released.
        let outputs: Vec<Option<Value<'static>>> = outputs.into_iter().map(Value::owning).collect();
        check(status).map_err(explain)?;
        let missing = || ComputeError::Failed("ONNX Runtime gave no value for an output".to_owned());
        outputs.into_iter().collect::<Option<_>>().ok_or_else(missing)
    }
}

/// What an error of ONNX Runtime's means to whoever wanted a computation.
fn explain(error: ort::Error) -> ComputeError {
    let message = error.message().to_owned();
    let lower = message.to_lowercase();
    let is_memory = [
        "out of memory",
        "failed to allocate memory",
        "bad allocation",
        "bad_alloc",
        "alloc_failed",
        "resource allocation failed",
    ];
    let is_arena = lower.contains("available memory of") && lower.contains("smaller than requested");
    if is_arena || is_memory.iter().any(|text| lower.contains(text)) {
        return ComputeError::TooLarge(message);
    }
    match error.code() {
        ErrorCode::InvalidArgument => ComputeError::InvalidArgument(message),
        _ => ComputeError::Failed(format!("ONNX Runtime: {message}")),
    }
}

impl Backend for OrtBackend {
    fn context(&self) -> Result<Box<dyn Context>, ComputeError> {
        Ok(Box::new(OrtContext(Arc::clone(&self.0))))
    }
}

impl Context for OrtContext {
    fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, ComputeError> {
        self.0.run(&inputs)
    }
}
