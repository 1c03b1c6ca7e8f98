//! Operators on bytes, as operators on floats between those that quantize.

use std::borrow::Cow;
use std::collections::HashSet;

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto, tensor_proto};

use crate::CompileError;

/// Whether an operator is one of those that are made others.
pub fn is_known(domain: &str, operator: &str) -> bool {
    match domain {
        "" | "ai.onnx" => {
            matches!(operator, "QLinearConv" | "QLinearMatMul" | "MatMulInteger" | "ConvInteger")
        }
        "com.microsoft" => matches!(
            operator,
            "QGemm"
                | "QLinearAdd"
                | "QLinearMul"
                | "QLinearSigmoid"
                | "QLinearLeakyRelu"
                | "QLinearConcat"
                | "QLinearGlobalAveragePool"
                | "QLinearAveragePool"
                | "QLinearSoftmax"
        ),
        _ => false,
    }
}

/// The model with none of these operators, but products in `i32` of which something else is made than floats.
pub fn dequantized(model: &ModelProto) -> Result<Cow<'_, ModelProto>, CompileError> {
    let nodes = model.graph.as_ref().map_or(&[][..], |graph| &graph.node);
    if !nodes.iter().any(|node| is_known(&node.domain, &node.op_type)) {
        return Ok(Cow::Borrowed(model));
    }
    let mut model = model.clone();
    if let Some(graph) = model.graph.take() {
        model.graph = Some(without_bytes(graph)?);
    }
    Ok(Cow::Owned(model))
}

fn without_bytes(mut graph: GraphProto) -> Result<GraphProto, CompileError> {
    let nodes = std::mem::take(&mut graph.node);
    let mut rewrite = Rewrite { made: Vec::with_capacity(nodes.len()), count: 0, graph: &graph, nodes: &nodes };
    let mut floats: HashSet<String> = HashSet::new();
    for node in &nodes {
        if node.op_type == "Cast" && node.input.first().is_some_and(|input| floats.contains(input)) {
            let mut node = node.clone();
            node.op_type = "Identity".to_owned();
            node.attribute.clear();
            rewrite.made.push(node);
            continue;
        }
        if !is_known(&node.domain, &node.op_type) {
            rewrite.made.push(node.clone());
            continue;
        }
        match node.op_type.as_str() {
            "MatMulInteger" | "ConvInteger" => {
                if rewrite.becomes_floats(node) {
                    floats.insert(node.output[0].clone());
                    rewrite.integer(node);
                } else {
                    rewrite.made.push(node.clone());
                }
            }
            _ => rewrite.linear(node)?,
        }
    }
    graph.node = rewrite.made;
    graph.initializer.push(number_one());
    Ok(graph)
}

/// The name of a scale of 1.
const ONE: &str = "samara.quantized.one";

fn number_one() -> TensorProto {
    TensorProto {
        name: ONE.to_owned(),
        data_type: tensor_proto::DataType::Float as i32,
        float_data: vec![1.0],
        ..TensorProto::default()
    }
}

struct Rewrite<'a> {
    graph: &'a GraphProto,
    nodes: &'a [NodeProto],
    made: Vec<NodeProto>,
    count: usize,
}

fn input(node: &NodeProto, index: usize) -> String {
    node.input.get(index).cloned().unwrap_or_default()
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn integer(node: &NodeProto, name: &str) -> i64 {
    attribute(node, name).map_or(0, |attribute| attribute.i)
}

fn axis(axis: i64) -> AttributeProto {
    AttributeProto {
        name: "axis".to_owned(),
        r#type: attribute_proto::AttributeType::Int as i32,
        i: axis,
        ..AttributeProto::default()
    }
}

impl Rewrite<'_> {
    fn node(&mut self, operator: &str, inputs: Vec<String>, attributes: Vec<AttributeProto>, of: &NodeProto) -> String {
        self.count += 1;
        let output = format!("samara.quantized.{}", self.count);
        // Constants become files that are named after nodes, and those that begin with a dot are hidden.
        let name = if of.name.is_empty() { "quantized" } else { &of.name };
        self.made.push(NodeProto {
            name: format!("{name}.{operator}.{}", self.count),
            op_type: operator.to_owned(),
            input: inputs,
            output: vec![output.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        output
    }

    /// What bytes stand for, whose scale and zero point are inputs of a node.
    fn floats(&mut self, node: &NodeProto, at: [usize; 3], along: i64) -> String {
        let inputs = at.map(|index| input(node, index)).to_vec();
        self.node("DequantizeLinear", inputs, vec![axis(along)], node)
    }

    /// The node's own operator, on floats.
    fn own(&mut self, node: &NodeProto, operator: &str, inputs: Vec<String>) -> String {
        let kept = |attribute: &&AttributeProto| !["channels_last", "opset"].contains(&attribute.name.as_str());
        let attributes = node.attribute.iter().filter(kept).cloned().collect();
        self.node(operator, inputs, attributes, node)
    }

    /// Makes the node's output of floats.
    fn finish(&mut self, node: &NodeProto, floats: String, scale: usize, zero_point: usize) {
        let inputs = vec![floats, input(node, scale), input(node, zero_point)];
        self.node("QuantizeLinear", inputs, vec![], node);
        self.rename(node);
    }

    /// Gives the last node the output's name.
    fn rename(&mut self, node: &NodeProto) {
        if let Some(last) = self.made.last_mut() {
            last.output = node.output[..1].to_vec();
        }
    }

    /// A bias: its scale is the product of two others, and its zero point is 0.
    fn bias(&mut self, node: &NodeProto, bias: usize, scales: [usize; 2]) -> Option<String> {
        let bias = input(node, bias);
        if bias.is_empty() {
            return None;
        }
        let scale = self.node("Mul", scales.map(|index| input(node, index)).to_vec(), vec![], node);
        let one = self.node("DequantizeLinear", vec![bias, scale], vec![axis(-1)], node);
        Some(one)
    }

    fn linear(&mut self, node: &NodeProto) -> Result<(), CompileError> {
        let unsupported = |what: &str| {
            Err(CompileError::InvalidGraph(format!("node {:?}: {} {what} is not supported", node.name, node.op_type)))
        };
        if integer(node, "channels_last") != 0 {
            return unsupported("with channels last");
        }
        match node.op_type.as_str() {
            "QLinearConv" => {
                let mut inputs = vec![self.floats(node, [0, 1, 2], 1), self.floats(node, [3, 4, 5], 0)];
                inputs.extend(self.bias(node, 8, [1, 4]));
                let floats = self.own(node, "Conv", inputs);
                self.finish(node, floats, 6, 7);
            }
            "QLinearMatMul" => {
                let inputs = vec![self.floats(node, [0, 1, 2], -2), self.floats(node, [3, 4, 5], -1)];
                let floats = self.own(node, "MatMul", inputs);
                self.finish(node, floats, 6, 7);
            }
            "QGemm" => {
                let columns = if integer(node, "transB") == 0 { 1 } else { 0 };
                let mut inputs = vec![self.floats(node, [0, 1, 2], 0), self.floats(node, [3, 4, 5], columns)];
                if attribute(node, "alpha").is_some_and(|alpha| alpha.f != 1.0) && !input(node, 6).is_empty() {
                    return unsupported("with a bias and an alpha other than 1");
                }
                inputs.extend(self.bias(node, 6, [1, 4]));
                let floats = self.own(node, "Gemm", inputs);
                if input(node, 7).is_empty() {
                    self.rename(node);
                } else {
                    self.finish(node, floats, 7, 8);
                }
            }
            "QLinearAdd" | "QLinearMul" => {
                let inputs = vec![self.floats(node, [0, 1, 2], 1), self.floats(node, [3, 4, 5], 1)];
                let floats = self.own(node, &node.op_type["QLinear".len()..], inputs);
                self.finish(node, floats, 6, 7);
            }
            "QLinearConcat" => {
                let parts = (2..node.input.len()).step_by(3);
                let inputs = parts.map(|first| self.floats(node, [first, first + 1, first + 2], 1)).collect();
                let floats = self.own(node, "Concat", inputs);
                self.finish(node, floats, 0, 1);
            }
            operator => {
                let inputs = vec![self.floats(node, [0, 1, 2], 1)];
                let floats = self.own(node, operator.trim_start_matches("QLinear"), inputs);
                self.finish(node, floats, 3, 4);
            }
        }
        Ok(())
    }

    /// Whether all that is made of a product in `i32` are floats, and its zero points are numbers that go for all, or for
    /// each column of the weights.
    fn becomes_floats(&self, node: &NodeProto) -> bool {
        let Some(output) = node.output.first() else { return false };
        let users: Vec<&NodeProto> = self.nodes.iter().filter(|user| user.input.contains(output)).collect();
        let float = i64::from(tensor_proto::DataType::Float as i32);
        let of_rows = input(node, 2);
        let one = of_rows.is_empty()
            || self
                .nodes
                .iter()
                .any(|maker| maker.op_type == "DynamicQuantizeLinear" && maker.output.contains(&of_rows))
            || self
                .graph
                .initializer
                .iter()
                .any(|known| known.name == of_rows && known.dims.iter().all(|size| *size == 1));
        one && !users.is_empty()
            && users.iter().all(|user| user.op_type == "Cast" && integer(user, "to") == float)
            && self.graph.output.iter().all(|made| made.name != *output)
    }

    /// A product in `i32`, in floats: exact all the same where the engine has an operator for it.
    fn integer(&mut self, node: &NodeProto) {
        let [left, right] = [0, 1].map(|side| {
            let inputs = vec![input(node, side), ONE.to_owned(), input(node, 2 + side)];
            let along = if node.op_type == "ConvInteger" { 0 } else { -1 };
            self.node("DequantizeLinear", inputs, vec![axis(along)], node)
        });
        let operator = node.op_type.trim_end_matches("Integer");
        self.own(node, operator, vec![left, right]);
        self.rename(node);
    }
}
