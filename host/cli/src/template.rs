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
struct Context_<'a> {
    name: &'a ProjectName,
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
    #[serde(flatten)]
    lock: &'a Lock,
}
