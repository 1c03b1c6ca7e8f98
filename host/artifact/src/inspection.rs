//! What can be seen of a component without running it.

use serde::Serialize;
use wasmparser::{DataKind, Operator, Parser, Payload};

/// What can be seen of a component without running it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Inspection {
    /// Bytes of the file.
    pub bytes: u64,
    /// The interfaces that a host must provide, as `package:name/interface@version`.
    pub imports: Vec<String>,
    /// The interfaces that the component provides.
    pub exports: Vec<String>,
    /// What the bytes are spent on, largest first.
    pub parts: Vec<Part>,
    /// Functions in all core modules.
    pub functions: u64,
    /// The initial memory of the largest core module.
    pub memory: MemoryImage,
}

/// A kind of content, and how many bytes of the file it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is: `code`, `data`, `custom`, `types`, …
    pub name: &'static str,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What an instance's linear memory holds when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MemoryImage {
    /// Bytes of linear memory that an instance starts with.
    pub memory_bytes: u64,
    /// Bytes from the first initialised byte to the last.
    pub image_bytes: u64,
    /// Bytes that the component initialises; the rest of the image is zero.
    pub initialised_bytes: u64,
}

/// Why a component cannot be inspected.
#[derive(Debug, thiserror::Error)]
#[error("not a WebAssembly component: {0}")]
pub struct InspectError(String);

// === impl MemoryImage ===

impl MemoryImage {
    /// Wasmtime maps an image copy-on-write whatever its density up to this size, unless a host raises
    /// `memory_guaranteed_dense_image_size`.
    const DENSE_BY_DEFAULT: u64 = 16 << 20;

    /// The initialised share of the image, from 0 to 1.
    pub fn density(&self) -> f64 {
        if self.image_bytes == 0 { 1.0 } else { self.initialised_bytes as f64 / self.image_bytes as f64 }
    }

    /// Whether Wasmtime maps the image copy-on-write in its default configuration.
    pub fn is_copy_on_write_by_default(&self) -> bool {
        self.image_bytes <= Self::DENSE_BY_DEFAULT || self.initialised_bytes >= self.image_bytes / 2
    }
}

// === impl Inspection ===

impl Inspection {
    /// Looks into the bytes of a component.
    pub fn of(component: &[u8]) -> Result<Inspection, InspectError> {
        if Parser::is_core_wasm(component) {
            return Err(InspectError("it is a core module".to_owned()));
        }
        let mut inspection = Inspection { bytes: component.len() as u64, ..Inspection::default() };
        let mut spent: Vec<Part> = Vec::new();
        let mut spend = |name: &'static str, bytes: usize| match spent.iter_mut().find(|part| part.name == name) {
            Some(part) => part.bytes += bytes as u64,
            None => spent.push(Part { name, bytes: bytes as u64 }),
        };
        let mut depth = 0_u32;
        let mut module = MemoryImage::default();
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match &payload {
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    module = MemoryImage::default();
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => {
                    depth = depth.saturating_sub(1);
                    if module.memory_bytes > inspection.memory.memory_bytes {
                        inspection.memory = module;
                    }
                }
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports.clone() {
                        inspection.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports.clone() {
                        inspection.exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories.clone() {
                        module.memory_bytes += memory?.initial << 16;
                    }
                }
                Payload::DataSection(segments) => {
                    spend("data", segments.range().len());
                    let (mut first, mut last) = (u64::MAX, 0);
                    for segment in segments.clone() {
                        let segment = segment?;
                        if let DataKind::Active { offset_expr, .. } = segment.kind
                            && let Operator::I32Const { value } = offset_expr.get_operators_reader().read()?
                        {
                            let (start, length) = (u64::from(value.cast_unsigned()), segment.data.len() as u64);
                            first = first.min(start);
                            last = last.max(start + length);
                            module.initialised_bytes += length;
                        }
                    }
                    module.image_bytes = last.saturating_sub(first);
                }
                Payload::CodeSectionStart { count, range, .. } => {
                    inspection.functions += u64::from(*count);
                    spend("code", range.len());
                }
                Payload::CustomSection(section) => spend("custom", section.range().len()),
                Payload::ElementSection(elements) => spend("tables", elements.range().len()),
                _ => {}
            }
        }
        let known: u64 = spent.iter().map(|part| part.bytes).sum();
        spent.push(Part { name: "types and linking", bytes: inspection.bytes.saturating_sub(known) });
        spent.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        inspection.parts = spent;
        Ok(inspection)
    }
}

/// The core module in a component that exports `name`, if there is one.
pub fn core_module<'a>(component: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, InspectError> {
    let mut module = None;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { unchecked_range, .. } => module = component.get(unchecked_range),
            Payload::ExportSection(exports) => {
                for export in exports {
                    if export?.name == name {
                        return Ok(module);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

// === impl InspectError ===

impl From<wasmparser::BinaryReaderError> for InspectError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        InspectError(error.to_string())
    }
}
