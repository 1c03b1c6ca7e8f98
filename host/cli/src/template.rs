//! The files of a function project: `samara new`.
//!
//! What is generated is in `templates/function`; what is carried along, in [`vendored`].

mod code;
mod vendored;

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use minijinja::{Environment, UndefinedBehavior};
use samara_artifact::{Manifest, Signature};
use serde::Serialize;

use code::Tensor;
use vendored::Lock;
pub use vendored::SDK;

/// The signature of a function whose model is not known: that of `functions/score`.
const EXAMPLE_SIGNATURE: &str = "x FP32[-1,30] -> score FP32[-1]";

/// The version of a project.
const VERSION: &str = "0.1.0";

/// The packages that a project depends on, besides the SDK. The SDK depends on them too.
const DEPENDENCIES: &[&str] = &["serde", "serde_json"];

/// The templates, each with the path of the file that it makes.
const TEMPLATES: &[(&str, &str)] = &[
    (".gitignore", include_str!("../templates/function/gitignore")),
    ("Cargo.lock", include_str!("../templates/function/Cargo.lock.j2")),
    ("Cargo.toml", include_str!("../templates/function/Cargo.toml.j2")),
    ("README.md", include_str!("../templates/function/README.md.j2")),
    ("src/lib.rs", include_str!("../templates/function/lib.rs.j2")),
];

/// The name of a project, which is that of its crate: small letters and digits, in words joined by hyphens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectName(String);

/// A model that a function is written for.
pub struct Model<'a> {
    /// What it tells about itself.
    pub manifest: &'a Manifest,
    /// The name of its file.
    pub file: &'a str,
}

/// A project.
pub struct Project {
    /// The signature of the model that it asks.
    pub signature: Signature,
    /// Where the built function is, in the project.
    pub wasm: String,
    /// All files: path, with `/`, and content.
    pub files: Vec<(&'static str, String)>,
}

/// What the templates are filled with.
#[derive(Serialize)]
struct Blanks<'a> {
    name: &'a str,
    version: &'a str,
    rust_version: &'a str,
    repository: &'a str,
    /// The name of the model, if it is known, and of its file.
    model: Option<&'a str>,
    file: &'a str,
    wasm: &'a str,
    signature: &'a str,
    signature_literal: &'a str,
    inputs: &'a [Tensor],
    outputs: &'a [Tensor],
    has_flat: bool,
    has_shaped: bool,
    example: &'a str,
    lock: &'a Lock,
}

/// The files of a project.
///
/// # Errors
///
/// The name is that of a package that the project needs, or no function can be written for the model.
pub fn project(name: &ProjectName, model: Option<&Model<'_>>) -> Result<Project> {
    let signature = match model {
        Some(Model { manifest, .. }) => {
            Signature { inputs: manifest.inputs.clone(), outputs: manifest.outputs.clone() }
        }
        None => EXAMPLE_SIGNATURE.parse()?,
    };
    let samples = model.map_or(&[][..], |model| &model.manifest.sample);
    let (inputs, outputs) = code::tensors(&signature, samples)?;
    let lock = Lock::of(&name.0, VERSION, DEPENDENCIES)?;
    ensure!(lock.names(&name.0) == 1, "a function cannot be named {name}: a package that it needs has that name");
    let signature_text = signature.to_string();
    let wasm = format!("target/wasm32-unknown-unknown/release/{}.wasm", name.0.replace('-', "_"));
    let example: Vec<String> = inputs.iter().map(Tensor::example).collect();
    let blanks = Blanks {
        name: &name.0,
        version: VERSION,
        rust_version: &vendored::rust_version()?,
        repository: &vendored::repository()?,
        model: model.map(|model| &*model.manifest.name),
        file: model.map_or("MODEL.wasm", |model| model.file),
        wasm: &wasm,
        signature: &signature_text,
        signature_literal: &code::literal(&signature_text),
        has_flat: inputs.iter().any(Tensor::is_flat),
        has_shaped: !inputs.iter().all(Tensor::is_flat),
        inputs: &inputs,
        outputs: &outputs,
        example: &format!("{{{}}}", example.join(", ")),
        lock: &lock,
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_keep_trailing_newline(true);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    let mut files = Vec::new();
    for &(path, template) in TEMPLATES {
        let filled = environment.render_str(template, &blanks);
        files.push((path, filled.with_context(|| format!("the template of {path}"))?));
    }
    files.push((vendored::MANIFEST_PATH, vendored::manifest()?));
    files.extend(vendored::FILES.iter().map(|&(path, content)| (path, content.to_owned())));
    files.sort();
    Ok(Project { signature, wasm, files })
}

// === impl ProjectName ===

impl FromStr for ProjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if text.len() > 64 || !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.split('-').all(is_word) {
            return Err(
                "it must be small letters and digits, in words joined by hyphens, the first character a letter, \
                        at most 64 in all, since it becomes the name of a crate"
                    .to_owned(),
            );
        }
        if code::is_keyword(text) || ["alloc", "core", "proc-macro", "std", "test"].contains(&text) {
            return Err("the name means something else in Rust".to_owned());
        }
        Ok(ProjectName(text.to_owned()))
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use samara_artifact::{Cost, Simd, Source};

    use super::*;

    fn name(text: &str) -> ProjectName {
        text.parse().unwrap()
    }

    fn manifest(signature: &str, sample: &[&[u64]]) -> Manifest {
        let Signature { inputs, outputs } = signature.parse().unwrap();
        Manifest {
            format: Manifest::FORMAT,
            name: "m".to_owned(),
            version: "1".to_owned(),
            generator: "samara 0".to_owned(),
            simd: Simd::Relaxed,
            tune: None,
            source: Source { file: "m.onnx".to_owned(), sha256: String::new() },
            inputs,
            outputs,
            sample: sample.iter().map(|shape| shape.to_vec()).collect(),
            cost: Some(Cost::default()),
            labels: None,
            nn: None,
        }
    }

    fn file<'a>(project: &'a Project, path: &str) -> &'a str {
        let found = project.files.iter().find(|(name, _)| *name == path);
        found.map(|(_, content)| &**content).unwrap()
    }

    #[test]
    fn a_name_is_that_of_a_crate() {
        for text in ["a", "my-function", "v2", "top-5"] {
            assert!(text.parse::<ProjectName>().is_ok(), "{text}");
        }
        let long = "x".repeat(65);
        for text in ["", "My", "my_function", "-a", "a-", "a--b", "2a", "a b", "a/b", "..", "é", "fn", "test", &long] {
            assert!(text.parse::<ProjectName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_dependency_does_not_lend_its_name() {
        for text in ["serde", "samara-function", "wit-bindgen"] {
            let message = project(&name(text), None).err().unwrap().to_string();
            assert!(message.contains("a package that it needs"), "{message}");
        }
    }

    #[test]
    fn the_generated_manifests_are_sound() {
        let project = project(&name("my-function"), None).unwrap();
        let manifest: toml::Table = file(&project, "Cargo.toml").parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("my-function"));
        for dependency in DEPENDENCIES.iter().chain([&vendored::SDK]) {
            assert!(manifest["dependencies"].get(dependency).is_some(), "{dependency}");
        }
        assert_eq!(manifest["dependencies"].as_table().map(toml::Table::len), Some(DEPENDENCIES.len() + 1));
        assert_eq!(manifest["package"]["version"].as_str(), Some(VERSION));
        let lock: toml::Table = file(&project, "Cargo.lock").parse().unwrap();
        assert!(
            lock["package"].as_array().unwrap().iter().any(|package| package["name"].as_str() == Some("my-function"))
        );
        assert_eq!(project.wasm, "target/wasm32-unknown-unknown/release/my_function.wasm");
    }

    #[test]
    fn the_code_has_the_model_s_signature() {
        let text = "image FP32[-1,1,28,28], input.1 INT64[-1,-1] -> logits FP32[-1,10], 2 UINT8[1]";
        let manifest = manifest(text, &[&[1, 1, 28, 28], &[1, 7]]);
        let project = project(&name("app"), Some(&Model { manifest: &manifest, file: "m.wasm" })).unwrap();
        let code = file(&project, "src/lib.rs");
        for said in [
            &*format!("samara_function::export!(Handler: \"{text}\");"),
            "    image: Vec<f32>,",
            "    #[serde(rename = \"input.1\")]\n    input_1: Shaped<i64>,",
            "shape_of(\"image\", &[-1, 1, 28, 28], body.image.len())?",
            "check_shape(\"input.1\", &[-1, -1], &shape, data.len())?",
            "    #[serde(rename = \"2\")]\n    output_2: Shaped<u8>,",
            "\"input.1\": {\"shape\": [1, 7], \"data\": vec![1; 7]}",
        ] {
            assert!(code.contains(said), "{said}: {code}");
        }
        let readme = file(&project, "README.md");
        assert!(
            readme.contains("\"image\": [0.0] * 784, \"input.1\": {\"shape\": [1, 7], \"data\": [0] * 7}"),
            "{readme}"
        );
        assert!(readme.contains("which `m` has") && readme.contains("--model m.wasm"), "{readme}");
    }

    #[test]
    fn nothing_is_left_blank() {
        for (path, content) in project(&name("app"), None).unwrap().files {
            assert!(!content.contains("{%") && !content.contains("{{ "), "{path}: {content}");
            assert!(content.ends_with('\n') && !content.ends_with("\n\n"), "{path}");
        }
    }
}
