//! A file: read whole, so that everything that is wrong with it is told at once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use samara_nn::GraphSpec;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::with_suggestion;
use crate::section::{File, Function, ModelSettings};
use crate::{ConfigurationError, NodeSettings, Problem};

/// What a file says, with paths that are relative to its directory.
#[derive(Debug, Default)]
pub struct FileSettings {
    pub node: NodeSettings,
    pub models: BTreeMap<String, ModelSettings>,
    pub functions: Vec<Function>,
    pub graphs: Vec<GraphSpec>,
}

impl FileSettings {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<FileSettings, ConfigurationError> {
        let text = std::fs::read_to_string(path)
            .map_err(|reason| ConfigurationError::Read { path: path.to_owned(), reason })?;
        let directory = path.parent().unwrap_or(Path::new("."));
        parse(&text, directory).map_err(|problems| ConfigurationError::Invalid { path: path.to_owned(), problems })
    }
}

fn parse(text: &str, directory: &Path) -> Result<FileSettings, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<Problem> =
        errors.iter().map(|error| Problem::at(text, error.span(), error.message())).collect();
    // What is left after an error of syntax may be anything.
    if !problems.is_empty() {
        return Err(problems);
    }
    let (file, mut errors) = deserialize(text, table);
    problems.append(&mut errors);
    let settings = file.map(|file| resolve(text, directory, file, &mut problems));
    problems.sort();
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(problems),
    }
}

/// Deserialises the table, without what is wrong in it, and tells that.
fn deserialize(text: &str, mut table: Spanned<DeTable<'_>>) -> (Option<File>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut removed: Vec<String> = Vec::new();
    let mut told: Vec<Range<usize>> = Vec::new();
    loop {
        let error = match File::deserialize(table.clone().into_deserializer()) {
            Ok(file) => return (Some(file), problems),
            Err(error) => error,
        };
        // A key whose value was wrong is not missing; and what is wrong with the rest of a value may be that part of it is gone.
        let is_absence = error.message().starts_with("missing field");
        let rest = error.span().is_some_and(|span| told.iter().any(|inner| contains(&span, inner)));
        let is_missed = removed.iter().any(|key| error.message() == format!("missing field `{key}`"));
        if !is_missed && (is_absence || !rest) {
            problems.push(Problem::at(text, error.span(), with_suggestion(error.message())));
        }
        told.extend(error.span());
        match error.span().and_then(|span| remove(table.get_mut(), &span)) {
            Some(key) => removed.push(key),
            None => return (None, problems),
        }
    }
}

/// Removes the smallest entry that a span is in: its key is that, or its value has it. Says which key it was the value of.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let mut found = None;
    for (key, value) in table.iter_mut() {
        if let Some(removed) = remove_within(key.get_ref(), value, span) {
            return Some(removed);
        }
        if key.span() == *span || contains(&value.span(), span) {
            found = Some(key.clone());
        }
    }
    let key = found?;
    table.remove(&key).map(|_| key.into_inner().into_owned())
}

fn remove_within(key: &str, value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(array) => {
            if let Some(removed) = array.iter_mut().find_map(|element| remove_within(key, element, span)) {
                return Some(removed);
            }
            let before = array.len();
            *array = array.iter().filter(|element| !contains(&element.span(), span)).cloned().collect();
            (array.len() < before).then(|| key.to_owned())
        }
        _ => None,
    }
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Checks what no single value tells.
fn resolve(text: &str, directory: &Path, file: File, problems: &mut Vec<Problem>) -> FileSettings {
    let mut functions: Vec<Function> = Vec::new();
    for spanned in &file.function {
        let function = match spanned.get_ref().resolve(directory) {
            Ok(function) => function,
            Err(error) => {
                problems.push(Problem::at(text, Some(spanned.span()), error.to_string()));
                continue;
            }
        };
        if let Some(first) = functions.iter().find(|first| first.route == function.route) {
            let message = format!(
                "{} and {} are both served at {}: give one of them another route",
                shown(directory, &first.component),
                shown(directory, &function.component),
                function.route
            );
            problems.push(Problem::at(text, Some(spanned.span()), message));
        }
        functions.push(function);
    }
    let mut graphs: Vec<GraphSpec> = Vec::new();
    for spanned in file.graph {
        let span = spanned.span();
        let mut graph = spanned.into_inner();
        graph.path = graph.path.map(|path| directory.join(path));
        if graphs.iter().any(|first| first.name == graph.name) {
            problems.push(Problem::at(text, Some(span), format!("graph \"{}\" is listed twice", graph.name)));
        }
        graphs.push(graph);
    }
    let models = file.model.into_iter().map(|(name, spanned)| {
        let span = spanned.span();
        let model = spanned.into_inner();
        let of_batches =
            [("max_batch_delay_ms", model.max_batch_delay_ms.is_some()), ("pad_batches", model.pad_batches.is_some())];
        if let Some((key, _)) = of_batches.iter().find(|(_, is_set)| *is_set && model.max_batch_size.is_none()) {
            let message = format!("{key} without max_batch_size, which says how many items run together");
            problems.push(Problem::at(text, Some(span), message));
        }
        (name, model)
    });
    let models = models.collect();
    FileSettings { node: file.node.within(directory), models, functions, graphs }
}

/// A path as the file has it.
fn shown(directory: &Path, path: &Path) -> String {
    path.strip_prefix(directory).map_or_else(|_| PathBuf::from(path), PathBuf::from).display().to_string()
}

#[cfg(test)]
mod tests;
