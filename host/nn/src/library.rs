//! Where the libraries of backends are.
//!
//! The library is the one that is set, else the one that an environment variable names (`ORT_DYLIB_PATH`,
//! `OPENVINO_DYLIB_PATH`), else the one in a Python package (`onnxruntime` or `onnxruntime-gpu`, `openvino`) of the
//! virtual environment in `VIRTUAL_ENV`, else of the one in `.venv` below the current directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// ONNX Runtime's library, if it is where [the module](self) says, besides the one that is set.
#[must_use]
pub fn onnxruntime() -> Option<PathBuf> {
    from_environment("ORT_DYLIB_PATH", onnxruntime_in)
}

/// ONNX Runtime's library in a Python environment, that of the latest version if there are several.
#[must_use]
pub fn onnxruntime_in(environment: &Path) -> Option<PathBuf> {
    in_package(environment, &["onnxruntime", "capi"], "libonnxruntime.")
}

/// The library with OpenVINO's C interface, if it is where [the module](self) says.
#[must_use]
pub fn openvino() -> Option<PathBuf> {
    from_environment("OPENVINO_DYLIB_PATH", openvino_in)
}

/// The library with OpenVINO's C interface in a Python environment.
#[must_use]
pub fn openvino_in(environment: &Path) -> Option<PathBuf> {
    in_package(environment, &["openvino", "libs"], "libopenvino_c.")
}

fn from_environment(variable: &str, find: fn(&Path) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |variable| std::env::var_os(variable).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
    set(variable).or_else(|| find(&set("VIRTUAL_ENV")?)).or_else(|| find(&std::env::current_dir().ok()?.join(".venv")))
}

/// The file whose name starts with `prefix` in that folder of a Python package.
fn in_package(environment: &Path, folder: &[&str], prefix: &str) -> Option<PathBuf> {
    let entries = |directory: PathBuf| std::fs::read_dir(directory).ok().into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries(environment.join("lib"))
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python"))
        .flat_map(|entry| {
            let package = folder.iter().fold(entry.path().join("site-packages"), |path, part| path.join(part));
            entries(package)
        })
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // On Linux the version follows the ending, on macOS it is before it.
            name.starts_with(prefix) && (name.contains(".so") || name.ends_with(".dylib"))
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_in_a_python_environment_is_found() {
        let environment = tempfile::tempdir().unwrap();
        let capi = environment.path().join("lib/python3.11/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        std::fs::write(capi.join("libonnxruntime_providers_shared.so"), "").unwrap();
        assert_eq!(onnxruntime_in(environment.path()), None);
        let library = capi.join("libonnxruntime.so.1.20.0");
        std::fs::write(&library, "").unwrap();
        assert_eq!(onnxruntime_in(environment.path()), Some(library));
        assert_eq!(openvino_in(environment.path()), None);
    }
}
