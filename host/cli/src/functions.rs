//! Functions: read, made components, and linked with their models.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use samara_handler::HandlerRuntime;
use samara_runtime::{CodeOrigin, Config};
use samara_server::{FunctionRoute, Functions};
use serde::Deserialize;

use crate::options::ServeOptions;

/// A function that is to be served.
struct Entry {
    component: PathBuf,
    model: Option<PathBuf>,
    route: FunctionRoute,
    /// How many requests an instance answers.
    reuse: NonZeroU32,
}

/// `samara.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    function: Vec<FileEntry>,
}

/// A `[[function]]` in `samara.toml`. Paths are relative to the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    component: PathBuf,
    model: Option<PathBuf>,
    route: Option<String>,
    reuse: Option<NonZeroU32>,
}

/// Reads a function, makes a component of it where it is a core module, and links it with its model where there is one.
pub fn component(function: &Path, model: Option<&Path>) -> Result<Vec<u8>> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let wasm = read(function)?;
    let lifted = samara_linker::lift(&wasm).with_context(|| format!("{}", function.display()))?;
    match model {
        None => Ok(lifted.into_owned()),
        Some(path) => {
            let linked = samara_linker::link(&lifted, &read(path)?);
            linked.with_context(|| format!("{} with {}", function.display(), path.display()))
        }
    }
}

/// Loads the functions that the command line and the file that it names list.
pub fn load(arguments: &ServeOptions, config: &Config) -> Result<Functions> {
    let mut entries = on_command_line(arguments)?;
    if let Some(path) = &arguments.config {
        entries.extend(in_file(path)?);
    }
    let mut functions = Functions::default();
    if entries.is_empty() {
        return Ok(functions);
    }
    let runtime = HandlerRuntime::new(config)?;
    for Entry { component: path, model, route, reuse } in entries {
        let start = Instant::now();
        let bytes = component(&path, model.as_deref())?;
        let handler = runtime.load(&bytes, reuse).with_context(|| format!("{}", path.display()))?;
        let name = name(&path);
        tracing::info!(
            function = name,
            route = %route,
            path = %path.display(),
            interface = %handler.interface(),
            reuse,
            code = match handler.origin() {
                CodeOrigin::Cache => "cached",
                CodeOrigin::Compiled(_) => "compiled",
            },
            ms = start.elapsed().as_millis(),
            "loaded"
        );
        functions.add(route, &name, handler)?;
    }
    Ok(functions)
}

fn on_command_line(arguments: &ServeOptions) -> Result<Vec<Entry>> {
    let ServeOptions { function, model, route, reuse, .. } = arguments;
    for (what, count) in [("--model", model.len()), ("--route", route.len()), ("--reuse", reuse.len())] {
        ensure!(
            count == 0 || count == function.len(),
            "{} functions, but {count} of {what}: give it once for each --function, in the same order, or not at all",
            function.len()
        );
    }
    let entries = function.iter().enumerate().map(|(index, path)| {
        let route = route.get(index).cloned().map_or_else(|| default_route(path), Ok)?;
        let reuse = reuse.get(index).copied().unwrap_or(NonZeroU32::MIN);
        Ok(Entry { component: path.clone(), model: model.get(index).cloned(), route, reuse })
    });
    entries.collect()
}

fn in_file(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: File = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
    if file.function.is_empty() {
        bail!("{} lists no [[function]]", path.display());
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let entries = file.function.into_iter().map(|entry| {
        let component = directory.join(entry.component);
        let route = match entry.route {
            Some(route) => route.parse().with_context(|| format!("{}", path.display()))?,
            None => default_route(&component)?,
        };
        let model = entry.model.map(|model| directory.join(model));
        Ok(Entry { component, model, route, reuse: entry.reuse.unwrap_or(NonZeroU32::MIN) })
    });
    entries.collect()
}

fn default_route(path: &Path) -> Result<FunctionRoute> {
    format!("/{}", name(path)).parse().with_context(|| format!("{}: give it a --route", path.display()))
}

/// A function's name: its file's.
pub fn name(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lists_functions() {
        let text = r#"
            [[function]]
            component = "classify.wasm"
            model = "efficientnet-lite0.wasm"
            route = "/classify/..."

            [[function]]
            component = "whole.wasm"
            reuse = 100
        "#;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samara.toml");
        std::fs::write(&path, text).unwrap();
        let entries = in_file(&path).unwrap();
        assert_eq!(entries[0].component, directory.path().join("classify.wasm"));
        assert_eq!(entries[0].model.as_deref(), Some(&*directory.path().join("efficientnet-lite0.wasm")));
        assert_eq!(entries[0].route.to_string(), "/classify/...");
        assert_eq!((entries[1].model.as_deref(), entries[1].route.to_string()), (None, "/whole".to_owned()));
        assert_eq!((entries[0].reuse.get(), entries[1].reuse.get()), (1, 100));
    }

    #[test]
    fn a_file_says_nothing_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samara.toml");
        for text in
            ["", "[[function]]\ncomponent = \"a.wasm\"\nmodels = \"b.wasm\"\n", "[[function]]\n", "functions = []", "[[function]]\ncomponent = \"a.wasm\"\nreuse = 0\n"]
        {
            std::fs::write(&path, text).unwrap();
            assert!(in_file(&path).is_err(), "{text}");
        }
    }
}
