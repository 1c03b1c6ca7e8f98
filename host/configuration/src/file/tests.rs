use super::*;

fn problems(text: &str) -> Vec<String> {
    parse(text, Path::new("")).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_lists_models_functions_and_graphs() {
    let text = r#"
        [node]
        paths = ["models"]
        workers = 3
        cache_dir = "/cache"

        admin_listen = "unix:admin.sock"
        repository_poll_ms = 0

        [model.fashion-cnn]
        deadline_ms = 500
        split = { "1" = 90, "2" = 10 }
        sticky = "X-User-Id"

        [[function]]
        component = "classify.wasm"
        model = "efficientnet-lite0.wasm"
        route = "/classify/..."

        [[function]]
        component = "whole.wasm"
        reuse = 100
        deadline_ms = 200

        [[graph]]
        name = "minilm"
        model = "minilm.onnx"
        threads = 2

        [[graph]]
        name = "beside"
    "#;
    let FileSettings { node, models, functions, graphs } = parse(text, Path::new("/etc")).unwrap();
    let node = node.resolve();
    assert_eq!((node.paths, node.workers.get()), (vec!["/etc/models".into()], 3));
    assert_eq!((node.admin_listen, node.repository_poll), (Some("unix:/etc/admin.sock".parse().unwrap()), None));
    assert_eq!(node.cache, crate::Cache::In("/cache".into()));
    assert_eq!(models["fashion-cnn"].terms().deadline.unwrap().as_millis(), 500);
    let terms = models["fashion-cnn"].terms();
    assert_eq!(terms.split.map(|split| (split.percentage("1"), split.percentage("2"))), Some((90, 10)));
    assert_eq!(terms.sticky.unwrap().as_str(), "x-user-id");
    assert_eq!(functions[0].component, Path::new("/etc/classify.wasm"));
    assert_eq!(functions[0].model.as_deref(), Some(Path::new("/etc/efficientnet-lite0.wasm")));
    assert_eq!(functions[0].route.to_string(), "/classify/...");
    assert_eq!((functions[1].model.as_deref(), functions[1].route.to_string()), (None, "/whole".to_owned()));
    assert_eq!((functions[0].reuse.get(), functions[1].reuse.get()), (1, 100));
    assert_eq!(functions[1].terms.deadline.unwrap().as_millis(), 200);
    assert_eq!(graphs[0].path.as_deref(), Some(Path::new("/etc/minilm.onnx")));
    assert_eq!((graphs[0].threads, graphs[1].path.as_deref()), (2, None));
}

#[test]
fn an_empty_file_says_nothing() {
    let settings = parse("", Path::new("")).unwrap();
    assert!(settings.functions.is_empty() && settings.graphs.is_empty() && settings.models.is_empty());
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let text = r#"[node]
worker = 2
queue = -1
listen = 8080
memory_mib = "1024"

[model.m]
deadlines_ms = 5
deadline_ms = 0
weight = -1
split = { "1" = 80, "2" = 10 }
sticky = "x user"

[model.n]
split = { "1" = 110, "2" = -10 }
[model.o.split]
1 = 100
2 = 1

[[function]]
model = "m.wasm"

[[function]]
component = "a.wasm"
route = "classify"

[[graph]]
name = ""

[functoin]
"#;
    let found = problems(text);
    let expected = [
        "2:1: unknown key \"worker\": did you mean \"workers\"?",
        "3:9: expected a whole number from 1 to 1000000, found -1",
        "4:10: invalid type: integer `8080`, expected socket address",
        "5:14: invalid type: string \"1024\", expected a whole number from 1 to 4096",
        "8:1: unknown key \"deadlines_ms\": did you mean \"deadline_ms\"?",
        "9:15: expected a whole number from 1 to 86400000, found 0",
        "10:10: expected a whole number from 1 to 1000, found -1",
        "11:9: the split sums to 90: expected 100, in percent",
        "12:10: expected the name of a header, found \"x user\"",
        "15:17: expected a whole number from 0 to 100, found 110",
        "15:28: expected a whole number from 0 to 100, found -10",
        "16:1: the split sums to 101: expected 100, in percent",
        "20:1: missing field `component`",
        "25:9: the route \"classify\" is none: expected a path such as /classify, or /classify/... for everything below \
         it too",
        "28:8: a graph's name is empty",
        "30:2: unknown key \"functoin\": did you mean \"function\"?",
    ];
    assert_eq!(found, expected);
}

#[test]
fn two_functions_on_one_route_are_told_with_the_place_of_the_second() {
    let text = r#"
[[function]]
component = "a.wasm"
route = "/b"

[[function]]
component = "b.wasm"
"#;
    assert_eq!(problems(text), ["6:1: a.wasm and b.wasm are both served at /b: give one of them another route"]);
}

#[test]
fn a_delay_without_a_size_is_told() {
    let expected = "2:1: max_batch_delay_ms without max_batch_size, which says how many items run together";
    assert_eq!(problems("\n[model.m]\nmax_batch_delay_ms = 2\n"), [expected]);
    let expected = "2:1: pad_batches without max_batch_size, which says how many items run together";
    assert_eq!(problems("\n[model.m]\npad_batches = true\n"), [expected]);
    let found = problems("[model.m]\nmax_batch_size = 0\n[[function]]\ncomponent = \"a.wasm\"\nmax_batch_size = 2\n");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], "2:18: expected a whole number from 1 to 1024, found 0");
    assert!(found[1].starts_with("5:1: unknown key \"max_batch_size\""), "functions run by themselves: {found:?}");
}

#[test]
fn a_model_runs_in_batches_where_that_is_said() {
    let batching =
        |text: &str| parse(&format!("[model.m]\n{text}"), Path::new("")).unwrap().models["m"].terms().batching;
    assert_eq!(batching(""), None);
    assert_eq!(batching("max_batch_size = 1\nmax_batch_delay_ms = 5"), None);
    let batch = batching("max_batch_size = 16\nmax_batch_delay_ms = 5").unwrap();
    assert_eq!((batch.max_size.get(), batch.max_delay.as_millis()), (16, 5));
    assert_eq!(batching("max_batch_size = 2").unwrap().max_delay.as_millis(), 0);
}

#[test]
fn two_graphs_of_one_name_are_told() {
    assert_eq!(problems("[[graph]]\nname = \"a\"\n[[graph]]\nname = \"a\"\n"), ["3:1: graph \"a\" is listed twice"]);
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let found = problems("[node]\nqueue = = 3\nlisten\n");
    assert!(found.len() >= 2 && found[0].starts_with("2:9: "), "{found:?}");
}
