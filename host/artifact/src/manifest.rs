//! What a component tells about the model that it carries.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use samara_protocol::{InputTensor, ModelMetadata, TensorSpec, element_count};
use serde::{Deserialize, Serialize};
use wasm_encoder::{CustomSection, Encode, Section};
use wasmparser::{Parser, Payload};

use crate::Tune;

/// Name of the custom section, at the top level of a component, that holds the manifest in JSON.
pub const MANIFEST_SECTION: &str = "samara:manifest";

/// The layout of the manifest that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// What a component tells about the model that it carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout of this record.
    pub format: u32,
    /// The model's name, under which it is served.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// What wrote the component, such as `samara 0.1.0`.
    pub generator: String,
    /// The vector instructions that the component needs.
    pub simd: Simd,
    /// What its kernels were chosen for, where it has any.
    #[serde(default, deserialize_with = "Tune::deserialize_known", skip_serializing_if = "Option::is_none")]
    pub tune: Option<Tune>,
    /// The ONNX file that it was made from.
    pub source: Source,
    /// What an inference takes.
    pub inputs: Vec<TensorSpec>,
    /// What an inference gives.
    pub outputs: Vec<TensorSpec>,
    /// The shape of each input for which `cost` was counted and with which the first inference is run.
    pub sample: Vec<Vec<u64>>,
    /// How much an inference computes, for inputs of the shapes in `sample`, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What the classes are called, in their order, where the model is a classifier and the names were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The graph that the component asks its host for, where it carries none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nn: Option<NnGraph>,
}

/// A graph that the host runs: what a component asks `wasi:nn` for, and the file that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NnGraph {
    /// The name under which the component asks for it.
    pub graph: String,
    /// The ONNX file, beside the component when it was written: its name is `sha256` and the ending `.onnx`.
    pub file: String,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Where a model came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file's name, without its directory.
    pub file: String,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
}

/// How much a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Trained numbers.
    pub parameters: u64,
    /// Multiply-accumulate operations of one inference: those of convolutions and matrix products.
    pub multiply_accumulates: u64,
}

/// The vector instructions that a component needs of its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Simd {
    /// 128-bit vectors and the relaxed instructions: fused multiply-add above all.
    #[default]
    Relaxed,
    /// 128-bit vectors alone, for hosts without the relaxed instructions.
    Baseline,
}

/// Why there is no manifest to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The bytes are no WebAssembly component.
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// It is a component, but not one that `samara compile` made.
    #[error("the component has no section `{MANIFEST_SECTION}`: it was not made by `samara compile`")]
    Missing,
    /// The section does not hold what this version reads.
    #[error(
        "the component's section `{MANIFEST_SECTION}` cannot be read: {0}; compile the model again with this version"
    )]
    Unreadable(String),
}

// === impl Manifest ===

impl Manifest {
    /// The layout that [`Manifest::append_to`] writes.
    pub const FORMAT: u32 = FORMAT;

    /// The part of it that the inference protocol shows.
    pub fn metadata(&self) -> ModelMetadata {
        ModelMetadata {
            name: self.name.clone(),
            version: self.version.clone(),
            platform: samara_protocol::PLATFORM.to_owned(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
        }
    }

    /// Zeros, or empty strings, in the shapes of `sample`. None where it has not one for each input, or one that is larger than
    /// memory.
    pub fn sample_inputs(&self) -> Option<Vec<InputTensor<'static>>> {
        if self.sample.len() != self.inputs.len() {
            return None;
        }
        self.inputs.iter().zip(&self.sample).map(|(spec, shape)| zeros(spec, shape)).collect()
    }

    /// Appends this manifest to the bytes of a component.
    pub fn append_to(&self, component: &mut Vec<u8>) -> Result<(), ManifestError> {
        let json = serde_json::to_vec(self).map_err(|error| ManifestError::Unreadable(error.to_string()))?;
        let section = CustomSection { name: Cow::Borrowed(MANIFEST_SECTION), data: Cow::Owned(json) };
        component.push(section.id());
        section.encode(component);
        Ok(())
    }

    /// Reads the manifest of a component.
    pub fn read_from(component: &[u8]) -> Result<Manifest, ManifestError> {
        let not_a_component = |error: wasmparser::BinaryReaderError| ManifestError::NotAComponent(error.to_string());
        if Parser::is_core_wasm(component) {
            return Err(ManifestError::NotAComponent("it is a core module".to_owned()));
        }
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(not_a_component)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::CustomSection(section) if depth == 0 && section.name() == MANIFEST_SECTION => {
                    return Manifest::parse(section.data());
                }
                _ => {}
            }
        }
        Err(ManifestError::Missing)
    }

    fn parse(json: &[u8]) -> Result<Manifest, ManifestError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| ManifestError::Unreadable(error.to_string());
        let Versioned { format } = serde_json::from_slice(json).map_err(unreadable)?;
        if format != FORMAT {
            return Err(ManifestError::Unreadable(format!("it has format {format}, this version reads {FORMAT}")));
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(unreadable)?;
        match &manifest.nn {
            // It names a file to read: nowhere else than beside the component.
            Some(NnGraph { sha256, file, .. }) if !is_sha256(sha256) || *file != format!("{sha256}.onnx") => {
                Err(ManifestError::Unreadable(format!("{file:?} is no file that a graph is kept in")))
            }
            _ => Ok(manifest),
        }
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

// === impl Simd ===

impl fmt::Display for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Simd::Relaxed => "relaxed",
            Simd::Baseline => "baseline",
        })
    }
}

impl FromStr for Simd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "relaxed" => Ok(Simd::Relaxed),
            "baseline" => Ok(Simd::Baseline),
            _ => Err(format!("unknown vector instructions {text:?}: relaxed or baseline")),
        }
    }
}

fn zeros(spec: &TensorSpec, shape: &[u64]) -> Option<InputTensor<'static>> {
    let elements = usize::try_from(element_count(shape)?).ok()?;
    // An element of BYTES is its length before its bytes: an empty string is a length of zero.
    let bytes = elements.checked_mul(spec.datatype.size().unwrap_or(size_of::<u32>()))?;
    let mut data = Vec::new();
    data.try_reserve_exact(bytes).ok()?;
    data.resize(bytes, 0);
    Some(InputTensor {
        name: spec.name.clone().into(),
        datatype: spec.datatype,
        shape: shape.to_vec(),
        data: data.into(),
    })
}

#[cfg(test)]
mod tests {
    use samara_protocol::Datatype;

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            name: "m".into(),
            version: "1".into(),
            generator: "samara 0".into(),
            simd: Simd::Relaxed,
            tune: Some(Tune::Aarch64),
            source: Source { file: "m.onnx".into(), sha256: "00".into() },
            inputs: vec![TensorSpec { name: "x".into(), datatype: Datatype::Fp32, shape: vec![-1, 3] }],
            outputs: vec![],
            sample: vec![vec![1, 3]],
            cost: Some(Cost { parameters: 1, multiply_accumulates: 2 }),
            labels: Some(vec!["a".into()]),
            nn: None,
        }
    }

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_appended_is_read_back() {
        let mut component = EMPTY_COMPONENT.to_vec();
        manifest().append_to(&mut component).expect("append");
        assert_eq!(Manifest::read_from(&component).expect("read"), manifest());
    }

    #[test]
    fn the_graph_of_the_host_is_told_where_there_is_one() {
        let sha256 = "0f".repeat(32);
        let of = |file: String, sha256: &str| {
            let graph = NnGraph { graph: "m".into(), file, sha256: sha256.into(), bytes: 7 };
            Manifest { nn: Some(graph), cost: None, ..manifest() }
        };
        let read = |manifest: &Manifest| {
            let mut component = EMPTY_COMPONENT.to_vec();
            manifest.append_to(&mut component).expect("append");
            Manifest::read_from(&component)
        };
        let manifest = of(format!("{sha256}.onnx"), &sha256);
        assert_eq!(read(&manifest).expect("read"), manifest);
        for file in ["/dev/zero", "../m.onnx", "m.onnx", ""] {
            let error = read(&of(file.into(), &sha256)).expect_err(file);
            assert!(error.to_string().contains(file), "{error}");
        }
        assert!(read(&of("../x.onnx".into(), "../x")).is_err());
    }

    /// As versions wrote it that knew of no `nn`.
    #[test]
    fn an_earlier_manifest_is_read() {
        let json = r#"{"format":1,"name":"m","version":"1","generator":"samara 0","simd":"relaxed",
            "source":{"file":"m.onnx","sha256":"00"},"inputs":[{"name":"x","datatype":"FP32","shape":[-1,3]}],
            "outputs":[],"sample":[[1,3]],"cost":{"parameters":1,"multiply_accumulates":2},"labels":["a"]}"#;
        let manifest = Manifest { tune: None, ..manifest() };
        assert_eq!(Manifest::parse(json.as_bytes()).expect("read"), manifest);
        // And as later versions may write it.
        let later = json.replacen('{', r#"{"tune":"z80","#, 1);
        assert_eq!(Manifest::parse(later.as_bytes()).expect("read"), manifest);
        let mut written = EMPTY_COMPONENT.to_vec();
        manifest.append_to(&mut written).expect("append");
        assert!(!String::from_utf8_lossy(&written).contains(r#""nn""#), "a model of its own names no host's");
    }

    #[test]
    fn a_component_without_manifest_says_so() {
        assert!(matches!(Manifest::read_from(EMPTY_COMPONENT), Err(ManifestError::Missing)));
    }

    #[test]
    fn anything_else_is_no_component() {
        for bytes in [&b""[..], b"PK\x03\x04", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0\x00"] {
            assert!(matches!(Manifest::read_from(bytes), Err(ManifestError::NotAComponent(_))), "{bytes:?}");
        }
    }

    #[test]
    fn another_format_is_refused() {
        let mut component = EMPTY_COMPONENT.to_vec();
        Manifest { format: FORMAT + 1, ..manifest() }.append_to(&mut component).expect("append");
        let error = Manifest::read_from(&component).expect_err("a newer format");
        assert!(error.to_string().contains("it has format 2, this version reads 1"), "{error}");
    }

    #[test]
    fn a_sample_is_zeros_where_it_fits_the_inputs() {
        let mut manifest = manifest();
        let inputs = manifest.sample_inputs().unwrap();
        assert_eq!(inputs.len(), 1);
        assert_eq!((inputs[0].shape.as_slice(), inputs[0].data.as_ref()), (&[1, 3][..], &[0; 12][..]));
        for sample in [vec![], vec![vec![1, 3]; 2], vec![vec![u64::MAX, 2]], vec![vec![1 << 61]]] {
            manifest.sample = sample;
            assert_eq!(manifest.sample_inputs(), None, "{:?}", manifest.sample);
        }
    }
}
