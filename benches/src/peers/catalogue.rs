//! Who is compared: Samara in its ways, and others.

use anyhow::Result;

use super::peer::{Lab, Peer, Subject};
use super::{child, http, naive, nn, tract, wasm};

/// A peer that can be started.
pub struct Kind {
    /// What programs call it.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// Its settings: its best for one thread.
    pub settings: &'static str,
    /// Its version, where it does not tell it itself.
    pub version: fn() -> Option<String>,
    /// What of Samara's it is compared with; nothing for what is Samara's.
    pub against: Option<&'static str>,
    /// Loads a model.
    pub start: fn(&Lab<'_>, &Subject) -> Result<Box<dyn Peer>>,
}

/// Samara in wasm, a fresh instance for each inference: what peers are compared with.
pub const FRESH: &str = "samara-fresh";
/// The same in one instance.
pub const REUSED: &str = "samara-reused";
/// The same with all that the fresh instance costs.
pub const IN_ALL: &str = "samara-in-all";
/// Samara over HTTP: what servers are compared with.
pub const HTTP: &str = "samara-http";
/// ONNX Runtime in Python.
pub const ONNXRUNTIME: &str = "onnxruntime-python";
/// ONNX Runtime without Python.
pub const ONNXRUNTIME_NATIVE: &str = "onnxruntime-native";
/// tract, natively.
pub const TRACT: &str = "tract";
/// ONNX Runtime in wasm.
pub const ONNXRUNTIME_WEB: &str = "onnxruntime-web";

/// All of them, in the order of the table.
pub const ALL: &[Kind] = &[
    Kind {
        id: FRESH,
        name: "Samara, wasm, fresh instance",
        settings: "relaxed SIMD, Wasmtime; a fresh instance for each run, made before it as `samara serve` does; \
                   the call is timed",
        version: wasmtime,
        against: None,
        start: wasm::fresh,
    },
    Kind {
        id: REUSED,
        name: "Samara, wasm, reused instance",
        settings: "the same in one instance for all runs",
        version: wasmtime,
        against: None,
        start: wasm::reused,
    },
    Kind {
        id: IN_ALL,
        name: "Samara, wasm, fresh instance in all",
        settings: "as the first; the making of the instance, the call and the instance's reset are timed",
        version: wasmtime,
        against: None,
        start: wasm::in_all,
    },
    Kind {
        id: HTTP,
        name: "Samara over HTTP",
        settings: "`samara serve` as it is, a fresh instance for each request; one client on one connection, which stays \
                   open; tensors in binary form",
        version: wasmtime,
        against: None,
        start: http::samara,
    },
    Kind {
        id: "samara-tract",
        name: "Samara, host's tract",
        settings: "`--target nn`, backend tract, one context; a fresh instance for each run, made before it",
        version: || None,
        against: None,
        start: nn::tract,
    },
    Kind {
        id: "samara-onnxruntime",
        name: "Samara, host's ONNX Runtime",
        settings: "`--target nn`, backend onnxruntime, one context of one thread; a fresh instance for each run, made before it",
        version: || None,
        against: None,
        start: nn::onnxruntime,
    },
    Kind {
        id: ONNXRUNTIME,
        name: "ONNX Runtime in Python",
        settings: "one thread, sequential, all optimisations; inputs made once; `InferenceSession.run` is timed",
        version: || None,
        against: Some(FRESH),
        start: child::onnxruntime_python,
    },
    Kind {
        id: ONNXRUNTIME_NATIVE,
        name: "ONNX Runtime, C API",
        settings: "the same library in this process, without Python; one thread, all optimisations",
        version: || None,
        against: Some(FRESH),
        start: nn::onnxruntime_directly,
    },
    Kind {
        id: TRACT,
        name: "tract, native",
        settings: "all shapes fixed, `into_optimized`, inputs made once; one thread, as ever",
        version: tract::version,
        against: Some(FRESH),
        start: tract::start,
    },
    Kind {
        id: "rten",
        name: "rten, native",
        settings: "one thread, on which the runs are called; optimised, weights packed before; built with link-time optimisation",
        version: || None,
        against: Some(FRESH),
        start: child::rten,
    },
    Kind {
        id: ONNXRUNTIME_WEB,
        name: "onnxruntime-web on Node",
        settings: "execution provider wasm (SIMD), `numThreads = 1`, all optimisations; V8's optimising compiler from the start \
                   (`--no-liftoff`)",
        version: || None,
        against: Some(FRESH),
        start: child::onnxruntime_web,
    },
    Kind {
        id: "naive",
        name: "naive function on Wasmtime",
        settings: "tract compiled to wasm with relaxed SIMD and for speed; each request gets a new instance, parses its ONNX \
                   file, optimises and runs it; machine code made before",
        version: naive::version,
        against: Some(FRESH),
        start: naive::start,
    },
    Kind {
        id: "fastapi",
        name: "FastAPI with ONNX Runtime over HTTP",
        settings: "uvicorn with uvloop and httptools, one worker, no access log; the model runs in the event loop, one thread; \
                   the same client and the same requests as Samara's",
        version: || None,
        against: Some(HTTP),
        start: http::fastapi,
    },
];

/// The peer of this name.
pub fn find(id: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.id == id)
}

fn wasmtime() -> Option<String> {
    crate::machine::version_of("wasmtime")
}
