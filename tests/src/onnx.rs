//! Small ONNX models, written by hand.

use std::path::{Path, PathBuf};

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, tensor_proto, tensor_shape_proto, type_proto,
};

pub use tract_onnx::pb::tensor_proto::DataType as Type;

/// The operators' version: ONNX 1.8's, which everything knows.
const OPSET: i64 = 13;

/// A dimension of an input or output.
#[derive(Clone, Copy, Debug)]
pub enum Dimension {
    /// This size.
    Size(i64),
    /// Any size, the same wherever the name is.
    Named(&'static str),
    /// Any size, without a name.
    Unknown,
}

pub use Dimension::{Named, Size, Unknown};

/// A model in the making.
#[derive(Clone, Debug, Default)]
pub struct Graph(GraphProto);

impl Graph {
    /// A model without anything in it.
    #[must_use]
    pub fn new() -> Graph {
        Graph(GraphProto { name: "graph".to_owned(), ..GraphProto::default() })
    }

    /// With one more input.
    #[must_use]
    pub fn input(mut self, name: &str, element: Type, shape: &[Dimension]) -> Graph {
        self.0.input.push(value(name, element, shape));
        self
    }

    /// Tells the type and the shape of what a node makes.
    #[must_use]
    pub fn declared(mut self, name: &str, element: Type, shape: &[Dimension]) -> Graph {
        self.0.value_info.push(value(name, element, shape));
        self
    }

    /// With one more output.
    #[must_use]
    pub fn output(mut self, name: &str, element: Type, shape: &[Dimension]) -> Graph {
        self.0.output.push(value(name, element, shape));
        self
    }

    /// With one more output, of which nothing but the name is declared.
    #[must_use]
    pub fn undeclared_output(mut self, name: &str) -> Graph {
        self.0.output.push(ValueInfoProto { name: name.to_owned(), ..ValueInfoProto::default() });
        self
    }

    /// With one more node, named after its operator and its first output.
    #[must_use]
    pub fn node(self, operator: &str, inputs: &[&str], outputs: &[&str]) -> Graph {
        self.node_of("", operator, inputs, outputs)
    }

    /// With one more node, whose operator is not ONNX's own but of that domain.
    #[must_use]
    pub fn node_of(mut self, domain: &str, operator: &str, inputs: &[&str], outputs: &[&str]) -> Graph {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.0.node.push(NodeProto {
            name: format!("{operator}_{}", outputs[0]),
            op_type: operator.to_owned(),
            domain: domain.to_owned(),
            input: owned(inputs),
            output: owned(outputs),
            ..NodeProto::default()
        });
        self
    }

    /// With weights, which may be fewer than `shape` says.
    #[must_use]
    pub fn weights(mut self, name: &str, shape: &[i64], elements: &[f32]) -> Graph {
        let raw_data = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        self.0.initializer.push(TensorProto { raw_data, ..weights(name, shape) });
        self
    }

    /// With constants of a type that takes one byte: `i8` as their bits.
    #[must_use]
    pub fn bytes(mut self, name: &str, element: Type, shape: &[i64], elements: &[u8]) -> Graph {
        let raw_data = elements.to_vec();
        self.0.initializer.push(TensorProto { raw_data, data_type: element as i32, ..weights(name, shape) });
        self
    }

    /// With constants of `i32`.
    #[must_use]
    pub fn integers(mut self, name: &str, shape: &[i64], elements: &[i32]) -> Graph {
        let raw_data = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        self.0.initializer.push(TensorProto { raw_data, data_type: Type::Int32 as i32, ..weights(name, shape) });
        self
    }

    /// With an attribute of the last node: whole numbers.
    ///
    /// # Panics
    ///
    /// Panics where there is no node.
    #[must_use]
    pub fn attribute(mut self, name: &str, values: &[i64]) -> Graph {
        let r#type = attribute_proto::AttributeType::Ints as i32;
        self.0.node.last_mut().unwrap().attribute.push(AttributeProto {
            name: name.to_owned(),
            r#type,
            ints: values.to_vec(),
            ..AttributeProto::default()
        });
        self
    }

    /// The same of one whole number.
    ///
    /// # Panics
    ///
    /// Panics where there is no node.
    #[must_use]
    pub fn attribute_of_one(mut self, name: &str, value: i64) -> Graph {
        let r#type = attribute_proto::AttributeType::Int as i32;
        self.0.node.last_mut().unwrap().attribute.push(AttributeProto {
            name: name.to_owned(),
            r#type,
            i: value,
            ..AttributeProto::default()
        });
        self
    }

    /// With weights that are in another file, as `entries` (`location`, `offset`, `length`) say.
    #[must_use]
    pub fn external_weights(mut self, name: &str, shape: &[i64], entries: &[(&str, &str)]) -> Graph {
        let external_data = entries
            .iter()
            .map(|(key, value)| StringStringEntryProto { key: (*key).to_owned(), value: (*value).to_owned() })
            .collect();
        self.0.initializer.push(TensorProto {
            data_location: Some(tensor_proto::DataLocation::External as i32),
            external_data,
            ..weights(name, shape)
        });
        self
    }

    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
        ModelProto {
            ir_version: 7,
            producer_name: "samara-tests".to_owned(),
            opset_import: vec![
                opset("", OPSET),
                opset("ai.onnx.ml", 2),
                opset("com.microsoft", 1),
                opset("com.example", 1),
            ],
            graph: Some(self.0.clone()),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }

    /// Writes the file into a directory.
    pub fn write(&self, directory: &Path, file: &str) -> PathBuf {
        let path = directory.join(file);
        std::fs::write(&path, self.encode()).unwrap();
        path
    }
}

fn weights(name: &str, shape: &[i64]) -> TensorProto {
    TensorProto { name: name.to_owned(), dims: shape.to_vec(), data_type: Type::Float as i32, ..TensorProto::default() }
}

fn value(name: &str, element: Type, shape: &[Dimension]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|dimension| tensor_shape_proto::Dimension {
            value: match dimension {
                Size(size) => Some(tensor_shape_proto::dimension::Value::DimValue(*size)),
                Named(name) => Some(tensor_shape_proto::dimension::Value::DimParam((*name).to_owned())),
                Unknown => None,
            },
            ..tensor_shape_proto::Dimension::default()
        })
        .collect();
    let tensor = type_proto::Tensor { elem_type: element as i32, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// Two inputs, four outputs, and a batch of any size: what most tests of the protocol need.
///
/// `a` and `b` are `FP32 [N,2]`; `sum`, `product`, `quotient` are what their names say, and `larger` is BOOL: whether `a`
/// is the larger. A quotient by zero is what JSON has no number for.
#[must_use]
pub fn duo() -> Graph {
    let shape = &[Named("N"), Size(2)];
    Graph::new()
        .input("a", Type::Float, shape)
        .input("b", Type::Float, shape)
        .output("sum", Type::Float, shape)
        .output("product", Type::Float, shape)
        .output("quotient", Type::Float, shape)
        .output("larger", Type::Bool, shape)
        .node("Add", &["a", "b"], &["sum"])
        .node("Mul", &["a", "b"], &["product"])
        .node("Div", &["a", "b"], &["quotient"])
        .node("Greater", &["a", "b"], &["larger"])
}

/// The smallest model: `y` is `x` · 2, `FP32 [N]`.
#[must_use]
pub fn twice() -> Graph {
    let shape = &[Named("N")];
    Graph::new().input("x", Type::Float, shape).output("y", Type::Float, shape).node("Add", &["x", "x"], &["y"])
}
