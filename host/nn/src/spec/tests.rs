use super::*;

#[derive(Debug, Deserialize)]
struct Configuration {
    graph: Vec<GraphSpec>,
}

#[test]
fn a_name_and_a_path_are_enough() {
    let spec: GraphSpec = "m=dir/m.onnx".parse().unwrap();
    assert_eq!(spec, GraphSpec::new("m").with_path("dir/m.onnx"));
    assert_eq!((spec.backend, spec.device, spec.threads), (BackendKind::Tract, Device::Auto, 1));
    assert_eq!((spec.contexts, spec.optimization), (None, Optimization::All));
    assert!(spec.context_count() >= 1);
    let spec: GraphSpec = "m,backend=onnxruntime".parse().unwrap();
    assert_eq!((spec.path, spec.backend), (None, BackendKind::Onnxruntime));
}

#[test]
fn every_setting_is_read_on_a_command_line_and_in_a_file() {
    let text = "m=m.onnx,backend=onnxruntime,device=cuda:3,contexts=5,threads=2,optimization=basic";
    let spec: GraphSpec = text.parse().unwrap();
    let expected = GraphSpec {
        name: "m".to_owned(),
        path: Some("m.onnx".into()),
        backend: BackendKind::Onnxruntime,
        device: Device::Cuda(3),
        contexts: Some(5),
        threads: 2,
        optimization: Optimization::Basic,
    };
    assert_eq!(spec, expected);
    let file = r#"
        [[graph]]
        name = "m"
        model = "m.onnx"
        backend = "onnxruntime"
        device = "cuda:3"
        contexts = 5
        threads = 2
        optimization = "basic"

        [[graph]]
        name = "n"
        model = "n.onnx"

        [[graph]]
        name = "beside"
    "#;
    let file: Configuration = toml::from_str(file).unwrap();
    assert_eq!(file.graph, [expected, GraphSpec::new("n").with_path("n.onnx"), GraphSpec::new("beside")]);
}

#[test]
fn an_error_names_the_key_the_value_and_what_is_allowed() {
    let error = |text: &str| text.parse::<GraphSpec>().unwrap_err().to_string();
    assert_eq!(error("m="), "\"m=\" is not NAME[=MODEL.onnx][,KEY=VALUE…]");
    assert!(matches!("=m.onnx".parse::<GraphSpec>(), Err(SpecError::Form { .. })));
    assert!(matches!("".parse::<GraphSpec>(), Err(SpecError::Form { .. })));
    assert!(matches!("m=x,threads".parse::<GraphSpec>(), Err(SpecError::Form { .. })));
    assert_eq!(
        error("m=x,core=1"),
        "unknown setting \"core\", expected one of backend, device, contexts, threads, optimization"
    );
    assert_eq!(error("m=x,backend=torch"), "backend=\"torch\": expected one of tract, onnxruntime, openvino");
    assert_eq!(error("m=x,device=gpu"), "device=\"gpu\": expected one of auto, cpu, cuda:N, tensorrt:N");
    assert!(error("m=x,device=cuda:-1").contains("cuda:N"));
    assert!(error("m=x,device=cuda:4294967295").contains("cuda:N"));
    assert_eq!(error("m=x,contexts=0"), "contexts=\"0\": expected a number from 1 to 1024");
    assert_eq!(error("m=x,threads=many"), "threads=\"many\": expected a number from 1 to 1024");
    assert!(error("m=x,optimization=max").contains("none, basic, extended, all"));
    assert_eq!(error("m=x,threads=1,threads=2"), "threads is given twice");
}

#[test]
fn a_file_is_held_to_the_same() {
    let error = |lines: &str| {
        toml::from_str::<Configuration>(&format!("[[graph]]\nmodel = \"m.onnx\"\n{lines}")).unwrap_err().to_string()
    };
    assert!(error("").contains("name"));
    assert!(error("name = \"\"").contains("empty"));
    assert!(error("name = \"m\"\ncore = 1").contains("unknown field `core`"));
    assert!(error("name = \"m\"\nthreads = 0").contains("1 to 1024"));
    assert!(error("name = \"m\"\ncontexts = 0").contains("1 to 1024"));
    assert!(error("name = \"m\"\ndevice = \"gpu\"").contains("cuda:N"));
}
