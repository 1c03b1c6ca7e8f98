//! A program as users of crate `wasi-nn` have them, in the older form of `wasi-nn`, for the tests of `samara run`.
//!
//! It asks for the graph `anomaly-autoencoder` by its name, then brings the same graph itself, then asks for one that there
//! is not, and prints a line about each. `wasm32-wasip1` would give it a `main` and `println!`; where only
//! `wasm32-unknown-unknown` can be built, it calls the two functions of WASI that it needs itself.

#![cfg(target_arch = "wasm32")]

use wasi_nn::{EXECUTION_TARGET_CPU, GRAPH_ENCODING_ONNX, Graph, TENSOR_TYPE_F32, Tensor};

const NAME: &str = "anomaly-autoencoder";
const MODEL: &[u8] = include_bytes!("../../../models/onnx/anomaly-autoencoder.onnx");

/// A piece of text, as `fd_write` wants it.
#[repr(C)]
struct Vector {
    start: *const u8,
    length: usize,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn fd_write(fd: u32, vectors: *const Vector, count: usize, written: *mut usize) -> u32;
    fn proc_exit(status: u32) -> !;
}

#[link(wasm_import_module = "wasi_ephemeral_nn")]
unsafe extern "C" {
    #[link_name = "load_by_name"]
    fn import_load_by_name(name: *const u8, length: usize, graph: *mut Graph) -> u32;
}

/// What a host starts.
#[unsafe(no_mangle)]
pub extern "C" fn _start() {
    let by_name = load_by_name(NAME).and_then(score);
    let from_bytes = load(MODEL).and_then(score);
    let unknown = load_by_name("nothing").and_then(score);
    for (what, result) in [("by name", &by_name), ("from bytes", &from_bytes), ("unknown", &unknown)] {
        print(&match result {
            Ok(score) => format!("{what}: {score}\n"),
            Err(error) => format!("{what}: {error}\n"),
        });
    }
    if by_name.is_err() {
        // SAFETY: It takes any number, and does not come back.
        unsafe { proc_exit(3) }
    }
}

fn load_by_name(name: &str) -> Result<Graph, String> {
    let mut graph = 0;
    // SAFETY: The name is as long as is said, and both outlive the call.
    match unsafe { import_load_by_name(name.as_ptr(), name.len(), &mut graph) } {
        0 => Ok(graph),
        error => Err(format!("error {error}")),
    }
}

fn load(model: &[u8]) -> Result<Graph, String> {
    // SAFETY: It reads what it is given, while it is called.
    unsafe { wasi_nn::load(&[model], GRAPH_ENCODING_ONNX, EXECUTION_TARGET_CPU) }
        .map_err(|error| format!("error {}", error.raw()))
}

/// The score of a row.
fn score(graph: Graph) -> Result<f32, String> {
    let data: Vec<u8> = std::iter::repeat_n(0.25_f32.to_le_bytes(), 30).flatten().collect();
    let tensor = Tensor { dimensions: &[1, 30], type_: TENSOR_TYPE_F32, data: &data };
    let mut output = [0; 4];
    // SAFETY: What they are given outlives the calls, and the output has room for as many bytes as is said.
    let written = unsafe {
        wasi_nn::init_execution_context(graph).and_then(|context| {
            wasi_nn::set_input(context, 0, tensor)?;
            wasi_nn::compute(context)?;
            wasi_nn::get_output(context, 0, output.as_mut_ptr(), output.len() as u32)
        })
    };
    match written {
        Ok(4) => Ok(f32::from_le_bytes(output)),
        Ok(length) => Err(format!("{length} bytes instead of 4")),
        Err(error) => Err(format!("error {}", error.raw())),
    }
}

fn print(text: &str) {
    let mut written = 0;
    // SAFETY: The one vector is the text, and both outlive the call.
    unsafe { fd_write(1, &Vector { start: text.as_ptr(), length: text.len() }, 1, &mut written) };
}
