//! Small ONNX models, and the backends that there are to run them.

#![allow(dead_code, reason = "each test uses its own part")]

use std::path::{Path, PathBuf};

use prost::Message;
use samara_nn::{BackendKind, Graph, GraphSpec, LoadError, Options, Registry, Tensor, library};
use samara_protocol::Datatype;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto, type_proto,
};

pub use tract_onnx::pb::tensor_proto::DataType as Type;

/// A model in the making. A dimension of -1 is dynamic, and the same wherever it is.
#[derive(Default)]
pub struct Model(pub GraphProto);

impl Model {
    pub fn input(mut self, name: &str, element: Type, shape: &[i64]) -> Model {
        self.0.input.push(value(name, element, shape));
        self
    }

    pub fn output(mut self, name: &str, element: Type, shape: &[i64]) -> Model {
        self.0.output.push(value(name, element, shape));
        self
    }

    pub fn node(mut self, operator: &str, inputs: &[&str], output: &str) -> Model {
        self.0.node.push(NodeProto {
            name: format!("{operator}_{output}"),
            op_type: operator.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
        self
    }

    pub fn weights(mut self, tensor: TensorProto) -> Model {
        self.0.initializer.push(tensor);
        self
    }

    pub fn encode(mut self) -> Vec<u8> {
        self.0.name = "graph".to_owned();
        ModelProto {
            ir_version: 7,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 14 }],
            graph: Some(self.0),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }

    pub fn write(self, directory: &Path, file: &str) -> PathBuf {
        let path = directory.join(file);
        std::fs::write(&path, self.encode()).unwrap();
        path
    }
}

fn value(name: &str, element: Type, shape: &[i64]) -> ValueInfoProto {
    let size = |&size: &i64| if size < 0 { Size::DimParam("N".to_owned()) } else { Size::DimValue(size) };
    let dim = shape
        .iter()
        .map(|extent| tensor_shape_proto::Dimension { value: Some(size(extent)), ..Default::default() })
        .collect();
    let tensor = type_proto::Tensor { elem_type: element as i32, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// `y` is `x`, of any type.
pub fn same(element: Type, shape: &[i64]) -> Model {
    Model::default().input("x", element, shape).output("y", element, shape).node("Identity", &["x"], "y")
}

/// `y` is `a` − `b`, of any type.
pub fn difference(element: Type, shape: &[i64]) -> Model {
    Model::default().input("a", element, shape).input("b", element, shape).output("y", element, shape).node(
        "Sub",
        &["a", "b"],
        "y",
    )
}

pub fn tensor(datatype: Datatype, shape: &[u64], data: impl Into<Vec<u8>>) -> Tensor {
    Tensor { datatype, shape: shape.to_vec(), data: data.into().into() }
}

pub fn floats(shape: &[u64], elements: &[f32]) -> Tensor {
    tensor(Datatype::Fp32, shape, elements.iter().flat_map(|element| element.to_le_bytes()).collect::<Vec<u8>>())
}

pub fn named<const N: usize>(tensors: [(&str, Tensor); N]) -> Vec<(String, Tensor)> {
    tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}

/// ONNX Runtime's library, from wherever Samara would take it, or the development environment.
pub fn ort_dylib() -> Option<PathBuf> {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv");
    let found = library::onnxruntime().or_else(|| library::onnxruntime_in(&environment));
    if found.is_none() {
        let required = std::env::var_os("SAMARA_REQUIRE_ORT").is_some_and(|value| value == "1");
        assert!(!required, "SAMARA_REQUIRE_ORT=1, and there is no onnxruntime");
        println!("skipped: no onnxruntime");
    }
    found
}

/// The backends that there are on this machine.
pub fn backends() -> Vec<BackendKind> {
    let mut backends = vec![BackendKind::Tract];
    backends.extend(ort_dylib().map(|_| BackendKind::Onnxruntime));
    if cfg!(feature = "openvino") {
        match library::openvino() {
            Some(_) => backends.push(BackendKind::Openvino),
            None => {
                let required = std::env::var_os("SAMARA_REQUIRE_OPENVINO").is_some_and(|value| value == "1");
                assert!(!required, "SAMARA_REQUIRE_OPENVINO=1, and there is no openvino");
                println!("skipped: no openvino");
            }
        }
    }
    backends
}

pub fn options() -> Options {
    Options { ort_dylib: ort_dylib(), ..Options::default() }
}

/// Loads one graph, with two contexts.
pub fn load(backend: BackendKind, path: &Path) -> Result<std::sync::Arc<Graph>, LoadError> {
    let spec = GraphSpec { backend, contexts: Some(2), ..GraphSpec::new("g").with_path(path) };
    Ok(Registry::load([spec], &options())?.get("g").unwrap())
}
