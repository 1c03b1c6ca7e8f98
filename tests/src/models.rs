//! Compiled models, made once and shared by all tests.
//!
//! They are kept in `target/test-models`, with the machine code that is made of them, until the command itself is built
//! anew. Tests run in processes of their own, so a lock sees to it that only one of them makes a model.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use samara_artifact::Tune;
use serde::Deserialize;

use crate::npy;
use crate::onnx::{self, Graph};
use crate::samara::{self, Run, checkout};
use crate::server::Server;
use crate::tensor::{Tensor, assert_close, binary_request, json_request, outputs};

// === compiling ===

/// Compiles an ONNX file with these options, unless that has been done.
#[must_use]
#[track_caller]
pub fn compiled(name: &str, onnx: &Path, options: &[&str]) -> PathBuf {
    let content = fs::read(onnx).unwrap_or_else(|error| panic!("{}: {error}", onnx.display()));
    let mut hasher = DefaultHasher::new();
    (name, content, options).hash(&mut hasher);
    let component = shared().join(format!("{name}-{:016x}.wasm", hasher.finish()));
    let _alone = lock(&component.with_extension("lock"));
    if !component.is_file() {
        let mut command = samara::command();
        command.args(["compile", "--name", name]).args(options);
        command.arg(onnx).arg("-o").arg(&component);
        Run::of(&mut command).succeeds();
    }
    component
}

/// Compiles a model written here, unless that has been done.
#[must_use]
#[track_caller]
pub fn compiled_graph(name: &str, graph: &Graph, options: &[&str]) -> PathBuf {
    let directory = tempfile::tempdir().unwrap();
    compiled(name, &graph.write(directory.path(), "model.onnx"), options)
}

/// [`onnx::duo`], compiled.
#[must_use]
#[track_caller]
pub fn duo() -> PathBuf {
    compiled_graph("duo", &onnx::duo(), &[])
}

/// [`onnx::twice`], compiled.
#[must_use]
#[track_caller]
pub fn twice() -> PathBuf {
    compiled_graph("twice", &onnx::twice(), &[])
}

/// The directory of machine code that all tests use which are not about it.
#[must_use]
pub fn code_cache() -> PathBuf {
    shared().join("cache")
}

/// The directory in which hosts that are not ours keep the functions that they have compiled.
#[must_use]
pub fn function_cache() -> PathBuf {
    let directory = shared().join("functions");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// The directory that belongs to this build of the command. Those of earlier ones are removed.
fn shared() -> &'static Path {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED.get_or_init(|| {
        let all = checkout().join("target/test-models");
        fs::create_dir_all(&all).unwrap();
        let binary = fs::metadata(samara::binary()).unwrap();
        let built = binary.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        // The binary compiles for the processor that it runs on.
        let ours = all.join(format!("{}-{}-{}", binary.len(), built.as_nanos(), Tune::here()));
        let _alone = lock(&all.join("lock"));
        if !ours.is_dir() {
            for entry in fs::read_dir(&all).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    fs::remove_dir_all(entry.path()).unwrap();
                }
            }
            fs::create_dir(&ours).unwrap();
        }
        ours
    })
}

/// Takes a lock, which is held until the file is dropped.
fn lock(path: &Path) -> File {
    let file = File::create(path).unwrap();
    file.lock().unwrap();
    file
}

// === the zoo ===

/// A model of the zoo: what its card says, as far as the tests need it.
#[derive(Clone, Debug, Deserialize)]
pub struct Card {
    /// The model's name.
    pub name: String,
    source: CardSource,
    compile: CardCompile,
    /// Inputs with the outputs that are right for them.
    pub vectors: Vec<Vector>,
}

#[derive(Clone, Debug, Deserialize)]
struct CardSource {
    /// Where the file is, for a model that this repository holds.
    path: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
struct CardCompile {
    inputs: Vec<String>,
}

/// Inputs with the outputs that are right for them.
#[derive(Clone, Debug, Deserialize)]
pub struct Vector {
    /// What it is called.
    pub name: String,
    /// An output may differ from the right one by this · (1 + |right|).
    pub tolerance: f64,
    /// The shapes that the model has to be compiled with, where they are not those of the card.
    compile_inputs: Option<Vec<String>>,
    inputs: BTreeMap<String, PathBuf>,
    expected: BTreeMap<String, PathBuf>,
}

/// The card of a model of the zoo.
#[must_use]
#[track_caller]
pub fn card(name: &str) -> Card {
    let path = zoo().join(format!("cards/{name}.toml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all cards.
#[must_use]
pub fn card_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(zoo().join("cards"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn zoo() -> PathBuf {
    checkout().join("models")
}

impl Card {
    /// The model's ONNX file: in this repository, or where the set-up has put it.
    #[must_use]
    #[track_caller]
    pub fn onnx(&self) -> PathBuf {
        if let Some(path) = &self.source.path {
            return zoo().join(path);
        }
        let path = zoo().join(".cache").join(&self.name).with_extension("onnx");
        assert!(path.is_file(), "{} is missing: run `make setup`", path.display());
        path
    }

    /// The component, with the shapes that the card recommends.
    #[must_use]
    #[track_caller]
    pub fn compiled(&self) -> PathBuf {
        self.compiled_with(&self.compile.inputs)
    }

    /// The component, with the shapes that a vector needs.
    #[must_use]
    #[track_caller]
    pub fn compiled_for(&self, vector: &Vector) -> PathBuf {
        self.compiled_with(vector.compile_inputs.as_ref().unwrap_or(&self.compile.inputs))
    }

    /// The options of `samara compile` that the card recommends.
    #[must_use]
    pub fn options(&self) -> Vec<&str> {
        self.compile.inputs.iter().flat_map(|input| ["--input", input]).collect()
    }

    fn compiled_with(&self, inputs: &[String]) -> PathBuf {
        let options: Vec<&str> = inputs.iter().flat_map(|input| ["--input", input]).collect();
        compiled(&self.name, &self.onnx(), &options)
    }
}

impl Vector {
    /// What goes in.
    #[must_use]
    pub fn inputs(&self) -> Vec<Tensor> {
        tensors(&self.inputs)
    }

    /// The files that hold what goes in, by input.
    #[must_use]
    pub fn input_files(&self) -> Vec<(String, PathBuf)> {
        self.inputs.iter().map(|(name, path)| (name.clone(), zoo().join(path))).collect()
    }

    /// What must come out.
    #[must_use]
    pub fn expected(&self) -> Vec<Tensor> {
        tensors(&self.expected)
    }
}

fn tensors(files: &BTreeMap<String, PathBuf>) -> Vec<Tensor> {
    files.iter().map(|(name, path)| npy::read(&zoo().join(path), name)).collect()
}

/// Asks a server what a vector gives, in both forms: both answers are right, and the same.
#[track_caller]
pub fn assert_right(server: &Server, model: &str, vector: &Vector, tolerance: f64) {
    let expected = vector.expected();
    let [json, binary] = [json_request, binary_request].map(|request| {
        let mut actual = outputs(&server.send(&request(model, &vector.inputs())));
        actual.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(actual.len(), expected.len(), "{}", vector.name);
        for (actual, expected) in actual.iter().zip(&expected) {
            assert_close(actual, expected, tolerance);
        }
        actual
    });
    assert_eq!(json, binary, "{}: JSON and bytes tell different things", vector.name);
}

/// A test for each model of the zoo, which calls a function with the model's name; and one that no model is missing.
#[macro_export]
macro_rules! test_each_model {
    ($check:path) => {
        $crate::test_each_model! {
            @ $check,
            anomaly_autoencoder = "anomaly-autoencoder",
            breast_random_forest = "breast-random-forest",
            efficientnet_lite0 = "efficientnet-lite0",
            fashion_cnn = "fashion-cnn",
            magika = "magika",
            minilm_l6 = "minilm-l6",
            ppocrv4_rec = "ppocrv4-rec",
            silero_vad = "silero-vad"
        }
    };
    (@ $check:path, $($test:ident = $name:literal),*) => {
        $(
            #[test]
            fn $test() {
                $check($name);
            }
        )*

        #[test]
        fn every_card_has_its_test() {
            assert_eq!($crate::models::card_names(), [$($name),*]);
        }
    };
}
