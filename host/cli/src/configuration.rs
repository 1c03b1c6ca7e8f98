//! What is to be served, and which graphs the host runs for it: from the command line, and from `samara.toml`.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use samara_nn::GraphSpec;
use samara_server::FunctionRoute;
use serde::Deserialize;

use crate::functions;
use crate::options::ServeOptions;

/// What is to be served beside the models in the repository.
pub struct Configuration {
    pub functions: Vec<Function>,
    pub graphs: Vec<GraphSpec>,
}

/// A function that is to be served.
pub struct Function {
    pub component: PathBuf,
    pub model: Option<PathBuf>,
    pub route: FunctionRoute,
    /// How many requests an instance answers.
    pub reuse: NonZeroU32,
}

/// `samara.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    function: Vec<FileFunction>,
    #[serde(default)]
    graph: Vec<GraphSpec>,
}

/// A `[[function]]` in `samara.toml`. Paths are relative to the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFunction {
    component: PathBuf,
    model: Option<PathBuf>,
    route: Option<String>,
    reuse: Option<NonZeroU32>,
}

// === impl Configuration ===

impl Configuration {
    /// What the command line says, and the file that it names.
    pub fn of(arguments: &ServeOptions) -> Result<Configuration> {
        let mut configuration =
            Configuration { functions: on_command_line(arguments)?, graphs: arguments.nn.nn.clone() };
        if let Some(path) = &arguments.config {
            let file = in_file(path)?;
            configuration.functions.extend(file.functions);
            configuration.graphs.extend(file.graphs);
        }
        Ok(configuration)
    }
}

fn on_command_line(arguments: &ServeOptions) -> Result<Vec<Function>> {
    let ServeOptions { function, model, route, reuse, .. } = arguments;
    for (what, count) in [("--model", model.len()), ("--route", route.len()), ("--reuse", reuse.len())] {
        ensure!(
            count == 0 || count == function.len(),
            "{} functions, but {count} of {what}: give it once for each --function, in the same order, or not at all",
            function.len()
        );
    }
    let functions = function.iter().enumerate().map(|(index, path)| {
        let route = route.get(index).cloned().map_or_else(|| default_route(path), Ok)?;
        let reuse = reuse.get(index).copied().unwrap_or(NonZeroU32::MIN);
        Ok(Function { component: path.clone(), model: model.get(index).cloned(), route, reuse })
    });
    functions.collect()
}

fn in_file(path: &Path) -> Result<Configuration> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let File { function, graph } = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
    if function.is_empty() && graph.is_empty() {
        bail!("{} lists no [[function]] and no [[graph]]", path.display());
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let functions = function.into_iter().map(|function| {
        let component = directory.join(function.component);
        let route = match function.route {
            Some(route) => route.parse().with_context(|| format!("{}", path.display()))?,
            None => default_route(&component)?,
        };
        let model = function.model.map(|model| directory.join(model));
        Ok(Function { component, model, route, reuse: function.reuse.unwrap_or(NonZeroU32::MIN) })
    });
    let graphs = graph.into_iter().map(|graph| {
        let path = graph.path.map(|path| directory.join(path));
        GraphSpec { path, ..graph }
    });
    Ok(Configuration { functions: functions.collect::<Result<_>>()?, graphs: graphs.collect() })
}

fn default_route(path: &Path) -> Result<FunctionRoute> {
    let name = functions::name(path);
    format!("/{name}").parse().with_context(|| format!("{}: give it a --route", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lists_functions_and_graphs() {
        let text = r#"
            [[function]]
            component = "classify.wasm"
            model = "efficientnet-lite0.wasm"
            route = "/classify/..."

            [[function]]
            component = "whole.wasm"
            reuse = 100

            [[graph]]
            name = "minilm"
            model = "minilm.onnx"
            threads = 2

            [[graph]]
            name = "beside"
        "#;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samara.toml");
        std::fs::write(&path, text).unwrap();
        let Configuration { functions, graphs } = in_file(&path).unwrap();
        assert_eq!(functions[0].component, directory.path().join("classify.wasm"));
        assert_eq!(functions[0].model.as_deref(), Some(&*directory.path().join("efficientnet-lite0.wasm")));
        assert_eq!(functions[0].route.to_string(), "/classify/...");
        assert_eq!((functions[1].model.as_deref(), functions[1].route.to_string()), (None, "/whole".to_owned()));
        assert_eq!((functions[0].reuse.get(), functions[1].reuse.get()), (1, 100));
        assert_eq!(graphs[0].path.as_deref(), Some(&*directory.path().join("minilm.onnx")));
        assert_eq!((graphs[0].threads, graphs[1].path.as_deref()), (2, None));
    }

    #[test]
    fn a_file_says_nothing_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samara.toml");
        for text in [
            "",
            "[[function]]\ncomponent = \"a.wasm\"\nmodels = \"b.wasm\"\n",
            "[[function]]\n",
            "functions = []",
            "[[function]]\ncomponent = \"a.wasm\"\nreuse = 0\n",
            "[[graph]]\nname = \"a\"\ncores = 1\n",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(in_file(&path).is_err(), "{text}");
        }
    }
}
