//! Applications for Spin: the manifest of this repository, and those that `samara spin` writes.
//!
//! Spin is not here to run them. What its manifest's reference says of version 2 is checked, what its loader wants of
//! components, and the limits of its pool: <https://spinframework.dev/manifest-reference>.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use samara_artifact::Inspection;
use samara_tests::models;
use samara_tests::samara::{assert_says, checkout, run};
use serde::Deserialize;
use tempfile::tempdir;
use wasmtime::component::{Component as WasmComponent, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::{autoencoder, function, text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    spin_manifest_version: u32,
    application: Application,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read to be checked by serde")]
struct Application {
    name: String,
    version: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    http: Vec<Trigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    route: String,
    component: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    source: String,
    #[serde(default)]
    dependencies: BTreeMap<String, Dependency>,
    build: Option<Build>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependency {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    command: String,
    watch: Vec<String>,
}

fn read(path: &Path) -> Manifest {
    toml::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What holds of a manifest by itself.
fn check(manifest: &Manifest) {
    assert_eq!(manifest.spin_manifest_version, 2);
    assert!(is_kebab(&manifest.application.name));
    let routes: BTreeSet<&str> = manifest.trigger.http.iter().map(|trigger| &*trigger.route).collect();
    assert_eq!(routes.len(), manifest.trigger.http.len(), "a route is there twice");
    let asked: BTreeSet<&str> = manifest.trigger.http.iter().map(|trigger| &*trigger.component).collect();
    let there: BTreeSet<&str> = manifest.component.keys().map(String::as_str).collect();
    assert_eq!(asked, there);
    for Trigger { route, .. } in &manifest.trigger.http {
        assert!(route.starts_with('/') && !route.trim_end_matches("/...").contains("..."), "{route}");
    }
    for id in there {
        assert!(is_kebab(id), "{id}");
    }
}

fn is_kebab(id: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    id.starts_with(|c: char| c.is_ascii_lowercase()) && id.split('-').all(word)
}

/// What Spin grants: no wasi-nn, and nothing of ours.
fn is_granted(import: &str) -> bool {
    let packages = ["wasi:http/", "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/", "wasi:filesystem/"];
    packages.iter().any(|package| import.starts_with(package))
}

/// What Spin wants of a component, where `dependencies` are given to it.
fn check_component(path: &Path, dependencies: &BTreeMap<String, Dependency>, directory: &Path) {
    let inspected = Inspection::of(&fs::read(path).unwrap()).unwrap();
    let handlers = inspected.exports.iter().filter(|export| {
        export.starts_with("wasi:http/incoming-handler@0.2.") || export.starts_with("wasi:http/handler@0.3.")
    });
    assert_eq!(handlers.count(), 1, "{}: {:?}", path.display(), inspected.exports);
    for import in &inspected.imports {
        let given = dependencies.iter().find(|(name, _)| import.split('@').next() == Some(name));
        match given {
            None => assert!(is_granted(import), "{}: {import}", path.display()),
            Some((_, Dependency { path })) => {
                let exports = Inspection::of(&fs::read(directory.join(path)).unwrap()).unwrap().exports;
                assert!(exports.contains(import), "{path} does not export {import}");
            }
        }
    }
    for name in dependencies.keys() {
        assert!(inspected.imports.iter().any(|import| import.split('@').next() == Some(name)), "{name} is not wanted");
    }
    let memory = inspected.memory;
    assert!(memory.is_copy_on_write_by_default(), "{}: {memory:?}", path.display());
    assert!(memory.memory_bytes < 4 << 30);
}

#[test]
fn the_manifest_of_this_repository_holds() {
    let root = checkout();
    let manifest = read(&root.join("spin.toml"));
    check(&manifest);
    for (id, Component { source, dependencies, build }) in &manifest.component {
        let build = build.as_ref().unwrap_or_else(|| panic!("{id} has no build command"));
        assert!(!build.watch.is_empty() && build.command.contains(id), "{id}: {}", build.command);
        // What the command runs, and what it watches, is there.
        let program = build.command.split(' ').next().unwrap();
        assert!(root.join(program).exists(), "{id}: {program}");
        for pattern in &build.watch {
            let fixed = pattern.split("/**").next().unwrap();
            assert!(root.join(fixed).exists(), "{id}: {pattern}");
        }
        let name = Path::new(source).file_stem().unwrap().to_str().unwrap();
        assert_eq!(name, id);
        if source.starts_with("target/functions/") {
            let (interface, Dependency { path }) = dependencies.first_key_value().unwrap();
            assert_eq!(interface, "samara:inference/model");
            // The models are compiled by the tests elsewhere: the same, under another path.
            let model = models::card(Path::new(path).file_stem().unwrap().to_str().unwrap()).compiled();
            let there = Dependency { path: text(&model).to_owned() };
            let dependencies = BTreeMap::from([(interface.clone(), there)]);
            check_component(&function(id), &dependencies, &root);
        } else {
            check_component(&models::card(id).compiled(), &BTreeMap::new(), &root);
        }
    }
}

/// Spin's limits: 10 MB of what Wasmtime keeps for an instance, 4 GiB of memory, two tables a module.
#[test]
fn a_linked_function_starts_within_spins_pool() {
    let directory = tempdir().unwrap();
    let app = directory.path().join("app.wasm");
    let (function, model) = (function("score"), autoencoder());
    run(["link", text(&function), "--model", text(&model), "-o", text(&app)]).succeeds();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(10)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_memory_size(4 << 30)
        .max_tables_per_module(2);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config).unwrap();
    let component = WasmComponent::from_file(&engine, &app).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&component).unwrap();
    for _ in 0..20 {
        linker.instantiate(Store::new(&engine, ()), &component).unwrap();
    }
}

#[test]
fn an_application_of_ones_own_is_whole() {
    let directory = tempdir().unwrap();
    let app = directory.path().join("My_App");
    let (function, model) = (function("score"), autoencoder());
    let other = models::card("fashion-cnn").compiled();
    let words = ["spin", text(&model), text(&other), "--function", text(&function), "-o", text(&app)];
    let said = run(words).succeeds().stdout;
    assert_says(&said, &["spin.toml", "/v2/models/anomaly-autoencoder/...", "/score", "spin up"]);
    let manifest = read(&app.join("spin.toml"));
    check(&manifest);
    assert_eq!(manifest.application.name, "my-app");
    let files: BTreeSet<String> =
        fs::read_dir(&app).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let wanted = ["anomaly-autoencoder.wasm", "fashion-cnn.wasm", "score.wasm", "spin.toml"];
    assert_eq!(files, wanted.map(str::to_owned).into());
    for Component { source, dependencies, .. } in manifest.component.values() {
        check_component(&app.join(source), dependencies, &app);
    }
    let asked = &manifest.component["score"].dependencies["samara:inference/model"];
    assert_eq!(asked.path, "anomaly-autoencoder.wasm");
}

#[test]
fn a_single_model_has_all_of_the_protocol() {
    let directory = tempdir().unwrap();
    let app = directory.path().join("app");
    run(["spin", text(&autoencoder()), "-o", text(&app)]).succeeds();
    assert_eq!(read(&app.join("spin.toml")).trigger.http[0].route, "/v2/...");
}

#[test]
fn a_function_whose_model_is_not_there_is_refused() {
    let directory = tempdir().unwrap();
    let app = directory.path().join("app");
    let model = models::card("fashion-cnn").compiled();
    let message = run(["spin", text(&model), "--function", text(&function("score")), "-o", text(&app)]).fails();
    assert_says(&message, &["score.wasm", "x FP32[-1,30] -> score FP32[-1]"]);
    assert!(!app.exists());
}
