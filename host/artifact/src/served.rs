//! A compiled model in the world `served`: with the model's export and nothing else.
//!
//! What `samara compile` writes also answers HTTP on any host that speaks `wasi:http`. A host of Samara's own calls the model, and
//! would have to provide each new instance with all that the other export imports: 27 functions, through two more core modules,
//! which takes it about as long as all else that makes an instance.

use std::borrow::Cow;
use std::collections::HashSet;

use wasm_encoder::{
    CodeSection, Component, CustomSection, Encode, EntityType, Function, FunctionSection, ImportSection, Instruction,
    Module, RawSection, Section,
};
use wasmparser::{Parser, Payload, TypeRef, Validator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use crate::inspection::{InspectError, core_module};
use crate::manifest::MANIFEST_SECTION;

/// The interface of a model: what a component exports, and what a function asks for.
pub const MODEL_INTERFACE: &str = "samara:inference/model@0.1.0";

/// The function of it that the core module exports.
const MODEL_EXPORT: &str = "samara:inference/model@0.1.0#infer";

/// The packages that the world is made of.
const WIT: [(&str, &str); 5] = [
    ("io.wit", include_str!("../../../wit/deps/io/io.wit")),
    ("clocks.wit", include_str!("../../../wit/deps/clocks/clocks.wit")),
    ("http.wit", include_str!("../../../wit/deps/http/http.wit")),
    ("wasi-nn.wit", include_str!("../../../wit/deps/nn/wasi-nn.wit")),
    ("model.wit", include_str!("../../../wit/model.wit")),
];

/// What a host has of a model, and what the model has of its host where that runs it.
const SERVED: &str = "package samara:host;
world model {
  include samara:inference/served@0.1.0;
  import wasi:nn/tensor@0.2.0-rc-2024-10-28;
  import wasi:nn/graph@0.2.0-rc-2024-10-28;
  import wasi:nn/inference@0.2.0-rc-2024-10-28;
  import wasi:nn/errors@0.2.0-rc-2024-10-28;
}";

/// Why there is no such component to be had.
#[derive(Debug, thiserror::Error)]
#[error("the model cannot be taken out of its component: {0}")]
pub struct ServedError(String);

impl ServedError {
    fn of(error: impl std::fmt::Display) -> ServedError {
        ServedError(format!("{error:#}"))
    }
}

impl From<wasmparser::BinaryReaderError> for ServedError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        ServedError::of(error)
    }
}

impl From<InspectError> for ServedError {
    fn from(error: InspectError) -> Self {
        ServedError::of(error)
    }
}

/// Makes a component that exports the model, and imports what that computes with, of one that `samara compile` wrote. Its code
/// and its memory are the same, and so are the sections that Samara reads. Another component is given back as it is: one that has
/// no manifest or exports no model, or is not made of one core module that has a memory.
///
/// Of the code of functions nothing is checked, as whoever compiles it does that.
pub fn served(component: &[u8]) -> Result<Cow<'_, [u8]>, ServedError> {
    let left = Ok(Cow::Borrowed(component));
    let Some(sections) = sections(component)? else { return left };
    let Some(module) = core_module(component, MODEL_EXPORT)? else { return left };
    let (resolve, world) = world().map_err(ServedError::of)?;
    let provided = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect();
    // What is checked and encoded is small: that copies a module several times.
    let outline = outline(module)?;
    Validator::new().validate_all(&with_module(component, module, &outline)?)?;
    let (Some(mut outline), Some(module)) = (cut(&outline, &provided)?, cut(module, &provided)?) else { return left };
    embed_component_metadata(&mut outline, &resolve, world, StringEncoding::UTF8).map_err(ServedError::of)?;
    let encoded = ComponentEncoder::default().module(&outline).and_then(|mut encoder| encoder.encode());
    let encoded = encoded.map_err(ServedError::of)?;
    let Some(outline) = core_module(&encoded, MODEL_EXPORT)? else { return left };
    let mut served = with_module(&encoded, outline, &module)?;
    for section in sections {
        served.push(section.id());
        section.encode(&mut served);
    }
    Ok(Cow::Owned(served))
}

/// The world, with what a model computes with; what a model does not import is left out of its component. The world is not taken
/// from the component: decoding that is not made for what anybody may have written.
fn world() -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    for (name, text) in WIT {
        resolve.push_str(name, text)?;
    }
    let package = resolve.push_str("served.wit", SERVED)?;
    let world = resolve.select_world(&[package], None)?;
    Ok((resolve, world))
}

/// The sections that Samara reads; none where there is no manifest, no model is exported, more than one core module has a
/// memory, or one is deeper inside.
fn sections(component: &[u8]) -> Result<Option<Vec<CustomSection<'_>>>, wasmparser::BinaryReaderError> {
    let mut sections = vec![];
    let (mut memories, mut depth, mut is_model) = (0, 0_u32, false);
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    is_model |= export?.name.name == MODEL_INTERFACE;
                }
            }
            Payload::ModuleSection { .. } if depth > 0 => return Ok(None),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::MemorySection(_) => memories += 1,
            Payload::CustomSection(section) if depth == 0 && section.name().starts_with("samara:") => {
                sections.push(CustomSection { name: section.name().into(), data: section.data().into() });
            }
            _ => {}
        }
    }
    let has_manifest = sections.iter().any(|section| section.name == MANIFEST_SECTION);
    Ok((memories == 1 && is_model && has_manifest).then_some(sections))
}

/// A core module with the same imports, functions and exports, of which none does anything.
fn outline(module: &[u8]) -> Result<Vec<u8>, wasmparser::BinaryReaderError> {
    let mut outline = Module::new();
    let mut bodies = CodeSection::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::CodeSectionStart { .. }
            | Payload::DataSection(_)
            | Payload::DataCountSection { .. }
            | Payload::CustomSection(_) => {}
            // As many as there are, whatever the section says.
            Payload::CodeSectionEntry(_) => {
                bodies.function(&trap());
            }
            payload => {
                if let Some((id, contents)) = payload.as_section() {
                    outline.section(&RawSection { id, data: module.get(contents).unwrap_or_default() });
                }
            }
        }
    }
    // Behind it, a module has its data, which are left out, and what is of no account here.
    outline.section(&bodies);
    Ok(outline.finish())
}

/// A function that does nothing but trap.
fn trap() -> Function {
    let mut trap = Function::new([]);
    trap.instruction(&Instruction::Unreachable).instruction(&Instruction::End);
    trap
}

/// The component with another core module in the place of one, which is a part of it.
fn with_module(component: &[u8], place: &[u8], module: &[u8]) -> Result<Vec<u8>, wasmparser::BinaryReaderError> {
    let mut with = Component::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        if depth == 0
            && let Some((id, contents)) = payload.as_section()
        {
            let contents = component.get(contents).unwrap_or_default();
            let data = if std::ptr::eq(contents, place) { module } else { contents };
            with.section(&RawSection { id, data });
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(with.finish())
}

/// A core module without the imports that are not provided: who calls one of them traps. None where one of these comes before
/// one that is, as functions are numbered in that order, or where it is no function.
fn cut(module: &[u8], provided: &HashSet<String>) -> Result<Option<Vec<u8>>, wasmparser::BinaryReaderError> {
    let mut cut = Module::new();
    // The types of the functions that trap.
    let mut traps = vec![];
    let mut code = CodeSection::new();
    // Of the code, what is still to come.
    let mut bodies = None;
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                let mut imports = ImportSection::new();
                for import in section.into_imports() {
                    let import = import?;
                    match (provided.contains(import.module), import.ty) {
                        (true, TypeRef::Func(of)) if traps.is_empty() => {
                            imports.import(import.module, import.name, EntityType::Function(of));
                        }
                        (false, TypeRef::Func(of)) => traps.push(of),
                        _ => return Ok(None),
                    }
                }
                cut.section(&imports);
            }
            Payload::FunctionSection(section) => {
                let mut functions = FunctionSection::new();
                for &of in &traps {
                    functions.function(of);
                }
                for of in section {
                    functions.function(of?);
                }
                cut.section(&functions);
            }
            Payload::CodeSectionStart { count, .. } => {
                bodies = Some(count);
                for _ in &traps {
                    code.function(&trap());
                }
            }
            Payload::CodeSectionEntry(body) => {
                code.raw(body.as_bytes());
                bodies = bodies.map(|bodies| bodies.saturating_sub(1));
                if bodies == Some(0) {
                    cut.section(&code);
                }
            }
            payload => {
                if let Some((id, contents)) = payload.as_section() {
                    cut.section(&RawSection { id, data: module.get(contents).unwrap_or_default() });
                }
            }
        }
    }
    Ok((bodies == Some(0)).then(|| cut.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_from(text: &str) -> Option<Vec<(u8, Vec<u8>)>> {
        let module = wat::parse_str(text).expect("it is a module");
        let cut = cut(&module, &["wasi:nn/graph".to_owned()].into()).expect("it is a module");
        cut.map(|module| sections(&module))
    }

    #[test]
    fn what_is_not_provided_traps_and_all_calls_go_where_they_went() {
        let module = cut_from(
            r#"(module
            (type $gives (func (result i32))) (type $takes (func (param i32))) (type $none (func))
            (import "wasi:nn/graph" "gives" (func $first (type $gives)))
            (import "wasi:http/types" "takes" (func $second (type $takes)))
            (import "wasi:io/error" "none" (func $third (type $none)))
            (table 2 funcref) (memory 1) (elem (i32.const 0) $second $own)
            (func $own (export "own") (type $none) (call $second (call $first)) (call $third) (call $own))
            (data (i32.const 8) "text"))"#,
        );
        let expected = wat::parse_str(
            r#"(module
            (type $gives (func (result i32))) (type $takes (func (param i32))) (type $none (func))
            (import "wasi:nn/graph" "gives" (func $first (type $gives)))
            (table 2 funcref) (memory 1) (elem (i32.const 0) $second $own)
            (func $second (type $takes) unreachable)
            (func $third (type $none) unreachable)
            (func $own (export "own") (type $none) (call $second (call $first)) (call $third) (call $own))
            (data (i32.const 8) "text"))"#,
        );
        assert_eq!(module, Some(sections(&expected.expect("it is a module"))));
    }

    #[test]
    fn what_would_be_numbered_otherwise_is_left() {
        let of = |imports: &str| cut_from(&format!("(module {imports} (func (export \"own\")))"));
        let (kept, left) = (r#"(import "wasi:nn/graph" "a" (func))"#, r#"(import "wasi:io/error" "b" (func))"#);
        assert!(of(&format!("{kept} {left}")).is_some());
        assert_eq!(of(&format!("{left} {kept}")), None);
        assert_eq!(of(r#"(import "wasi:io/error" "b" (memory 1))"#), None);
        assert_eq!(cut_from(&format!("(module {left})")), None);
    }

    /// A module's sections, without the names.
    fn sections(module: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let payloads = Parser::new(0).parse_all(module).map(|payload| payload.expect("it is a module"));
        let sections = payloads.filter_map(|payload| payload.as_section());
        sections.filter(|(id, _)| *id != 0).map(|(id, range)| (id, module[range].to_vec())).collect()
    }
}
