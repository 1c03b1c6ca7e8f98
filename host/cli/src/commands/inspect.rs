//! `samara inspect`.

use anyhow::{Context, Result, bail};
use samara_artifact::{Inspection, Manifest, ManifestError};
use samara_runtime::graph_of;
use serde::Serialize;

use crate::options::InspectOptions;
use crate::{format, graphs};

#[derive(Serialize)]
struct Output<'a> {
    manifest: Option<&'a Manifest>,
    #[serde(flatten)]
    inspection: &'a Inspection,
    image_density: f64,
    copy_on_write_by_default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    graph: Option<LoadedGraph>,
}

/// How the graph that the component asks for runs here.
#[derive(Serialize)]
#[serde(untagged)]
enum LoadedGraph {
    Runs { backend: String, version: String, device: String, fell_back: Option<String>, contexts: usize, load_ms: f64 },
    Fails { error: String },
}

pub fn run(arguments: &InspectOptions) -> Result<()> {
    let path = &arguments.model;
    let component = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest = match Manifest::read_from(&component) {
        Ok(manifest) => Some(manifest),
        Err(ManifestError::Missing) => None,
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let inspection = Inspection::of(&component).with_context(|| path.display().to_string())?;
    let graph = match &manifest {
        Some(manifest) if manifest.nn.is_some() => Some(LoadedGraph::of(manifest, arguments)),
        _ if arguments.nn.nn.is_empty() => None,
        _ => bail!("--nn is for components that have their host run the model, and {} is none", path.display()),
    };
    if arguments.json {
        let output = Output {
            manifest: manifest.as_ref(),
            inspection: &inspection,
            image_density: inspection.memory.density(),
            copy_on_write_by_default: inspection.memory.is_copy_on_write_by_default(),
            graph,
        };
        println!("{}", serde_json::to_string_pretty(&output)?);
        return Ok(());
    }
    println!("{}", path.display());
    match &manifest {
        Some(manifest) => print_manifest(manifest, graph.as_ref()),
        None => println!("  model        unknown: the component was not made by `samara compile`"),
    }
    println!("  component    {}, {} functions", format::bytes(inspection.bytes), inspection.functions);
    for part in &inspection.parts {
        println!("    {:>12}  {}", format::bytes(part.bytes), part.name);
    }
    println!("  memory       {}", format::image(&inspection.memory));
    println!(
        "               {} on hosts with Wasmtime's default settings",
        if inspection.memory.is_copy_on_write_by_default() {
            "mapped copy-on-write"
        } else {
            "copied into each instance"
        }
    );
    for (title, names) in [("imports", &inspection.imports), ("exports", &inspection.exports)] {
        println!("  {title}");
        for name in names {
            println!("    {name}");
        }
    }
    Ok(())
}

// === impl LoadedGraph ===

impl LoadedGraph {
    /// Loads the graph as the command line says, or as it would be without.
    fn of(manifest: &Manifest, arguments: &InspectOptions) -> LoadedGraph {
        let load = || -> Result<LoadedGraph> {
            let registry = graphs::load(arguments.nn.nn.clone(), &arguments.nn.options())?;
            let graph = graph_of(manifest, arguments.model.parent(), &registry)?.context("it asks for none")?;
            graphs::check(&registry)?;
            let info = graph.info();
            Ok(LoadedGraph::Runs {
                backend: info.backend.to_string(),
                version: info.version.clone(),
                device: info.device.to_string(),
                fell_back: info.fell_back.clone(),
                contexts: info.contexts,
                load_ms: info.load_time.as_secs_f64() * 1e3,
            })
        };
        load().unwrap_or_else(|error| LoadedGraph::Fails { error: format!("{error:#}") })
    }
}

fn print_manifest(manifest: &Manifest, loaded: Option<&LoadedGraph>) {
    match &manifest.nn {
        None => {
            let tuned = manifest.tune.map(|tune| format!(", tuned for {tune}")).unwrap_or_default();
            println!("  model        {} version {}, {} SIMD{tuned}", manifest.name, manifest.version, manifest.simd);
        }
        Some(graph) => {
            println!("  model        {} version {}, run by the host", manifest.name, manifest.version);
            println!("  graph        {}", format::graph(graph));
            match loaded {
                Some(LoadedGraph::Runs { backend, version, device, contexts, load_ms, .. }) => println!(
                    "               loaded in {load_ms:.1} ms by {backend} {version} on {device}, {contexts} contexts"
                ),
                Some(LoadedGraph::Fails { error }) => println!("               cannot be loaded: {error}"),
                None => {}
            }
        }
    }
    println!("  made by      {}", manifest.generator);
    println!("  from         {}, SHA-256 {}", manifest.source.file, manifest.source.sha256);
    for input in &manifest.inputs {
        println!("  input        {}", format::spec(input));
    }
    for output in &manifest.outputs {
        println!("  output       {}", format::spec(output));
    }
    if let Some(cost) = &manifest.cost {
        println!(
            "  computation  {} parameters, {} multiply-accumulates",
            format::count(cost.parameters),
            format::count(cost.multiply_accumulates)
        );
    }
    if let Some(labels) = &manifest.labels {
        let first: Vec<&str> = labels.iter().take(3).map(String::as_str).collect();
        println!("  labels       {}: {}, …", labels.len(), first.join(", "));
    }
}
