//! The models of `models/cards`, with their test vectors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::samara::repository;
use crate::tensor::Tensor;

/// A model.
pub struct Card {
    /// How it is compiled.
    pub build: Build,
    /// Inputs, and what they must give.
    pub vectors: Vec<Vector>,
}

/// One way in which a model is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The name that the result is served under.
    pub name: String,
    /// The ONNX file.
    pub onnx: PathBuf,
    /// The shapes to fix.
    pub inputs: Vec<String>,
}

/// Inputs of a model, and what ONNX Runtime computes of them.
pub struct Vector {
    /// How the model is compiled for it.
    pub build: Build,
    /// What goes in.
    pub inputs: Vec<Tensor>,
    /// What has to come out.
    pub expected: Vec<Tensor>,
}

#[derive(Deserialize)]
struct CardFile {
    name: String,
    compile: CompileTable,
    vectors: Vec<VectorTable>,
}

#[derive(Deserialize)]
struct CompileTable {
    inputs: Vec<String>,
}

#[derive(Deserialize)]
struct VectorTable {
    name: String,
    compile_inputs: Option<Vec<String>>,
    inputs: BTreeMap<String, PathBuf>,
    expected: BTreeMap<String, PathBuf>,
}

impl Card {
    /// All models, by name.
    pub fn all() -> Result<Vec<Card>> {
        let directory = repository().join("models").join("cards");
        let mut names: Vec<String> = fs::read_dir(&directory)
            .with_context(|| format!("cannot read {}", directory.display()))?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
            .collect();
        names.sort();
        names.iter().map(|name| Card::read(name)).collect()
    }

    /// The model of this name.
    pub fn read(name: &str) -> Result<Card> {
        let models = repository().join("models");
        let path = models.join("cards").join(format!("{name}.toml"));
        Card::parse(&models, &path).with_context(|| path.display().to_string())
    }

    fn parse(models: &Path, path: &Path) -> Result<Card> {
        let card: CardFile = toml::from_str(&fs::read_to_string(path)?)?;
        let onnx = models.join(".cache").join(format!("{}.onnx", card.name));
        let build = Build { name: card.name.clone(), onnx, inputs: card.compile.inputs };
        let read = |files: &BTreeMap<String, PathBuf>| -> Result<Vec<Tensor>> {
            files.iter().map(|(name, file)| Tensor::read(name, &models.join(file))).collect()
        };
        let vectors = card
            .vectors
            .into_iter()
            .map(|vector| {
                let build = match vector.compile_inputs {
                    None => build.clone(),
                    Some(inputs) => Build { name: format!("{}-{}", card.name, vector.name), inputs, ..build.clone() },
                };
                Ok(Vector { build, inputs: read(&vector.inputs)?, expected: read(&vector.expected)? })
            })
            .collect::<Result<_>>()?;
        Ok(Card { build, vectors })
    }

    /// Its first vector that fits its own build.
    pub fn first(&self) -> Result<&Vector> {
        self.vectors
            .iter()
            .find(|vector| vector.build == self.build)
            .with_context(|| format!("{} has no vector", self.build.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cards_are_read() {
        let cards = Card::all().expect("cards");
        assert_eq!(cards.len(), 8);
        for card in &cards {
            assert!(!card.first().expect("a vector").expected.is_empty());
        }
    }
}
