//! `wasi:nn` as a core module uses it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use samara_nn::witx::{WitxCtx, add_to_linker};
use samara_nn::{GraphSpec, Options, Registry};
use support::{Type, difference, same};
use wasmtime::{Engine, Instance, Linker, Memory, Module, Store};

/// Passes everything on, as the host's functions look into the memory of the module that calls them.
const GUEST: &str = r#"
(module
  (import "wasi_ephemeral_nn" "load" (func $load (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "load_by_name" (func $load_by_name (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $init (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $set_input (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute" (func $compute (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output" (func $get_output (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "load") (param i32 i32 i32 i32 i32) (result i32)
    (call $load (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)))
  (func (export "load_by_name") (param i32 i32 i32) (result i32)
    (call $load_by_name (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init_execution_context") (param i32 i32) (result i32) (call $init (local.get 0) (local.get 1)))
  (func (export "set_input") (param i32 i32 i32) (result i32)
    (call $set_input (local.get 0) (local.get 1) (local.get 2)))
  (func (export "compute") (param i32) (result i32) (call $compute (local.get 0)))
  (func (export "get_output") (param i32 i32 i32 i32 i32) (result i32)
    (call $get_output (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))))
"#;

const SUCCESS: u32 = 0;
const INVALID_ARGUMENT: u32 = 1;
const INVALID_ENCODING: u32 = 2;
const RUNTIME_ERROR: u32 = 5;
const UNSUPPORTED_OPERATION: u32 = 6;
const TOO_LARGE: u32 = 7;
const NOT_FOUND: u32 = 8;

const F32: u8 = 1;
const U8: u8 = 3;

/// Places in the guest's memory: a result, text or a model, a tensor, its dimensions, its data, an output.
const OUT: u32 = 0;
const TEXT: u32 = 1024;
const TENSOR: u32 = 16;
const DIMENSIONS: u32 = 64;
const DATA: u32 = 256;
const OUTPUT: u32 = 512;
/// The last byte that the guest has.
const LAST: u32 = 65535;

struct Guest {
    store: Store<WitxCtx>,
    instance: Instance,
    memory: Memory,
}

impl Guest {
    fn new(specs: impl IntoIterator<Item = GraphSpec>, allow_load: bool) -> Guest {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker, |ctx: &mut WitxCtx| ctx).unwrap();
        let registry = Registry::load(specs, &Options { allow_load, ..Options::default() }).unwrap();
        let mut store = Store::new(&engine, WitxCtx::new(Arc::new(registry)));
        let instance = linker.instantiate(&mut store, &Module::new(&engine, wasm()).unwrap()).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        Guest { store, instance, memory }
    }

    fn put(&mut self, at: u32, bytes: &[u8]) {
        self.memory.write(&mut self.store, at as usize, bytes).unwrap();
    }

    fn out(&self) -> u32 {
        u32::from_le_bytes(self.memory.data(&self.store)[..4].try_into().unwrap())
    }

    fn output(&self, length: u32) -> &[u8] {
        &self.memory.data(&self.store)[OUTPUT as usize..][..length as usize]
    }

    fn call<const N: usize>(&mut self, function: &str, arguments: [u32; N]) -> u32 {
        let function = self.instance.get_func(&mut self.store, function).unwrap();
        let arguments = arguments.map(|argument| wasmtime::Val::I32(argument.cast_signed()));
        let mut result = [wasmtime::Val::I32(-1)];
        function.call(&mut self.store, &arguments, &mut result).unwrap();
        result[0].unwrap_i32().cast_unsigned()
    }

    /// Puts a list's place and length at `at`.
    fn put_list(&mut self, at: u32, start: u32, length: u32) {
        self.put(at, &[start.to_le_bytes(), length.to_le_bytes()].concat());
    }

    fn put_tensor(&mut self, ty: u8, dimensions: &[u32], data: &[u8]) {
        let sizes: Vec<u8> = dimensions.iter().flat_map(|size| size.to_le_bytes()).collect();
        self.put(DIMENSIONS, &sizes);
        self.put(DATA, data);
        self.put_list(TENSOR, DIMENSIONS, dimensions.len() as u32);
        self.put(TENSOR + 8, &[ty]);
        self.put_list(TENSOR + 12, DATA, data.len() as u32);
    }

    /// A context of the graph of that name.
    fn context(&mut self, name: &str) -> u32 {
        self.put(TEXT, name.as_bytes());
        assert_eq!(self.call("load_by_name", [TEXT, name.len() as u32, OUT]), SUCCESS);
        let graph = self.out();
        assert_eq!(self.call("init_execution_context", [graph, OUT]), SUCCESS);
        self.out()
    }
}

fn wasm() -> Vec<u8> {
    wat::parse_str(GUEST).unwrap()
}

fn floats(elements: &[f32]) -> Vec<u8> {
    elements.iter().flat_map(|element| element.to_le_bytes()).collect()
}

#[test]
fn a_graph_is_loaded_by_name_and_computes_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = difference(Type::Float, &[2]).write(directory.path(), "difference.onnx");
    let mut guest = Guest::new([GraphSpec::new("difference").with_path(path)], false);
    let context = guest.context("difference");
    guest.put_tensor(F32, &[2], &floats(&[5.0, 7.0]));
    assert_eq!(guest.call("set_input", [context, 0, TENSOR]), SUCCESS);
    for subtrahend in [1.0, 2.0] {
        guest.put_tensor(F32, &[2], &floats(&[subtrahend, subtrahend]));
        assert_eq!(guest.call("set_input", [context, 1, TENSOR]), SUCCESS);
        assert_eq!(guest.call("compute", [context]), SUCCESS);
        assert_eq!(guest.call("get_output", [context, 0, OUTPUT, 8, OUT]), SUCCESS);
        assert_eq!(guest.out(), 8);
        assert_eq!(guest.output(8), floats(&[5.0 - subtrahend, 7.0 - subtrahend]));
    }
}

#[test]
fn a_graph_from_bytes_computes_where_that_is_allowed() {
    let model = same(Type::Bool, &[2]).encode();
    let mut guest = Guest::new([], true);
    guest.put(TEXT, &model);
    guest.put_list(TENSOR, TEXT, model.len() as u32);
    assert_eq!(guest.call("load", [TENSOR, 1, 0, 0, OUT]), INVALID_ENCODING);
    assert_eq!(guest.call("load", [TENSOR, 1, 1, 1, OUT]), UNSUPPORTED_OPERATION);
    assert_eq!(guest.call("load", [TENSOR, 2, 1, 0, OUT]), INVALID_ARGUMENT);
    assert_eq!(guest.call("load", [TENSOR, 1, 1, 0, OUT]), SUCCESS);
    let graph = guest.out();
    assert_eq!(guest.call("init_execution_context", [graph, OUT]), SUCCESS);
    let context = guest.out();
    guest.put_tensor(U8, &[2], &[1, 0]);
    assert_eq!(guest.call("set_input", [context, 0, TENSOR]), SUCCESS);
    assert_eq!(guest.call("compute", [context]), SUCCESS);
    assert_eq!(guest.call("get_output", [context, 0, OUTPUT, 100, OUT]), SUCCESS);
    assert_eq!((guest.out(), guest.output(2)), (2, &[1, 0][..]));

    let mut closed = Guest::new([], false);
    assert_eq!(closed.call("load", [TENSOR, 1, 1, 0, OUT]), UNSUPPORTED_OPERATION);
}

#[test]
fn what_is_wrong_has_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[2]).write(directory.path(), "same.onnx");
    let mut guest = Guest::new([GraphSpec::new("same").with_path(path)], false);
    let context = guest.context("same");
    guest.put(TEXT, b"none\xff");
    assert_eq!(guest.call("load_by_name", [TEXT, 4, OUT]), NOT_FOUND);
    assert_eq!(guest.call("load_by_name", [TEXT, 5, OUT]), INVALID_ARGUMENT);
    assert_eq!(guest.call("init_execution_context", [7, OUT]), INVALID_ARGUMENT);
    assert_eq!(guest.call("compute", [context]), INVALID_ARGUMENT, "without an input");
    assert_eq!(guest.call("compute", [7]), INVALID_ARGUMENT);
    assert_eq!(guest.call("get_output", [context, 0, OUTPUT, 8, OUT]), RUNTIME_ERROR, "before it is computed");

    guest.put_tensor(F32, &[2], &[0; 8]);
    assert_eq!(guest.call("set_input", [7, 0, TENSOR]), INVALID_ARGUMENT);
    assert_eq!(guest.call("set_input", [context, 1, TENSOR]), INVALID_ARGUMENT);
    for (ty, dimensions, data) in [(U8, [2], [0; 8]), (9, [2], [0; 8])] {
        guest.put_tensor(ty, &dimensions, &data);
        assert_eq!(guest.call("set_input", [context, 0, TENSOR]), INVALID_ARGUMENT);
    }
    guest.put_tensor(F32, &[3], &[0; 8]);
    assert_eq!(guest.call("set_input", [context, 0, TENSOR]), SUCCESS);
    assert_eq!(guest.call("compute", [context]), INVALID_ARGUMENT);
    guest.put_tensor(F32, &[2], &[0; 8]);
    assert_eq!(guest.call("set_input", [context, 0, TENSOR]), SUCCESS);
    assert_eq!(guest.call("compute", [context]), SUCCESS);
    assert_eq!(guest.call("get_output", [context, 0, OUTPUT, 7, OUT]), TOO_LARGE);
    assert_eq!(guest.call("get_output", [context, 1, OUTPUT, 8, OUT]), INVALID_ARGUMENT);
    assert_eq!(guest.call("get_output", [7, 0, OUTPUT, 8, OUT]), INVALID_ARGUMENT);
}

#[test]
fn a_pointer_out_of_the_memory_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[2]).write(directory.path(), "same.onnx");
    let mut guest = Guest::new([GraphSpec::new("same").with_path(path)], true);
    let context = guest.context("same");
    for far in [LAST, u32::MAX, u32::MAX - 3] {
        assert_eq!(guest.call("load", [far, 1, 1, 0, OUT]), INVALID_ARGUMENT);
        assert_eq!(guest.call("load_by_name", [far, 4, OUT]), INVALID_ARGUMENT);
        assert_eq!(guest.call("load_by_name", [TEXT, 4, far]), INVALID_ARGUMENT);
        assert_eq!(guest.call("load_by_name", [TEXT, far, OUT]), INVALID_ARGUMENT);
        assert_eq!(guest.call("init_execution_context", [0, far]), INVALID_ARGUMENT);
        assert_eq!(guest.call("set_input", [context, 0, far]), INVALID_ARGUMENT);
        // The lists of a tensor, and of a model, may be anywhere as well.
        for list in [TENSOR, TENSOR + 12] {
            guest.put_tensor(F32, &[2], &[0; 8]);
            guest.put_list(list, far, 2);
            assert_eq!(guest.call("set_input", [context, 0, TENSOR]), INVALID_ARGUMENT);
            guest.put_list(list, DATA, far);
            assert_eq!(guest.call("set_input", [context, 0, TENSOR]), INVALID_ARGUMENT);
        }
        guest.put_list(TENSOR, far, 8);
        assert_eq!(guest.call("load", [TENSOR, 1, 1, 0, OUT]), INVALID_ARGUMENT);
    }
    guest.put_tensor(F32, &[2], &[0; 8]);
    assert_eq!(guest.call("set_input", [context, 0, TENSOR]), SUCCESS);
    assert_eq!(guest.call("compute", [context]), SUCCESS);
    for far in [LAST, u32::MAX] {
        assert_eq!(guest.call("get_output", [context, 0, far, 8, OUT]), INVALID_ARGUMENT);
        assert_eq!(guest.call("get_output", [context, 0, OUTPUT, 8, far]), INVALID_ARGUMENT);
    }
}

#[test]
fn a_guests_tensors_take_no_more_than_they_may() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[2]).write(directory.path(), "same.onnx");
    let mut guest = Guest::new([GraphSpec::new("same").with_path(path)], false);
    guest.store.data_mut().set_memory_limit(3000);
    let context = guest.context("same");
    guest.put_tensor(F32, &[2], &[0; 8]);
    // Setting an input again replaces it.
    for _ in 0..100 {
        assert_eq!(guest.call("set_input", [context, 0, TENSOR]), SUCCESS);
        assert_eq!(guest.call("compute", [context]), SUCCESS);
    }
    let mut results = (0..100).map(|_| guest.call("init_execution_context", [0, OUT]));
    assert!(results.any(|result| result == TOO_LARGE));
}
