//! Components that do what no compiled model does, one per file of `guests/`.
//!
//! A file holds the fields of a core module. `prelude.wat` comes before them: a memory, an allocator, and the answer to
//! `metadata`, whose bytes are laid out here. What comes of both is lifted to a component with the world
//! `samara:inference/served`.
//!
//! Each takes `x` and gives `y`, both `FP32 [-1]`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use samara_artifact::{Cost, Manifest, Simd, Source};
use serde_json::json;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

use crate::samara::checkout;

/// Where `metadata`'s answer is, as `prelude.wat` has it.
const METADATA: u32 = 1024;

/// `datatype::fp32`: its place in `wit/model.wit`.
const FP32: u32 = 10;

/// The component of `guests/FIXTURE.wat`, as version 1 of a model of that name.
#[must_use]
pub fn component(fixture: &str, name: &str) -> Vec<u8> {
    lift(&core_module(fixture, name))
}

/// The same, as another version.
#[must_use]
pub fn component_of_version(fixture: &str, name: &str, version: &str) -> Vec<u8> {
    lift(&parse(fixture, &metadata(name, version)))
}

/// The same, written into a directory.
pub fn write(directory: &Path, fixture: &str, name: &str) -> PathBuf {
    let path = directory.join(format!("{name}.wasm"));
    std::fs::write(&path, component(fixture, name)).unwrap();
    path
}

/// The same with a manifest, so that it is never asked what it is.
pub fn write_with_manifest(directory: &Path, fixture: &str, name: &str) -> PathBuf {
    let path = directory.join(format!("{name}.wasm"));
    let spec = |tensor| json!([{"name": tensor, "datatype": "FP32", "shape": [-1]}]);
    let specs = |tensor| serde_json::from_value(spec(tensor)).unwrap();
    let manifest = Manifest {
        format: Manifest::FORMAT,
        name: name.to_owned(),
        version: "1".to_owned(),
        generator: "samara-tests".to_owned(),
        simd: Simd::Baseline,
        tune: None,
        source: Source { file: format!("{fixture}.wat"), sha256: String::new() },
        inputs: specs("x"),
        outputs: specs("y"),
        sample: vec![vec![1]],
        cost: Some(Cost::default()),
        labels: None,
        nn: None,
    };
    let mut component = component(fixture, name);
    manifest.append_to(&mut component).unwrap();
    std::fs::write(&path, component).unwrap();
    path
}

/// The component of `guests/handlers/FIXTURE.wat`, which exports `wasi:http/incoming-handler` and asks no model, written
/// into a directory.
pub fn write_handler(directory: &Path, fixture: &str) -> PathBuf {
    let path = directory.join(format!("{fixture}.wasm"));
    let text = format!("(module\n{}\n{})", read("handlers/prelude"), read(&format!("handlers/{fixture}")));
    let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("guests/handlers/{fixture}.wat: {error}"));
    std::fs::write(&path, lift_to_ours(&module, "function")).unwrap();
    path
}

/// The component of `guests/handlers-0.3/FIXTURE.wat`, which exports `wasi:http/handler@0.3`, written into a directory.
pub fn write_handler_0_3(directory: &Path, fixture: &str) -> PathBuf {
    let path = directory.join(format!("{fixture}.wasm"));
    let text = format!("(module\n{})", read(&format!("handlers-0.3/{fixture}")));
    let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("guests/handlers-0.3/{fixture}.wat: {error}"));
    let mut resolve = Resolve::default();
    let package = resolve.push_file(guests().join("handlers-0.3").join("http.wit")).unwrap();
    std::fs::write(&path, lift_to(&module, &resolve, package, "service")).unwrap();
    path
}

/// The core module of a fixture.
#[must_use]
pub fn core_module(fixture: &str, name: &str) -> Vec<u8> {
    parse(fixture, &metadata(name, "1"))
}

fn parse(fixture: &str, metadata: &[u8]) -> Vec<u8> {
    let data = metadata.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    });
    let text = format!("(module\n{}\n(data (i32.const {METADATA}) \"{data}\")\n{})", read("prelude"), read(fixture));
    wat::parse_str(&text).unwrap_or_else(|error| panic!("guests/{fixture}.wat: {error}"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(guests().join(format!("{file}.wat"))).unwrap()
}

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

fn lift(module: &[u8]) -> Vec<u8> {
    lift_to_ours(module, "served")
}

/// Lifts a module to a world of our own.
fn lift_to_ours(module: &[u8], world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(checkout().join("wit")).unwrap();
    lift_to(module, &resolve, package, world)
}

fn lift_to(module: &[u8], resolve: &Resolve, package: PackageId, world: &str) -> Vec<u8> {
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// A `model-metadata` record as the canonical ABI lays it out, at [`METADATA`]:
///
/// ```text
///  0  name, version                 pointer and length each
/// 16  inputs, outputs               pointer and length each
/// 32  the input's tensor-spec       name (8), datatype (1, padded to 4), shape (8)
/// 52  the output's tensor-spec
/// 72  the shape of both: -1         64 bits
/// 80  "x", "y", the name, and the version
/// ```
fn metadata(name: &str, version: &str) -> Vec<u8> {
    const X: u32 = METADATA + 80;
    let spec = |name: u32| [name, 1, FP32, METADATA + 72, 1];
    let length = |text: &str| u32::try_from(text.len()).unwrap();
    let (name_at, version_at) = (X + 2, X + 2 + length(name));
    let words = [
        &[name_at, length(name), version_at, length(version)][..],
        &[METADATA + 32, 1, METADATA + 52, 1],
        &spec(X),
        &spec(X + 1),
        &[u32::MAX, u32::MAX],
    ]
    .concat();
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend_from_slice(format!("xy{name}{version}").as_bytes());
    bytes
}
