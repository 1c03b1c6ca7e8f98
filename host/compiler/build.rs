//! Tells where the guests are which this crate carries: the engine's two builds, and the adapter.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

/// The variable that names a guest to the crate, and where `functions/build.sh` leaves the guest.
const GUESTS: [(&str, &str); 3] = [
    ("SAMARA_ENGINE_RELAXED", "engine/samara-engine-relaxed.wasm"),
    ("SAMARA_ENGINE_BASELINE", "engine/samara-engine-baseline.wasm"),
    ("SAMARA_NN_ADAPTER", "nn/samara-nn-adapter.wasm"),
];

fn main() -> ExitCode {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let directory = manifest.join("../../functions/target");
    for (variable, file) in GUESTS {
        let module = directory.join(file);
        println!("cargo::rerun-if-changed={}", module.display());
        if !module.is_file() {
            println!("cargo::error=a guest is not built: {} is missing; run `make engine`", module.display());
            return ExitCode::FAILURE;
        }
        println!("cargo::rustc-env={variable}={}", module.display());
    }
    ExitCode::SUCCESS
}
