//! `wasi:nn` as a component uses it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use samara_nn::wit::{NnCtx, NnView, add_to_linker};
use samara_nn::{GraphSpec, Options, Registry};
use support::{Type, difference, same};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WORLD: &str = "
    package test:guest;
    world guest {
        import wasi:nn/tensor@0.2.0-rc-2024-10-28;
        import wasi:nn/graph@0.2.0-rc-2024-10-28;
        import wasi:nn/inference@0.2.0-rc-2024-10-28;
        import wasi:nn/errors@0.2.0-rc-2024-10-28;
        export run: func(bring: bool, graph: list<u8>, input: string, dimensions: list<u32>, ty: u8, data: list<u8>)
            -> result<tuple<list<u32>, u8, list<u8>>, tuple<u8, string>>;
    }";

/// Loads a graph, by name or from bytes, computes with one input, and gives the first output.
const GUEST: &str = r#"
(module
  (import "wasi:nn/tensor@0.2.0-rc-2024-10-28" "[constructor]tensor"
    (func $tensor (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:nn/tensor@0.2.0-rc-2024-10-28" "[method]tensor.dimensions" (func $dimensions (param i32 i32)))
  (import "wasi:nn/tensor@0.2.0-rc-2024-10-28" "[method]tensor.ty" (func $ty (param i32) (result i32)))
  (import "wasi:nn/tensor@0.2.0-rc-2024-10-28" "[method]tensor.data" (func $data (param i32 i32)))
  (import "wasi:nn/tensor@0.2.0-rc-2024-10-28" "[resource-drop]tensor" (func $drop-tensor (param i32)))
  (import "wasi:nn/graph@0.2.0-rc-2024-10-28" "load" (func $load (param i32 i32 i32 i32 i32)))
  (import "wasi:nn/graph@0.2.0-rc-2024-10-28" "load-by-name" (func $load-by-name (param i32 i32 i32)))
  (import "wasi:nn/graph@0.2.0-rc-2024-10-28" "[method]graph.init-execution-context" (func $init (param i32 i32)))
  (import "wasi:nn/graph@0.2.0-rc-2024-10-28" "[resource-drop]graph" (func $drop-graph (param i32)))
  (import "wasi:nn/inference@0.2.0-rc-2024-10-28" "[method]graph-execution-context.compute"
    (func $compute (param i32 i32 i32 i32)))
  (import "wasi:nn/errors@0.2.0-rc-2024-10-28" "[method]error.code" (func $code (param i32) (result i32)))
  (import "wasi:nn/errors@0.2.0-rc-2024-10-28" "[method]error.data" (func $message (param i32 i32)))
  (memory (export "memory") 16)
  (global $next (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $start i32)
    (local.set $start (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $start) (local.get $size)))
    (local.get $start))
  (func $fail (param $error i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store8 (i32.const 4) (call $code (local.get $error)))
    (call $message (local.get $error) (i32.const 8))
    (i32.const 0))
  (func (export "run")
    (param $bring i32) (param $graph i32) (param $graph-length i32) (param $input i32) (param $input-length i32)
    (param $sizes i32) (param $rank i32) (param $type i32) (param $bytes i32) (param $length i32) (result i32)
    (local $output i32)
    (if (local.get $bring)
      (then
        (i32.store (i32.const 96) (local.get $graph))
        (i32.store (i32.const 100) (local.get $graph-length))
        (call $load (i32.const 96) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 32)))
      (else (call $load-by-name (local.get $graph) (local.get $graph-length) (i32.const 32))))
    (if (i32.load8_u (i32.const 32)) (then (return (call $fail (i32.load (i32.const 36))))))
    (call $init (i32.load (i32.const 36)) (i32.const 48))
    (if (i32.load8_u (i32.const 48)) (then (return (call $fail (i32.load (i32.const 52))))))
    (call $drop-graph (i32.load (i32.const 36)))
    (i32.store (i32.const 64) (local.get $input))
    (i32.store (i32.const 68) (local.get $input-length))
    (i32.store (i32.const 72)
      (call $tensor (local.get $sizes) (local.get $rank) (local.get $type) (local.get $bytes) (local.get $length)))
    (call $compute (i32.load (i32.const 52)) (i32.const 64) (i32.const 1) (i32.const 80))
    (if (i32.load8_u (i32.const 80)) (then (return (call $fail (i32.load (i32.const 84))))))
    (local.set $output (i32.load offset=8 (i32.load (i32.const 84))))
    (i32.store8 (i32.const 0) (i32.const 0))
    (call $dimensions (local.get $output) (i32.const 4))
    (i32.store8 (i32.const 12) (call $ty (local.get $output)))
    ;; The bytes can be had any number of times.
    (call $data (local.get $output) (i32.const 16))
    (call $data (local.get $output) (i32.const 16))
    (call $drop-tensor (local.get $output))
    (i32.const 0)))
"#;

/// The numbers of `wasi:nn`'s datatypes and errors.
const FP32: u8 = 1;
const BF16: u8 = 3;
const U8: u8 = 4;
const INVALID_ARGUMENT: u8 = 0;
const NOT_FOUND: u8 = 6;
const SECURITY: u8 = 7;

struct Host {
    table: ResourceTable,
    nn: NnCtx,
}

struct Guest {
    engine: Engine,
    component: Component,
    linker: Linker<Host>,
    registry: Arc<Registry>,
}

type Answer = Result<(Vec<u32>, u8, Vec<u8>), (u8, String)>;

struct Request<'a> {
    bring: bool,
    graph: &'a [u8],
    input: &'a str,
    dimensions: &'a [u32],
    ty: u8,
    data: &'a [u8],
}

impl Guest {
    fn new(specs: impl IntoIterator<Item = GraphSpec>, allow_load: bool) -> Guest {
        let mut module = wat::parse_str(GUEST).unwrap();
        let mut resolve = Resolve::default();
        resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/deps/nn")).unwrap();
        let package = resolve.push_str("guest.wit", WORLD).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        let component = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker, |host: &mut Host| NnView { table: &mut host.table, ctx: &mut host.nn }).unwrap();
        let registry = Registry::load(specs, &Options { allow_load, ..Options::default() }).unwrap();
        Guest { component: Component::new(&engine, component).unwrap(), engine, linker, registry: Arc::new(registry) }
    }

    fn run(&self, request: &Request<'_>) -> wasmtime::Result<Answer> {
        self.run_limited(request, 1 << 20)
    }

    fn run_limited(&self, request: &Request<'_>, memory_bytes: usize) -> wasmtime::Result<Answer> {
        let mut nn = NnCtx::new(Arc::clone(&self.registry));
        nn.set_memory_limit(memory_bytes);
        let mut store = Store::new(&self.engine, Host { table: ResourceTable::new(), nn });
        let instance = self.linker.instantiate(&mut store, &self.component)?;
        type Parameters<'a> = (bool, &'a [u8], &'a str, &'a [u32], u8, &'a [u8]);
        let run = instance.get_typed_func::<Parameters<'_>, (Answer,)>(&mut store, "run")?;
        let Request { bring, graph, input, dimensions, ty, data } = *request;
        Ok(run.call(&mut store, (bring, graph, input, dimensions, ty, data))?.0)
    }
}

fn by_name<'a>(graph: &'a str, ty: u8, dimensions: &'a [u32], data: &'a [u8]) -> Request<'a> {
    Request { bring: false, graph: graph.as_bytes(), input: "x", dimensions, ty, data }
}

#[test]
fn a_graph_is_loaded_by_name_and_computes() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[-1, 2]).write(directory.path(), "same.onnx");
    let guest = Guest::new([GraphSpec::new("same").with_path(path)], false);
    let data: Vec<u8> = [1.0_f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    for _ in 0..3 {
        let answer = guest.run(&by_name("same", FP32, &[1, 2], &data)).unwrap();
        assert_eq!(answer, Ok((vec![1, 2], FP32, data.clone())));
    }
    let statistics = guest.registry.get("same").unwrap().statistics();
    assert_eq!((statistics.requests, statistics.loads), (3, 1));
}

#[test]
fn what_has_no_name_crosses_as_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let cases: [(&str, Type, &[u8]); 4] = [
        ("bool", Type::Bool, &[0, 1]),
        ("string", Type::String, b"\x02\0\0\0hi\0\0\0\0"),
        ("uint64", Type::Uint64, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
        ("int16", Type::Int16, &[1, 2, 3, 4]),
    ];
    let specs = cases.map(|(name, element, _)| {
        GraphSpec::new(name).with_path(same(element, &[2]).write(directory.path(), &format!("{name}.onnx")))
    });
    let guest = Guest::new(specs, false);
    for (name, _, data) in cases {
        let answer = guest.run(&by_name(name, U8, &[2], data)).unwrap();
        assert_eq!(answer, Ok((vec![2], U8, data.to_vec())), "{name}");
    }
    let (code, message) = guest.run(&by_name("bool", U8, &[2], &[0, 2])).unwrap().unwrap_err();
    assert_eq!((code, message.as_str()), (INVALID_ARGUMENT, "input \"x\": BOOL element 1 is neither 0 nor 1"));
}

#[test]
fn a_scalar_takes_both_forms() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[]).write(directory.path(), "scalar.onnx");
    let guest = Guest::new([GraphSpec::new("scalar").with_path(path)], false);
    for dimensions in [&[][..], &[1]] {
        let answer = guest.run(&by_name("scalar", FP32, dimensions, &[0, 0, 128, 63])).unwrap();
        assert_eq!(answer, Ok((Vec::new(), FP32, vec![0, 0, 128, 63])));
    }
}

#[test]
fn errors_have_their_codes() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[2]).write(directory.path(), "same.onnx");
    let pair = difference(Type::Float, &[2]).write(directory.path(), "pair.onnx");
    let guest = Guest::new([GraphSpec::new("same").with_path(path), GraphSpec::new("pair").with_path(pair)], false);
    let error = |request: Request<'_>| guest.run(&request).unwrap().unwrap_err();
    let (code, message) = error(by_name("none", FP32, &[2], &[0; 8]));
    assert_eq!((code, message.as_str()), (NOT_FOUND, "unknown graph \"none\", expected one of pair, same"));
    let cases = [
        (by_name("same", U8, &[2], &[0; 8]), "expected FP32, which crosses as Fp32, got U8"),
        (by_name("same", BF16, &[2], &[0; 4]), "no graph takes BF16"),
        (by_name("same", FP32, &[1, 2], &[0; 8]), "expected the shape [2], got [1, 2]"),
        (by_name("same", FP32, &[2], &[0; 7]), "expected 8 bytes of data, got 7"),
        (Request { input: "z", ..by_name("same", FP32, &[2], &[0; 8]) }, "unknown input \"z\""),
        (Request { input: "a", ..by_name("pair", FP32, &[2], &[0; 8]) }, "input \"b\" is missing"),
    ];
    for (request, expected) in cases {
        let (code, message) = error(request);
        assert_eq!(code, INVALID_ARGUMENT);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_graph_from_bytes_computes_where_that_is_allowed() {
    let model = same(Type::Float, &[1]).encode();
    let request = Request { bring: true, graph: &model, ..by_name("", FP32, &[1], &[0, 0, 128, 63]) };
    let open = Guest::new([], true);
    assert_eq!(open.run(&request).unwrap(), Ok((vec![1], FP32, vec![0, 0, 128, 63])));
    let broken = Request { graph: &model[..20], ..request };
    assert_eq!(open.run(&broken).unwrap().unwrap_err().0, INVALID_ARGUMENT);
    assert_eq!(Guest::new([], false).run(&request).unwrap().unwrap_err().0, SECURITY);
}

#[test]
fn a_guests_tensors_take_no_more_than_they_may() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[-1]).write(directory.path(), "same.onnx");
    let guest = Guest::new([GraphSpec::new("same").with_path(path)], false);
    let data = vec![0; 100_000];
    let request = by_name("same", FP32, &[25_000], &data);
    assert!(guest.run_limited(&request, 110_000).unwrap().is_ok());
    let error = guest.run_limited(&request, 90_000).unwrap_err();
    assert!(format!("{error:#}").contains("90000 bytes"), "{error:#}");
}
