//! `samara spin`: an application for Spin, <https://spinframework.dev/manifest-reference>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use samara_artifact::{Manifest, Signature};
use samara_compiler::Destination;
use samara_linker::MODEL_INTERFACE;
use serde::Serialize;

use crate::functions;
use crate::options::SpinOptions;

/// Spin's manifest, version 2.
#[derive(Serialize)]
struct SpinManifest {
    spin_manifest_version: u32,
    application: Application,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
}

#[derive(Serialize)]
struct Application {
    name: String,
    version: &'static str,
}

#[derive(Serialize)]
struct Triggers {
    http: Vec<Trigger>,
}

#[derive(Serialize)]
struct Trigger {
    route: String,
    component: String,
}

#[derive(Serialize)]
struct Component {
    source: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dependencies: BTreeMap<String, Dependency>,
}

#[derive(Serialize)]
struct Dependency {
    path: String,
}

#[derive(Serialize)]
struct Output<'a> {
    output: &'a Path,
    routes: Vec<(&'a str, &'a str)>,
}

/// A file of the application.
struct Part {
    id: String,
    file: String,
    content: Vec<u8>,
    /// What it is of, for messages.
    path: PathBuf,
}

pub fn run(arguments: &SpinOptions) -> Result<()> {
    ensure!(!arguments.output.is_file(), "{} is a file, where a directory is wanted", arguments.output.display());
    let models = arguments.models.iter().map(|path| model(path)).collect::<Result<Vec<_>>>()?;
    let functions = arguments.function.iter().map(|path| function(path, &models)).collect::<Result<Vec<_>>>()?;
    let mut component = BTreeMap::new();
    let mut http = Vec::new();
    for (part, manifest) in &models {
        // A single model has all of the protocol; of several, each has the routes that name it.
        let route = match models.len() {
            1 => "/v2/...".to_owned(),
            _ => format!("/v2/models/{}/...", manifest.name),
        };
        http.push(Trigger { route, component: part.id.clone() });
        add(&mut component, part, BTreeMap::new())?;
    }
    for (part, model) in &functions {
        http.push(Trigger { route: format!("/{}", part.id), component: part.id.clone() });
        let dependencies = model.iter().map(|model| {
            let interface = MODEL_INTERFACE.split('@').next().unwrap_or(MODEL_INTERFACE);
            (interface.to_owned(), Dependency { path: model.to_string() })
        });
        add(&mut component, part, dependencies.collect())?;
    }
    let name = arguments.output.canonicalize().unwrap_or_else(|_| arguments.output.clone());
    let name = name.file_name().map(|name| kebab(&name.to_string_lossy())).unwrap_or_default();
    let manifest = SpinManifest {
        spin_manifest_version: 2,
        application: Application { name, version: "0.1.0" },
        trigger: Triggers { http },
        component,
    };
    let text = toml::to_string(&manifest).context("the manifest has no form in TOML")?;

    std::fs::create_dir_all(&arguments.output)
        .with_context(|| format!("cannot make the directory {}", arguments.output.display()))?;
    let write = |file: &str, content: &[u8]| -> Result<()> {
        Ok(Destination::claim(&arguments.output.join(file))?.write(content)?)
    };
    for part in models.iter().map(|(part, _)| part).chain(functions.iter().map(|(part, _)| part)) {
        write(&part.file, &part.content)?;
    }
    // Last, so that an application is there whole or not at all.
    write("spin.toml", text.as_bytes())?;
    tell(arguments, &manifest)
}

fn tell(arguments: &SpinOptions, manifest: &SpinManifest) -> Result<()> {
    let routes = manifest.trigger.http.iter().map(|trigger| (&*trigger.route, &*trigger.component)).collect();
    if arguments.json {
        let output = Output { output: &arguments.output, routes };
        println!("{}", serde_json::to_string_pretty(&output)?);
        return Ok(());
    }
    println!("{}", arguments.output.join("spin.toml").display());
    for (route, component) in routes {
        println!("  {route:24} {component}");
    }
    println!("run it with: spin up --from {}", arguments.output.display());
    Ok(())
}

fn add(
    components: &mut BTreeMap<String, Component>,
    part: &Part,
    dependencies: BTreeMap<String, Dependency>,
) -> Result<()> {
    let component = Component { source: part.file.clone(), dependencies };
    if components.insert(part.id.clone(), component).is_some() {
        bail!("{}: there is a component {:?} already; name the file otherwise", part.path.display(), part.id);
    }
    Ok(())
}

fn model(path: &Path) -> Result<(Part, Manifest)> {
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest = Manifest::read_from(&content).with_context(|| format!("{}", path.display()))?;
    if manifest.nn.is_some() {
        bail!(
            "{}: it has its host run the model, which Spin does not do; compile it with --target wasm",
            path.display()
        );
    }
    let id = kebab(&manifest.name);
    let file = format!("{id}.wasm");
    Ok((Part { id, file, content, path: path.to_owned() }, manifest))
}

/// A function, and the file of the model that it asks, if it asks one.
fn function<'a>(path: &Path, models: &'a [(Part, Manifest)]) -> Result<(Part, Option<&'a str>)> {
    let content = functions::link(path, None)?.component;
    let id = kebab(&functions::name(path));
    let part = Part { file: format!("{id}.wasm"), id, content, path: path.to_owned() };
    if !samara_linker::asks_model(&part.content)? {
        return Ok((part, None));
    }
    let wanted = Signature::wanted_by(&part.content).with_context(|| format!("{}", path.display()))?;
    let fits = |manifest: &Manifest| {
        let (inputs, outputs) = (manifest.inputs.clone(), manifest.outputs.clone());
        wanted.as_ref().is_none_or(|wanted| wanted.mismatch(&Signature { inputs, outputs }).is_none())
    };
    let fitting: Vec<_> = models.iter().filter(|(_, manifest)| fits(manifest)).collect();
    match fitting[..] {
        [(model, _)] => Ok((part, Some(&model.file))),
        [] => bail!(
            "{}: no model here is what it asks: {}",
            path.display(),
            wanted.map_or_else(|| "there is none".to_owned(), |wanted| wanted.to_string())
        ),
        _ => bail!("{}: {} models here are what it asks; write them apart", path.display(), fitting.len()),
    }
}

/// A name as Spin wants one: words of small letters and digits, joined by hyphens, the first character a letter.
fn kebab(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let name = words.join("-");
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { format!("m-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_spins() {
        assert_eq!(kebab("EfficientNet_Lite0"), "efficientnet-lite0");
        assert_eq!(kebab("7.1"), "m-7-1");
        assert_eq!(kebab("a--b"), "a-b");
    }
}
