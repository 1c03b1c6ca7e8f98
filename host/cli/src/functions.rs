//! Functions: read, made components, and linked with their models.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use samara_artifact::{Manifest, ManifestError};
use samara_configuration::Function;
use samara_handler::HandlerRuntime;
use samara_runtime::{CodeOrigin, Config, graph_of};
use samara_server::Functions;

/// A function as a component, with its model if it was given one.
pub struct Linked {
    pub component: Vec<u8>,
    /// The model's, or that of a model which is served as a function, if `samara compile` made it.
    pub manifest: Option<Manifest>,
}

/// Reads a function, makes a component of it where it is a core module, and links it with its model where there is one.
pub fn link(function: &Path, model: Option<&Path>) -> Result<Linked> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let wasm = read(function)?;
    let lifted = samara_linker::lift(&wasm).with_context(|| format!("{}", function.display()))?;
    let manifest_of = |path: &Path, component: &[u8]| match Manifest::read_from(component) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(ManifestError::Missing) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{}", path.display())),
    };
    let Some(path) = model else {
        let manifest = manifest_of(function, &lifted)?;
        return Ok(Linked { component: lifted.into_owned(), manifest });
    };
    let model = read(path)?;
    let component = samara_linker::link(&lifted, &model)
        .with_context(|| format!("{} with {}", function.display(), path.display()))?;
    Ok(Linked { component, manifest: manifest_of(path, &model)? })
}

/// Loads functions, and the graphs that the host runs for their models.
pub fn load(functions: &[Function], config: &Config) -> Result<Functions> {
    let mut loaded = Functions::default();
    if functions.is_empty() {
        return Ok(loaded);
    }
    let runtime = HandlerRuntime::new(config)?;
    let linked = functions.iter().map(|function| {
        let linked = link(&function.component, function.model.as_deref())?;
        if let Some(manifest) = &linked.manifest {
            let model = function.model.as_ref().unwrap_or(&function.component);
            graph_of(manifest, model.parent(), &config.graphs).with_context(|| format!("{}", model.display()))?;
        }
        Ok(linked)
    });
    // One function may ask for the graph that another brings.
    let linked = linked.collect::<Result<Vec<_>>>()?;
    for (Function { component: path, route, reuse, terms, .. }, linked) in functions.iter().zip(linked) {
        let start = Instant::now();
        let handler = runtime.load(&linked.component, *reuse).with_context(|| format!("{}", path.display()))?;
        let name = name(path);
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
        loaded.add(route.clone(), &name, handler, terms.clone())?;
    }
    Ok(loaded)
}

/// A function's name: its file's.
pub fn name(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
