use super::*;

fn settings(file: &Path) -> ServeSettings {
    ServeSettings { config: Some(file.to_owned()), ..ServeSettings::default() }
}

#[test]
fn a_flag_beats_the_file_and_that_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("samara.toml");
    std::fs::write(&path, "[node]\nworkers = 3\nqueue = 7\npaths = [\"models\"]\n").unwrap();
    let mut settings = settings(&path);
    settings.node.workers = Some(Bounded::new(5).unwrap());
    let node = Configuration::load(&settings).unwrap().node;
    assert_eq!((node.workers.get(), node.queue, node.instances), (5, 7, 64));
    assert_eq!(node.paths, [directory.path().join("models")]);
    settings.node.paths = vec!["other".into()];
    assert_eq!(Configuration::load(&settings).unwrap().node.paths, [Path::new("other")]);
}

#[test]
fn functions_and_graphs_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("samara.toml");
    std::fs::write(&path, "[[function]]\ncomponent = \"b.wasm\"\n[[graph]]\nname = \"h\"\n").unwrap();
    let settings = ServeSettings { function: vec!["a.wasm".into()], nn: vec!["g".parse().unwrap()], ..settings(&path) };
    let configuration = Configuration::load(&settings).unwrap();
    let routes: Vec<_> = configuration.functions.iter().map(|function| function.route.to_string()).collect();
    assert_eq!(routes, ["/a", "/b"]);
    let graphs: Vec<_> = configuration.graphs.iter().map(|graph| &*graph.name).collect();
    assert_eq!(graphs, ["g", "h"]);
}

#[test]
fn something_for_some_functions_only_is_refused() {
    let settings = ServeSettings {
        function: vec!["a.wasm".into(), "b.wasm".into()],
        route: vec!["/a".parse().unwrap()],
        ..ServeSettings::default()
    };
    let error = Configuration::load(&settings).unwrap_err().to_string();
    assert!(error.starts_with("2 functions, but 1 of --route"), "{error}");
}

#[test]
fn who_names_a_directory_of_code_wants_it_kept() {
    let settings = |no_cache, cache_dir: Option<&str>| NodeSettings {
        no_cache,
        cache_dir: cache_dir.map(PathBuf::from),
        ..NodeSettings::default()
    };
    let cache = |above: NodeSettings, below: NodeSettings| above.over(below).resolve().cache;
    assert_eq!(cache(settings(None, Some("a")), settings(Some(true), None)), Cache::In("a".into()));
    assert_eq!(cache(settings(Some(true), None), settings(None, Some("a"))), Cache::None);
    assert_eq!(cache(settings(None, None), settings(None, None)), Cache::Default);
}

/// The example names every key that there is, with its default, so that it can be read instead of a reference.
#[test]
fn the_annotated_example_is_right_and_complete() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samara.example.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    Configuration::check(&path).unwrap();
    // Its settings are comments where they are the default.
    let told: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line).to_owned() + "\n")
        .collect();
    let full = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(full.path(), told.replace("no_cache = false", "")).unwrap();
    let settings = FileSettings::read(full.path()).unwrap();
    let absent = |debug: String| -> Vec<String> {
        debug.split(", ").filter(|field| field.contains(": None")).map(str::to_owned).collect()
    };
    // Paths become absolute; what has no default has an example.
    assert_eq!(absent(format!("{:?}", NodeSettings { no_cache: Some(false), ..settings.node.clone() })), [""; 0]);
    assert!(settings.models.values().any(|model| absent(format!("{model:?}")).is_empty()), "{:?}", settings.models);
    for key in
        ["component", "model", "route", "reuse", "weight", "concurrency", "queue", "queue_deadline_ms", "deadline_ms"]
    {
        assert!(text.contains(&format!("\n{key} = ")), "[[function]] lacks {key}");
    }
    for key in ["name", "model", "backend", "device", "contexts", "threads", "optimization"] {
        assert!(text.contains(&format!("\n{key} = ")), "[[graph]] lacks {key}");
    }
    // What it says the defaults are is what they are.
    let defaults = NodeSettings::default().resolve();
    let said = NodeSettings {
        paths: Vec::new(),
        workers: None,
        cache_dir: None,
        cache_budget_mib: None,
        no_cache: None,
        ort_dylib: None,
        queue_deadline_ms: None,
        admin_listen: None,
        admin_token_file: None,
        grpc_listen: None,
        idle_ttl_ms: None,
        memory_budget_mib: None,
        exit_when_idle_ms: None,
        metrics_listen: None,
        otlp_endpoint: None,
        ..settings.node
    };
    assert_eq!(said.resolve(), defaults);
}

fn is_setting(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}
