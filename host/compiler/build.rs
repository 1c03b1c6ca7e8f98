//! Tells where the engine's two builds are, which this crate carries.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let directory = manifest.join("../../functions/target/engine");
    for simd in ["relaxed", "baseline"] {
        let module = directory.join(format!("samara-engine-{simd}.wasm"));
        println!("cargo::rerun-if-changed={}", module.display());
        if !module.is_file() {
            println!("cargo::error=the engine is not built: {} is missing; run `make engine`", module.display());
            return ExitCode::FAILURE;
        }
        println!("cargo::rustc-env=SAMARA_ENGINE_{}={}", simd.to_uppercase(), module.display());
    }
    ExitCode::SUCCESS
}
