//! Models that the host runs, through `wasi:nn`: compiled with `--target nn`, served, and held against what they give when
//! they run by themselves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod configuration;
mod datatypes;
mod failures;
mod functions;
mod programs;
mod quantized;
mod zoo;

use std::path::{Path, PathBuf};

use samara_tests::onnx::{Graph, Size, Type};
use samara_tests::samara::{Run, checkout, command};
use samara_tests::server::Serve;

/// Compiles a model for the host, into a directory that is given to it alone.
#[track_caller]
fn compile(directory: &Path, name: &str, onnx: &Path, options: &[&str]) -> PathBuf {
    let component = directory.join(format!("{name}.wasm"));
    let mut command = command();
    command.args(["compile", "--target", "nn", "--name", name]).args(options).arg(onnx).arg("-o").arg(&component);
    Run::of(&mut command).succeeds();
    component
}

/// The graph that gives what it takes, as this type.
fn same(element: Type) -> Graph {
    let graph = Graph::new().input("x", element, &[Size(4)]).output("y", element, &[Size(4)]);
    graph.node("Identity", &["x"], &["y"])
}

/// ONNX Runtime's library, which the Python tests' environment has.
///
/// Where `SAMARA_REQUIRE_ORT` is 1, as `make test` sets it, it must be there.
fn ort_dylib() -> Option<PathBuf> {
    let packages = std::fs::read_dir(checkout().join(".venv/lib")).ok()?.flatten();
    let capi = packages.map(|python| python.path().join("site-packages/onnxruntime/capi")).find(|path| path.is_dir());
    let library = capi.and_then(|capi| {
        let mut files = std::fs::read_dir(capi).ok()?.flatten().map(|file| file.path());
        files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("libonnxruntime.so"))
    });
    let required = std::env::var_os("SAMARA_REQUIRE_ORT").is_some_and(|value| value == "1");
    assert!(!required || library.is_some(), "ONNX Runtime is missing: run scripts/setup.sh test-tools");
    library
}

/// Whether the command finds OpenVINO, in the environment in which `make test` runs it.
fn has_openvino() -> bool {
    let environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let mut packages =
        environment.and_then(|path| std::fs::read_dir(path.join("lib")).ok()).into_iter().flatten().flatten();
    let found = packages.any(|python| python.path().join("site-packages/openvino/libs").is_dir());
    let required = std::env::var_os("SAMARA_REQUIRE_OPENVINO").is_some_and(|value| value == "1");
    assert!(!required || found, "OpenVINO is missing: run scripts/setup.sh test-tools");
    found
}

/// How a graph runs, on each of the backends that are here: the options of `samara serve`.
fn backends(graph: &str) -> Vec<String> {
    let mut backends = vec![format!("--nn {graph},backend=tract")];
    match ort_dylib() {
        Some(path) => {
            backends.push(format!("--nn {graph},backend=onnxruntime,device=cpu --ort-dylib {}", path.display()));
        }
        None => println!("skipped: ONNX Runtime is not here"),
    }
    backends
}

/// Serves components with an option.
fn serve(components: &[&Path], option: &str) -> Serve {
    Serve::new(components).option(option)
}
