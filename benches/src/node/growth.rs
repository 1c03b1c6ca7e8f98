//! How the time of a request grows with its payload and with its batch.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use prost::Message;
use samara_protocol::Datatype;
use serde_json::json;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use crate::http::Connection;
use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::{median, show};
use crate::tensor::{Form, Tensor, infer_request, largest_error, outputs_of};
use crate::zoo::{Build, Card};

/// Bytes of a request's tensor, from where what a request costs by itself is small beside it, and before.
const SMALL_PAYLOADS: [usize; 3] = [1 << 10, 16 << 10, 128 << 10];
const PAYLOADS: [usize; 4] = [1 << 20, 2 << 20, 4 << 20, 8 << 20];
/// Items of a batch, likewise.
const SMALL_BATCHES: [usize; 1] = [1];
const BATCHES: [usize; 6] = [2, 4, 8, 16, 32, 64];
const BATCHED: &str = "efficientnet-lite0";
/// Rounds in turns over all sizes, of which the median counts.
const ROUNDS: usize = 61;
/// The same for batches, which take seconds.
const BATCH_ROUNDS: usize = 9;
const FLAT: f64 = 0.15;

/// A size, and a request of it.
struct Point {
    size: usize,
    past_the_small_end: bool,
    request: crate::http::Request,
    times: Vec<Duration>,
}

/// A model that does next to nothing, with more and more data; a model that computes, with more and more pictures.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let build = Build { name: "relu".to_owned(), onnx: relu(samara)?, inputs: Vec::new() };
    let component = samara.component(&build)?;
    let payload = |bytes: usize| {
        let values = (0..bytes / 4).flat_map(|index| (index as f32).to_le_bytes()).collect();
        let tensor = Tensor { shape: vec![(bytes / 4) as u64], data: values, ..Tensor::empty("x", Datatype::Fp32) };
        let expected = Tensor { name: "y".to_owned(), ..tensor.clone() };
        (vec![tensor], vec![expected])
    };
    let payloads =
        measure(samara, &component, &build.name, &SMALL_PAYLOADS, &PAYLOADS, ROUNDS, &payload).context("payloads")?;

    let card = Card::read(BATCHED)?;
    let vector = card.first()?;
    let any = Build { name: format!("{BATCHED}-any-batch"), inputs: Vec::new(), ..card.build.clone() };
    let batch = |items: usize| {
        let repeat = |tensors: &[Tensor]| tensors.iter().map(|tensor| tensor.repeated(items as u64)).collect();
        (repeat(&vector.inputs), repeat(&vector.expected))
    };
    let component = samara.component(&any)?;
    let batches =
        measure(samara, &component, &any.name, &SMALL_BATCHES, &BATCHES, BATCH_ROUNDS, &batch).context("batches")?;
    Ok(vec![
        row("time by the KiB of a payload, of a model that does next to nothing", &payloads, 1024.0, "KiB"),
        row(&format!("time by the item of a batch, {BATCHED}"), &batches, 1.0, "items"),
    ])
}

/// All sizes in turns, on one connection.
fn measure(
    samara: &Samara,
    component: &std::path::Path,
    model: &str,
    small: &[usize],
    sizes: &[usize],
    rounds: usize,
    tensors: &dyn Fn(usize) -> (Vec<Tensor>, Vec<Tensor>),
) -> Result<Vec<Point>> {
    let server = samara.serve_with(&[component.to_owned()], &["--deadline-ms=60000".to_owned()])?;
    let mut connection = Connection::open(server.address())?;
    let mut points = Vec::new();
    for (&size, past_the_small_end) in
        small.iter().map(|size| (size, false)).chain(sizes.iter().map(|size| (size, true)))
    {
        let (inputs, expected) = tensors(size);
        let request = infer_request(model, &inputs, Form::Binary)?;
        let error = largest_error(&expected, &outputs_of(&connection.send(&request)?)?)?;
        ensure!(error <= 1e-4, "the answer for {size} is off by {error}");
        points.push(Point { size, past_the_small_end, request, times: Vec::new() });
    }
    for _ in 0..rounds {
        for point in &mut points {
            let (status, time) = connection.time_status(&point.request)?;
            ensure!(status == 200, "status {status}");
            point.times.push(time);
        }
    }
    Ok(points)
}

fn row(what: &str, points: &[Point], unit: f64, name: &str) -> Row {
    let each = |point: &Point| median(&point.times).as_secs_f64() / (point.size as f64 / unit);
    let past: Vec<f64> = points.iter().filter(|point| point.past_the_small_end).map(each).collect();
    let (least, most) =
        past.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), &time| (least.min(time), most.max(time)));
    let spread = most / least - 1.0;
    let show_point =
        |point: &Point| format!("{:.0}: {}", point.size as f64 / unit, show(Duration::from_secs_f64(each(point))));
    let all: Vec<String> = points.iter().map(show_point).collect();
    Row::new(format!("{what}; {name}: median"), all.join(", "))
        .compared_with(format!("most {:.0} % above least past the small end", spread * 100.0))
        .bar("within 15 %", spread <= FLAT)
        .details(json!(
            points.iter().map(|point| (point.size, median(&point.times).as_micros() as u64)).collect::<Vec<_>>()
        ))
}

/// A model whose output is its input where that is not negative, of any length.
fn relu(samara: &Samara) -> Result<PathBuf> {
    let value = |name: &str| {
        let length = Dimension { value: Some(dimension::Value::DimParam("n".to_owned())), ..Dimension::default() };
        let tensor = type_proto::Tensor {
            elem_type: DataType::Float as i32,
            shape: Some(TensorShapeProto { dim: vec![length] }),
        };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..ValueInfoProto::default() }
    };
    let node = NodeProto {
        input: vec!["x".to_owned()],
        output: vec!["y".to_owned()],
        op_type: "Relu".to_owned(),
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: "relu".to_owned(),
        node: vec![node],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    let folder = samara.target().join("bench").join("onnx");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("relu.onnx");
    let bytes = model.encode_to_vec();
    // The same file stays the same, so that it is compiled once.
    if std::fs::read(&path).is_ok_and(|found| found == bytes) {
        return Ok(path);
    }
    std::fs::write(&path, bytes)?;
    Ok(path)
}
