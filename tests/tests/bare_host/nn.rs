//! What `samara compile --target nn` makes, on a host whose `wasi:nn` is not ours: it has a few graphs, known by name.

use std::path::PathBuf;

use samara_tests::http::{Client, Request};
use samara_tests::models;
use samara_tests::onnx::{Graph, Size, Type, Unknown};
use samara_tests::tensor::{Tensor, infer_path, json_request, outputs};
use serde_json::json;
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Result, Store};

use self::exported::Served;
use self::exported::exports::samara::inference::model as typed;
use self::imported::wasi::nn::errors::{self, ErrorCode};
use self::imported::wasi::nn::tensor::{self, TensorType};
use self::imported::wasi::nn::{graph, inference};
use crate::host::{BareHost, State};

mod imported {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "samara:inference/computes",
        imports: { default: trappable },
        with: {
            "wasi:nn/tensor.tensor": super::HostTensor,
            "wasi:nn/graph.graph": super::Name,
            "wasi:nn/inference.graph-execution-context": super::Name,
            "wasi:nn/errors.error": super::Failure,
        },
    });
}

mod exported {
    wasmtime::component::bindgen!({ path: "../wit", world: "samara:inference/served" });
}

/// A tensor in the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTensor {
    dimensions: Vec<u32>,
    ty: TensorType,
    data: Vec<u8>,
}

/// A graph, and an inference of it.
pub struct Name(String);

/// An error of the host.
pub struct Failure(ErrorCode, &'static str);

/// A `wasi:nn` with these graphs, all of which take `x` and give `y`:
///
/// - `echo` gives what it takes, and something else too
/// - `halves` gives it as another type, `shortens` without its last byte, `forgets` not at all
/// - `refuses` takes nothing to be valid, `breaks` fails, `mute` fails without a word
#[derive(Default)]
pub struct Nn {
    table: ResourceTable,
    /// What came into inferences.
    taken: Vec<(String, HostTensor)>,
}

/// Gives a linker the imports.
pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, nn: fn(&mut T) -> &mut Nn) {
    imported::Computes::add_to_linker::<T, HasSelf<Nn>>(linker, nn).unwrap();
}

impl tensor::Host for Nn {}

impl tensor::HostTensor for Nn {
    fn new(&mut self, dimensions: Vec<u32>, ty: TensorType, data: Vec<u8>) -> Result<Resource<HostTensor>> {
        Ok(self.table.push(HostTensor { dimensions, ty, data })?)
    }

    fn dimensions(&mut self, tensor: Resource<HostTensor>) -> Result<Vec<u32>> {
        Ok(self.table.get(&tensor)?.dimensions.clone())
    }

    fn ty(&mut self, tensor: Resource<HostTensor>) -> Result<TensorType> {
        Ok(self.table.get(&tensor)?.ty)
    }

    fn data(&mut self, tensor: Resource<HostTensor>) -> Result<Vec<u8>> {
        Ok(self.table.get(&tensor)?.data.clone())
    }

    fn drop(&mut self, tensor: Resource<HostTensor>) -> Result<()> {
        self.table.delete(tensor)?;
        Ok(())
    }
}

impl errors::Host for Nn {}

impl errors::HostError for Nn {
    fn code(&mut self, error: Resource<Failure>) -> Result<ErrorCode> {
        Ok(self.table.get(&error)?.0)
    }

    fn data(&mut self, error: Resource<Failure>) -> Result<String> {
        Ok(self.table.get(&error)?.1.to_owned())
    }

    fn drop(&mut self, error: Resource<Failure>) -> Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}

impl graph::Host for Nn {
    fn load(
        &mut self,
        _: Vec<Vec<u8>>,
        _: graph::GraphEncoding,
        _: graph::ExecutionTarget,
    ) -> Result<std::result::Result<Resource<Name>, Resource<Failure>>> {
        Ok(Err(self.table.push(Failure(ErrorCode::UnsupportedOperation, "graphs are known by name"))?))
    }

    fn load_by_name(&mut self, name: String) -> Result<std::result::Result<Resource<Name>, Resource<Failure>>> {
        let known = ["echo", "halves", "shortens", "forgets", "refuses", "breaks", "mute"].contains(&&*name);
        Ok(if known {
            Ok(self.table.push(Name(name))?)
        } else {
            Err(self.table.push(Failure(ErrorCode::NotFound, "no graph of this name; there is echo"))?)
        })
    }
}

impl graph::HostGraph for Nn {
    fn init_execution_context(
        &mut self,
        graph: Resource<Name>,
    ) -> Result<std::result::Result<Resource<Name>, Resource<Failure>>> {
        let name = self.table.get(&graph)?.0.clone();
        Ok(Ok(self.table.push(Name(name))?))
    }

    fn drop(&mut self, graph: Resource<Name>) -> Result<()> {
        self.table.delete(graph)?;
        Ok(())
    }
}

impl inference::Host for Nn {}

type Named = (String, Resource<HostTensor>);

impl inference::HostGraphExecutionContext for Nn {
    fn compute(
        &mut self,
        context: Resource<Name>,
        inputs: Vec<Named>,
    ) -> Result<std::result::Result<Vec<Named>, Resource<Failure>>> {
        let graph = self.table.get(&context)?.0.clone();
        for (name, tensor) in inputs {
            let tensor = self.table.delete(tensor)?;
            self.taken.push((name, tensor));
        }
        let mut result = self.taken.last().unwrap().1.clone();
        let failure = match graph.as_str() {
            "refuses" => Some(Failure(ErrorCode::InvalidArgument, "x is not to my taste")),
            "breaks" => Some(Failure(ErrorCode::RuntimeError, "out of device memory")),
            "mute" => Some(Failure(ErrorCode::Timeout, "")),
            _ => None,
        };
        if let Some(failure) = failure {
            return Ok(Err(self.table.push(failure)?));
        }
        match graph.as_str() {
            "halves" => result.ty = TensorType::Bf16,
            "shortens" => drop(result.data.pop()),
            _ => {}
        }
        let other = HostTensor { dimensions: vec![1], ty: TensorType::U8, data: vec![7] };
        let mut outputs = vec![("other".to_owned(), self.table.push(other)?)];
        if graph != "forgets" {
            outputs.push(("y".to_owned(), self.table.push(result)?));
        }
        Ok(Ok(outputs))
    }

    fn drop(&mut self, context: Resource<Name>) -> Result<()> {
        self.table.delete(context)?;
        Ok(())
    }
}

/// A model of that name that its host runs, which takes `x` and gives `y` of this type.
fn model(name: &str, element: Type) -> PathBuf {
    let shape = &[Unknown, Size(2)];
    let graph = Graph::new().input("x", element, shape).output("y", element, shape);
    models::compiled_graph(name, &graph.node("Identity", &["x"], &["y"]), &["--target", "nn"])
}

/// What an inference comes to.
type Outcome = std::result::Result<Vec<typed::Tensor>, typed::Error>;

/// Calls the typed export, and gives what the host was given and what came back.
fn infer(component: &PathBuf, inputs: &[typed::Tensor], outputs: &[String]) -> (Vec<(String, HostTensor)>, Outcome) {
    let engine = Engine::default();
    let component = Component::from_file(&engine, component).unwrap();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi_http::p2::add_to_linker_sync(&mut linker).unwrap();
    add_to_linker(&mut linker, |state: &mut State| &mut state.nn);
    let mut store = Store::new(&engine, State::default());
    let instance = Served::instantiate(&mut store, &component, &linker).unwrap();
    let results = instance.samara_inference_model().call_infer(&mut store, inputs, outputs).unwrap();
    let nn = store.into_data().nn;
    assert!(nn.table.is_empty(), "the guest keeps resources of the host's");
    (nn.taken, results)
}

fn x(datatype: typed::Datatype, data: &[u8]) -> typed::Tensor {
    typed::Tensor { name: "x".to_owned(), datatype, shape: vec![1, 2], data: data.to_vec() }
}

#[test]
fn every_datatype_crosses_to_the_host_and_back() {
    use typed::Datatype;

    let bytes = [&[3, 0, 0, 0][..], b"abc", &[0; 4]].concat();
    let numbers: Vec<u8> = (1..=16).collect();
    for (element, datatype, ty, data) in [
        (Type::Bool, Datatype::Bool, TensorType::U8, &[0, 1][..]),
        (Type::Uint8, Datatype::Uint8, TensorType::U8, &numbers[..2]),
        (Type::Int8, Datatype::Int8, TensorType::U8, &numbers[..2]),
        (Type::Uint16, Datatype::Uint16, TensorType::U8, &numbers[..4]),
        (Type::Int16, Datatype::Int16, TensorType::U8, &numbers[..4]),
        (Type::Uint32, Datatype::Uint32, TensorType::U8, &numbers[..8]),
        (Type::Uint64, Datatype::Uint64, TensorType::U8, &numbers[..16]),
        (Type::String, Datatype::Bytes, TensorType::U8, &bytes),
        (Type::Float16, Datatype::Fp16, TensorType::Fp16, &numbers[..4]),
        (Type::Float, Datatype::Fp32, TensorType::Fp32, &numbers[..8]),
        (Type::Double, Datatype::Fp64, TensorType::Fp64, &numbers[..16]),
        (Type::Int32, Datatype::Int32, TensorType::I32, &numbers[..8]),
        (Type::Int64, Datatype::Int64, TensorType::I64, &numbers[..16]),
    ] {
        let (taken, results) = infer(&model("echo", element), &[x(datatype, data)], &[]);
        let crossed = HostTensor { dimensions: vec![1, 2], ty, data: data.to_vec() };
        assert_eq!(taken, [("x".to_owned(), crossed)]);
        let results = results.unwrap();
        let [result] = &results[..] else { panic!("{results:?}") };
        assert_eq!((&*result.name, &*result.shape, &*result.data), ("y", &[1, 2][..], data));
        assert_eq!(result.datatype, datatype);
    }
}

#[test]
fn outputs_are_given_as_often_as_they_are_named() {
    let name = |name: &str| name.to_owned();
    let inputs = [x(typed::Datatype::Fp32, &[0; 8])];
    let echo = model("echo", Type::Float);
    assert_eq!(infer(&echo, &inputs, &[name("y"), name("y")]).1.unwrap().len(), 2);
    // The graph has it, but the model does not say so.
    let (taken, refused) = infer(&echo, &inputs, &[name("other")]);
    assert!(matches!(&refused, Err(typed::Error::InvalidArgument(text)) if text.contains("\"other\"")), "{refused:?}");
    assert_eq!(taken, []);
}

/// What the host would have to find out is told before it is asked.
#[test]
fn inputs_that_do_not_fit_never_reach_the_host() {
    let echo = model("echo", Type::Float);
    let fits = x(typed::Datatype::Fp32, &[0; 8]);
    let misfits = [
        vec![],
        vec![fits.clone(), fits.clone()],
        vec![typed::Tensor { name: "z".to_owned(), ..fits.clone() }],
        vec![x(typed::Datatype::Int32, &[0; 8])],
        vec![x(typed::Datatype::Fp32, &[0; 7])],
        vec![typed::Tensor { shape: vec![2, 1], ..fits.clone() }],
        vec![typed::Tensor { shape: vec![1 << 40, 2], ..fits }],
    ];
    for inputs in misfits {
        let (taken, refused) = infer(&echo, &inputs, &[]);
        assert!(matches!(refused, Err(typed::Error::InvalidArgument(_))), "{inputs:?}: {refused:?}");
        assert_eq!(taken, []);
    }
}

#[test]
fn errors_of_the_host_have_their_kind_and_their_text() {
    let inputs = [x(typed::Datatype::Fp32, &[0; 8])];
    let refused = |name: &str| infer(&model(name, Type::Float), &inputs, &[]).1.unwrap_err();
    for (graph, invalid, text) in [
        ("refuses", true, "x is not to my taste"),
        ("breaks", false, "out of device memory"),
        ("mute", false, "ran out of time"),
        ("absent", false, "no graph of this name; there is echo"),
        ("forgets", false, "gave no output \"y\""),
        ("halves", false, "FP32 crosses as FP32"),
        ("shortens", false, "expected 8 bytes"),
    ] {
        let (is_invalid, message) = match refused(graph) {
            typed::Error::InvalidArgument(message) => (true, message),
            typed::Error::Failed(message) => (false, message),
        };
        assert_eq!(is_invalid, invalid, "{graph}: {message}");
        assert!(message.contains(text), "{graph}: {message}");
    }
}

/// The same over HTTP, as any host that has both serves it.
#[test]
fn a_model_that_the_host_runs_answers_http() {
    let input = [Tensor::fp32("x", &[1, 2], &[0.5, -3.0])];
    let ask = |name: &str| {
        let host = BareHost::start(&model(name, Type::Float));
        Client::http1(host.address()).send(&json_request(name, &input))
    };
    assert_eq!(outputs(&ask("echo").expect(200)), [Tensor::fp32("y", &[1, 2], &[0.5, -3.0])]);
    let refused = ask("refuses").expect(400).json();
    assert_eq!(refused, json!({"error": "x is not to my taste"}));
    let broken = ask("breaks").expect(400).json();
    assert_eq!(broken, json!({"error": "the model failed: out of device memory"}));
    assert_eq!(ask("forgets").status, 500);

    let host = BareHost::start(&model("echo", Type::Float));
    let mut client = Client::http1(host.address());
    let metadata = client.send(&Request::get("/v2/models/echo")).expect(200).json();
    assert_eq!(metadata["inputs"], json!([{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]));
    let misfit = client.send(&Request::post_json(&infer_path("echo"), &json!({"inputs": []})));
    assert_eq!(misfit.status, 400);
}
