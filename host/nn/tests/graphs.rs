//! What graphs compute, on every backend that there is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::sync::Arc;

use samara_nn::{BackendKind, ComputeError, Device, GraphSpec, LoadError, Optimization, Options, Registry};
use samara_protocol::Datatype;
use support::{Model, Type, backends, difference, floats, load, named, options, ort_dylib, same, tensor};
use tract_onnx::pb::TensorProto;

/// Every datatype, ONNX's name for it, and two elements of it.
fn every_datatype() -> Vec<(Datatype, Type, Vec<u8>)> {
    let strings = b"\x03\0\0\0abc\x04\0\0\0\xc3\xa9\0z".to_vec();
    vec![
        (Datatype::Bool, Type::Bool, vec![1, 0]),
        (Datatype::Uint8, Type::Uint8, vec![255, 1]),
        (Datatype::Uint16, Type::Uint16, vec![255, 254, 1, 0]),
        (Datatype::Uint32, Type::Uint32, vec![255, 254, 253, 252, 1, 0, 0, 0]),
        (Datatype::Uint64, Type::Uint64, vec![255, 254, 253, 252, 251, 250, 249, 248, 1, 0, 0, 0, 0, 0, 0, 0]),
        (Datatype::Int8, Type::Int8, vec![255, 1]),
        (Datatype::Int16, Type::Int16, vec![255, 254, 1, 0]),
        (Datatype::Int32, Type::Int32, vec![255, 254, 253, 252, 1, 0, 0, 0]),
        (Datatype::Int64, Type::Int64, vec![255, 254, 253, 252, 251, 250, 249, 248, 1, 0, 0, 0, 0, 0, 0, 0]),
        (Datatype::Fp16, Type::Float16, vec![0x00, 0x3c, 0x00, 0xc0]),
        (Datatype::Fp32, Type::Float, [1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect()),
        (Datatype::Fp64, Type::Double, [1.5_f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect()),
        (Datatype::Bytes, Type::String, strings),
    ]
}

#[test]
fn every_datatype_comes_back_as_it_went_in() {
    let directory = tempfile::tempdir().unwrap();
    for (datatype, element, data) in every_datatype() {
        let path = same(element, &[-1, 2]).write(directory.path(), &format!("{datatype}.onnx"));
        for backend in backends() {
            if (backend, datatype) == (BackendKind::Openvino, Datatype::Bytes) {
                let error = load(backend, &path).unwrap_err().to_string();
                assert!(error.contains("strings"), "{error}");
                continue;
            }
            let graph = load(backend, &path).unwrap_or_else(|error| panic!("{backend}, {datatype}: {error}"));
            let x = tensor(datatype, &[1, 2], data.clone());
            let outputs = graph.compute(named([("x", x.clone())]), None);
            if backend == BackendKind::Openvino
                && matches!(datatype, Datatype::Uint32 | Datatype::Uint64 | Datatype::Int64)
            {
                // It would cut them off without a word.
                assert!(matches!(outputs, Err(ComputeError::InvalidArgument(_))), "{datatype}: {outputs:?}");
                continue;
            }
            assert_eq!(outputs, Ok(named([("y", x)])), "{backend}, {datatype}");
        }
    }
}

/// `x` as it came in, a constant, and `x` − `b`; all of `count` elements.
fn passed_on(count: i64) -> Model {
    let shape = [count];
    let constant = TensorProto {
        name: "c".to_owned(),
        dims: vec![count],
        data_type: Type::Float as i32,
        float_data: (0..count).map(|_| 3.0).collect(),
        ..TensorProto::default()
    };
    difference(Type::Float, &shape).weights(constant).output("a", Type::Float, &shape).output("c", Type::Float, &shape)
}

#[test]
fn outputs_outlive_the_inputs_and_the_graph_even_where_they_are_an_input_or_a_constant() {
    const COUNT: usize = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let path = passed_on(COUNT as i64).write(directory.path(), "passed-on.onnx");
    for backend in [BackendKind::Tract].into_iter().chain(ort_dylib().map(|_| BackendKind::Onnxruntime)) {
        let graph = load(backend, &path).unwrap();
        let [a, b] = [vec![2.0; COUNT], vec![0.5; COUNT]].map(|elements| floats(&[COUNT as u64], &elements));
        let kept = a.data.clone();
        let outputs = graph.compute(named([("a", a), ("b", b)]), None).unwrap();
        for (name, output) in &outputs {
            assert!(!kept.as_ptr_range().contains(&output.data.as_ptr()), "{backend}, {name} is in the input's memory");
        }
        drop((graph, kept));
        let expected = [("y", 1.5), ("a", 2.0), ("c", 3.0)];
        assert_eq!(outputs.len(), expected.len());
        for ((name, output), (expected_name, element)) in outputs.into_iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert_eq!(output, floats(&[COUNT as u64], &vec![element; COUNT]), "{backend}, {name}");
        }
    }
}

#[test]
fn arithmetic_is_done_in_the_graphs_datatype() {
    let directory = tempfile::tempdir().unwrap();
    let integers = difference(Type::Int64, &[2]).write(directory.path(), "int64.onnx");
    let halves = difference(Type::Float16, &[2]).write(directory.path(), "fp16.onnx");
    let not = Model::default().input("x", Type::Bool, &[2]).output("y", Type::Bool, &[2]).node("Not", &["x"], "y");
    let not = not.write(directory.path(), "bool.onnx");
    for backend in backends() {
        let long = |a: i64, b: i64| tensor(Datatype::Int64, &[2], [a.to_le_bytes(), b.to_le_bytes()].concat());
        // More than a float can hold, and for all but OpenVINO more than 32 bits can.
        let large = if backend == BackendKind::Openvino { (1 << 30) + 1 } else { (1 << 53) + 1 };
        let inputs = named([("b", long(1, -1)), ("a", long(large + 1, 5))]);
        let graph = load(backend, &integers).unwrap();
        assert_eq!(graph.compute(inputs, None), Ok(named([("y", long(large, 6))])), "{backend}");
        // 1 − 0.5 and 2 − 0.5.
        let half = |bits: [u8; 4]| tensor(Datatype::Fp16, &[2], bits);
        let inputs = named([("a", half([0x00, 0x3c, 0x00, 0x40])), ("b", half([0x00, 0x38, 0x00, 0x38]))]);
        let expected = named([("y", half([0x00, 0x38, 0x00, 0x3e]))]);
        assert_eq!(load(backend, &halves).unwrap().compute(inputs, None), Ok(expected), "{backend}");
        let bits = |bits: [u8; 2]| tensor(Datatype::Bool, &[2], bits);
        let outputs = load(backend, &not).unwrap().compute(named([("x", bits([1, 0]))]), None);
        assert_eq!(outputs, Ok(named([("y", bits([0, 1]))])), "{backend}");
    }
}

#[test]
fn a_dynamic_dimension_takes_any_size_and_a_scalar_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = difference(Type::Float, &[-1]).write(directory.path(), "dynamic.onnx");
    let scalar = difference(Type::Float, &[]).write(directory.path(), "scalar.onnx");
    for backend in backends() {
        let graph = load(backend, &path).unwrap();
        assert_eq!(graph.info().inputs[0].shape, [-1]);
        assert_eq!(graph.info().outputs[0].shape, [-1]);
        // More sizes than tract keeps plans, and back to the first.
        for size in (1..20).chain([1]) {
            let inputs = named([
                ("a", floats(&[size], &vec![3.0; size as usize])),
                ("b", floats(&[size], &vec![1.0; size as usize])),
            ]);
            let expected = named([("y", floats(&[size], &vec![2.0; size as usize]))]);
            assert_eq!(graph.compute(inputs, None), Ok(expected), "{backend}, {size}");
        }
        let unlike = named([("a", floats(&[2], &[1.0, 2.0])), ("b", floats(&[3], &[1.0, 2.0, 3.0]))]);
        assert!(graph.compute(unlike, None).is_err(), "{backend}");
        let inputs = named([("a", floats(&[], &[3.0])), ("b", floats(&[], &[1.0]))]);
        let outputs = load(backend, &scalar).unwrap().compute(inputs, None);
        assert_eq!(outputs, Ok(named([("y", floats(&[], &[2.0]))])), "{backend}");
    }
}

#[test]
fn a_failure_at_run_time_is_an_error_and_the_next_computation_works() {
    let directory = tempfile::tempdir().unwrap();
    // The second input says into what shape the first is brought: 4 elements fit, 3 do not.
    let path = Model::default()
        .input("x", Type::Float, &[4])
        .input("shape", Type::Int64, &[1])
        .output("y", Type::Float, &[-1])
        .node("Reshape", &["x", "shape"], "y")
        .write(directory.path(), "reshape.onnx");
    for backend in backends() {
        // tract has to know the shapes when it makes a plan, and OpenVINO gives what it thinks was meant.
        if backend != BackendKind::Onnxruntime {
            continue;
        }
        let graph = load(backend, &path).unwrap();
        let inputs = |size: i64| {
            let shape = tensor(Datatype::Int64, &[1], size.to_le_bytes());
            named([("x", floats(&[4], &[1.0, 2.0, 3.0, 4.0])), ("shape", shape)])
        };
        let error = graph.compute(inputs(3), None).unwrap_err();
        assert!(matches!(error, ComputeError::Failed(_) | ComputeError::InvalidArgument(_)), "{backend}: {error:?}");
        assert!(graph.compute(inputs(4), None).is_ok(), "{backend}");
        assert_eq!(graph.statistics().failures, 1);
    }
}

#[test]
fn many_threads_compute_on_one_graph_each_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = difference(Type::Float, &[-1]).write(directory.path(), "difference.onnx");
    for backend in backends() {
        let graph = load(backend, &path).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                let graph = &graph;
                scope.spawn(move || {
                    for round in 0..100_u8 {
                        let (a, b) = (f32::from(thread) * 1000.0, f32::from(round));
                        let size = u64::from(thread) + 1;
                        let all = |value: f32| floats(&[size], &vec![value; size as usize]);
                        let outputs = graph.compute(named([("a", all(a)), ("b", all(b))]), None);
                        assert_eq!(outputs, Ok(named([("y", all(a - b))])), "{backend}");
                    }
                });
            }
        });
        let statistics = graph.statistics();
        assert_eq!((statistics.requests, statistics.failures, statistics.loads), (800, 0, 1), "{backend}");
        assert!(statistics.compute_ns > 0);
    }
}

#[test]
fn every_level_of_optimization_gives_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = difference(Type::Float, &[2]).write(directory.path(), "difference.onnx");
    for backend in backends().into_iter().filter(|&backend| backend != BackendKind::Openvino) {
        for optimization in [Optimization::None, Optimization::Basic, Optimization::Extended, Optimization::All] {
            let spec = GraphSpec { backend, optimization, ..GraphSpec::new("g").with_path(&path) };
            let graph = Registry::load([spec], &options()).unwrap().get("g").unwrap();
            let inputs = named([("a", floats(&[2], &[3.0, 4.0])), ("b", floats(&[2], &[1.0, 1.0]))]);
            assert_eq!(graph.compute(inputs, None), Ok(named([("y", floats(&[2], &[2.0, 3.0]))])), "{backend}");
        }
    }
}

#[test]
fn a_graph_tells_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = difference(Type::Float, &[-1, 2]).write(directory.path(), "difference.onnx");
    for backend in backends() {
        let graph = load(backend, &path).unwrap();
        let info = graph.info();
        assert_eq!((info.name.as_str(), &info.path, info.backend), ("g", &path, backend));
        assert_eq!((info.sha256.len(), info.bytes), (64, std::fs::metadata(&path).unwrap().len()));
        assert_eq!((info.device, info.device_asked), (Device::Cpu, Device::Auto));
        assert_eq!((info.contexts, info.threads), (2, 1));
        assert!(info.version.starts_with(|first: char| first.is_ascii_digit()), "{}", info.version);
        assert!(!info.load_time.is_zero());
        let names = |specs: &[samara_protocol::TensorSpec]| {
            specs.iter().map(|spec| (spec.name.clone(), spec.datatype, spec.shape.clone())).collect::<Vec<_>>()
        };
        let expected = |name: &str| (name.to_owned(), Datatype::Fp32, vec![-1, 2]);
        assert_eq!(names(&info.inputs), [expected("a"), expected("b")], "{backend}");
        assert_eq!(names(&info.outputs), [expected("y")], "{backend}");
    }
}

#[test]
fn one_file_under_two_names_is_loaded_once_and_names_are_unique() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[1]).write(directory.path(), "same.onnx");
    let other = directory.path().join("./same.onnx");
    let specs = [GraphSpec::new("one").with_path(&path), GraphSpec::new("two").with_path(&other)];
    let registry = Registry::load(specs, &Options::default()).unwrap();
    let [one, two] = ["one", "two"].map(|name| registry.get(name).unwrap());
    assert_eq!(one.info().load_time, two.info().load_time, "it was loaded twice");
    assert_eq!(two.info().name, "two");
    assert!(one.compute(named([("x", floats(&[1], &[1.0]))]), None).is_ok());
    assert_eq!((one.statistics().requests, two.statistics().requests), (1, 0));
    let error = registry.get("three").unwrap_err();
    assert_eq!(error.to_string(), "unknown graph \"three\", expected one of one, two");
    assert_eq!(registry.graphs().len(), 2);

    let twice = [GraphSpec::new("one").with_path(&path), GraphSpec::new("one").with_path(&path)];
    assert!(matches!(Registry::load(twice, &Options::default()), Err(LoadError::Duplicate { name }) if name == "one"));
}

#[test]
fn a_file_beside_a_component_runs_as_the_settings_say() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[1]).write(directory.path(), "same.onnx");
    let other = same(Type::Float, &[2]).write(directory.path(), "other.onnx");
    let settings = GraphSpec { contexts: Some(3), ..GraphSpec::new("one") };
    let registry = Registry::load([settings, GraphSpec::new("here").with_path(&path)], &Options::default()).unwrap();
    assert_eq!(registry.without_file(), ["one"]);
    let sha256 = registry.get("here").unwrap().info().sha256.clone();

    let one = registry.provide("one", &path, &sha256).unwrap();
    assert_eq!((one.info().name.as_str(), one.info().contexts), ("one", 3));
    assert_eq!(registry.get("one").unwrap().info().path, one.info().path);
    assert!(registry.without_file().is_empty());
    // The same again, from another component.
    assert!(registry.provide("one", &path, &sha256).is_ok());
    assert!(
        matches!(registry.provide("one", &other, "of another"), Err(LoadError::Conflict { graph, .. }) if graph == "one")
    );
    // What the operator has named is what runs.
    let here = registry.provide("here", &other, "of another").unwrap();
    assert_eq!(here.info().sha256, sha256);
    // Another file than the component was made with.
    assert!(
        matches!(registry.provide("two", &other, &sha256), Err(LoadError::Changed { graph, .. }) if graph == "two")
    );
    assert!(registry.get("two").is_err());
    // Nor may it be one that is loaded already.
    assert!(
        matches!(registry.provide("three", &path, "another"), Err(LoadError::Changed { graph, .. }) if graph == "three")
    );
    let missing = directory.path().join("missing.onnx");
    assert!(matches!(registry.provide("two", &missing, &sha256), Err(LoadError::Read { .. })));
}

#[test]
fn a_broken_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let whole = difference(Type::Float, &[2]).encode();
    let cases: [(&str, &[u8]); 4] = [
        ("empty.onnx", b""),
        ("text.onnx", b"this is not a model, whatever its name says"),
        ("cut.onnx", &whole[..whole.len() / 2]),
        ("almost.onnx", &whole[..whole.len() - 1]),
    ];
    for backend in backends() {
        for (file, bytes) in cases {
            let path = directory.path().join(file);
            std::fs::write(&path, bytes).unwrap();
            let error = load(backend, &path).unwrap_err();
            assert!(matches!(error, LoadError::File { .. }), "{backend}, {file}: {error:?}");
            let text = error.to_string();
            assert!(text.contains("\"g\"") && text.contains(file), "{backend}: {text}");
        }
        let error = load(backend, &directory.path().join("absent.onnx")).unwrap_err();
        assert!(matches!(error, LoadError::Read { .. }), "{error:?}");
        assert!(error.to_string().contains("absent.onnx"));
    }
    let unknown = Model::default().input("x", Type::Float, &[1]).output("y", Type::Float, &[1]);
    let path = unknown.node("Frobnicate", &["x"], "y").write(directory.path(), "unknown.onnx");
    for backend in backends() {
        let error = load(backend, &path).unwrap_err().to_string();
        assert!(error.contains("Frobnicate"), "{backend}: {error}");
    }
    let dangling = Model::default().output("y", Type::Float, &[1]).node("Identity", &["nothing"], "y");
    let path = dangling.write(directory.path(), "dangling.onnx");
    for backend in backends() {
        assert!(load(backend, &path).is_err(), "{backend}");
    }
}

#[test]
fn a_setting_that_a_backend_does_not_have_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[1]).write(directory.path(), "same.onnx");
    let refused = |spec: GraphSpec| Registry::load([spec], &options()).unwrap_err().to_string();
    let cuda = refused(GraphSpec { device: Device::Cuda(0), ..GraphSpec::new("g").with_path(&path) });
    assert!(cuda.contains("device=cuda:0 cannot be used by backend=tract"), "{cuda}");
    let threads = refused(GraphSpec { threads: 2, ..GraphSpec::new("g").with_path(&path) });
    assert!(threads.contains("threads=2 is not possible with backend=tract"), "{threads}");
    if !cfg!(feature = "openvino") {
        let openvino = refused(GraphSpec { backend: BackendKind::Openvino, ..GraphSpec::new("g").with_path(&path) });
        assert!(openvino.contains("--features openvino"), "{openvino}");
    }
}

#[test]
fn a_gpu_that_is_not_there_fails_and_is_told_where_it_was_optional() {
    let Some(_) = ort_dylib() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[1]).write(directory.path(), "same.onnx");
    let backend = BackendKind::Onnxruntime;
    // No machine has a device with this number.
    let spec = GraphSpec { backend, device: Device::Cuda(1000), ..GraphSpec::new("g").with_path(&path) };
    let error = Registry::load([spec], &options()).unwrap_err().to_string();
    assert!(error.contains("device=cuda:1000 cannot be used by backend=onnxruntime: "), "{error}");
    let graph = load(backend, &path).unwrap();
    match graph.info().device {
        Device::Cpu => assert!(graph.info().fell_back.as_ref().is_some_and(|reason| !reason.is_empty())),
        device => assert_eq!((device, &graph.info().fell_back), (Device::Cuda(0), &None)),
    }
    let spec = GraphSpec { backend, device: Device::Cpu, threads: 2, ..GraphSpec::new("g").with_path(&path) };
    let graph = Registry::load([spec], &options()).unwrap().get("g").unwrap();
    assert_eq!((graph.info().device, &graph.info().fell_back, graph.info().threads), (Device::Cpu, &None, 2));
}

#[test]
fn an_onnxruntime_that_is_no_use_is_an_error_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = same(Type::Float, &[1]).write(directory.path(), "same.onnx");
    let error = |dylib: &Path| {
        let spec = GraphSpec { backend: BackendKind::Onnxruntime, ..GraphSpec::new("g").with_path(&path) };
        let options = Options { ort_dylib: Some(dylib.to_owned()), ..Options::default() };
        Registry::load([spec], &options).unwrap_err().to_string()
    };
    let missing = error(&directory.path().join("libonnxruntime.so"));
    assert!(missing.contains("pip install onnxruntime") && missing.contains("--ort-dylib"), "{missing}");
    let text = directory.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    assert!(error(&text).contains("text.so"), "{}", error(&text));

    let compile = |name: &str, code: &str| {
        let (source, library) = (directory.path().join(format!("{name}.c")), directory.path().join(name));
        std::fs::write(&source, code).unwrap();
        let done = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(done.expect("the C compiler that Rust links with").success());
        library
    };
    let other = error(&compile("other.so", "int other(void) { return 1; }"));
    assert!(other.contains("not ONNX Runtime's library"), "{other}");
    let old = "struct base { const void *(*api)(unsigned); const char *(*version)(void); };\n\
               static const void *api(unsigned version) { return version > 10 ? 0 : \"\"; }\n\
               static const char *version(void) { return \"1.10.0\"; }\n\
               static const struct base base = { api, version };\n\
               const struct base *OrtGetApiBase(void) { return &base; }\n";
    let too_old = error(&compile("old.so", old));
    assert!(too_old.contains("it is version 1.10.0, and 1.17 or a later 1.x is needed"), "{too_old}");
    // A version that says that it is new, without the interface.
    let liar = error(&compile("liar.so", &old.replace("1.10.0", "1.99.0")));
    assert!(liar.contains("1.99.0"), "{liar}");
}

#[test]
fn a_guest_may_bring_a_graph_where_that_is_allowed() {
    let model = same(Type::Float, &[1]).encode();
    let registry = Registry::load([], &Options::default()).unwrap();
    assert!(matches!(registry.load_bytes(&model), Err(LoadError::Forbidden)));

    let registry = Registry::load([], &Options { allow_load: true, ..Options::default() }).unwrap();
    let graph = registry.load_bytes(&model).unwrap();
    assert!(Arc::ptr_eq(&graph, &registry.load_bytes(&model).unwrap()), "it was loaded twice");
    assert!(graph.compute(named([("x", floats(&[1], &[1.0]))]), None).is_ok());
    assert!(registry.get(&graph.info().name).is_err(), "other guests can ask for it by name");
    assert!(matches!(registry.load_bytes(b"nonsense"), Err(LoadError::Bytes(_))));
    for size in 2..=16 {
        registry.load_bytes(&same(Type::Float, &[size]).encode()).unwrap();
    }
    let one_more = same(Type::Float, &[17]).encode();
    assert!(matches!(registry.load_bytes(&one_more), Err(LoadError::Full { limit: 16 })));
    assert!(registry.load_bytes(&model).is_ok());
}

#[test]
fn a_graph_from_a_guest_names_no_files() {
    use tract_onnx::pb::StringStringEntryProto;
    use tract_onnx::pb::tensor_proto::DataLocation;

    let weights = TensorProto {
        name: "w".to_owned(),
        dims: vec![1],
        data_type: Type::Float as i32,
        data_location: Some(DataLocation::External as i32),
        external_data: vec![StringStringEntryProto { key: "location".to_owned(), value: "Cargo.toml".to_owned() }],
        ..TensorProto::default()
    };
    let model = Model::default().input("x", Type::Float, &[1]).output("y", Type::Float, &[1]).weights(weights).node(
        "Add",
        &["x", "w"],
        "y",
    );
    let registry = Registry::load([], &Options { allow_load: true, ..Options::default() }).unwrap();
    let error = registry.load_bytes(&model.encode()).unwrap_err().to_string();
    assert!(error.contains("\"w\" are in another file"), "{error}");
}
