//! Compiles an ONNX model into a WASI component that carries the optimised model.
//!
//! The way, one module a stage:
//!
//! 1. `onnx`: the file is read, checked, and turned into a typed graph, on the host.
//! 2. `nnef`: the graph is written in parts that the engine understands.
//! 3. `snapshot`: an instance of the engine takes the parts, optimises the graph for the vector
//!    instructions that it was built for, packs the weights, and is frozen as it is.
//! 4. `component`: the frozen module becomes a component with a manifest.
//! 5. [`compile`]: runs it all, has the machine code made, and runs the result once in a fresh instance.
//!
//! A model that its host is to run goes a shorter way, [`compile_for_host`]: the adapter takes the engine's place, and what
//! it is told is what the file declares.

mod adapter;
mod compile;
mod component;
mod destination;
mod engine;
mod error;
mod for_host;
mod nnef;
mod onnx;
mod progress;
mod references;
mod snapshot;

pub use compile::{Compiled, Options, Report, compile};
pub use destination::Destination;
pub use engine::component as engine_component;
pub use error::CompileError;
pub use for_host::{CompiledForHost, ReportForHost, compile_for_host};
pub use onnx::InputShape;
pub use progress::{Progress, StepTime};

/// What writes components: the tool and its version.
pub const GENERATOR: &str = concat!("samara ", env!("CARGO_PKG_VERSION"));
