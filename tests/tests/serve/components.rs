//! Which files can be served, and what is said of the others.

use std::fs;

use samara_tests::models;
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, outputs};
use samara_tests::{guests, onnx};
use serde_json::Value;
use tempfile::tempdir;

#[test]
fn what_is_no_component_is_named_and_refused() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("other.wasm");
    let whole = guests::component("echoes", "echo");
    let others: [(&str, Vec<u8>); 6] = [
        ("nothing", Vec::new()),
        ("text", b"This is no component.".to_vec()),
        ("an ONNX model", onnx::twice().encode()),
        ("a core module", guests::core_module("echoes", "echo")),
        ("half a component", whole[..whole.len() / 2].to_vec()),
        ("a component of another time", b"\0asm\xff\0\x01\0".to_vec()),
    ];
    for (what, content) in others {
        fs::write(&path, content).unwrap();
        let message = Serve::new([&path]).fails();
        assert!(message.contains("other.wasm"), "{what}: {message}");
        assert!(message.contains("component"), "{what}: {message}");
    }
}

#[test]
fn a_component_that_lacks_the_export_is_told_what_it_lacks() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("other.wasm");
    let others = [
        ("no exports", "(component)"),
        (
            "another export",
            r#"(component
                (core module $m (func (export "f")))
                (core instance $i (instantiate $m))
                (func (export "f") (canon lift (core func $i "f"))))"#,
        ),
        (
            "an interface of that name with nothing in it",
            r#"(component
                (component $c)
                (instance $i (instantiate $c))
                (export "samara:inference/model@0.1.0" (instance $i)))"#,
        ),
    ];
    for (what, text) in others {
        fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        let message = Serve::new([&path]).fails();
        assert!(message.contains("other.wasm"), "{what}: {message}");
        assert!(message.contains("samara:inference/model@0.1.0"), "{what}: {message}");
    }
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let directory = tempdir().unwrap();
    let message = Serve::new([directory.path().join("absent.wasm")]).fails();
    assert_says(&message, &["absent.wasm", "No such file"]);
}

#[test]
fn two_models_of_one_name_are_refused_and_both_named() {
    let directory = tempdir().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    for directory in [&first, &second] {
        fs::create_dir(directory).unwrap();
    }
    let one = guests::write(&first, "echoes", "double");
    let two = guests::write(&second, "traps", "double");
    let message = Serve::new([&one, &two]).fails();
    assert_says(&message, &["double", "first", "second"]);
    // The same file twice is no better.
    assert_says(&Serve::new([&one, &one]).fails(), &["double"]);
}

#[test]
fn a_directory_is_served_with_all_components_in_it() {
    let directory = tempdir().unwrap();
    for name in ["one", "two"] {
        guests::write(directory.path(), "echoes", name);
    }
    fs::write(directory.path().join("README.txt"), "Not a component.").unwrap();
    fs::write(directory.path().join("model.onnx"), onnx::twice().encode()).unwrap();
    let single = tempdir().unwrap();
    let third = guests::write(single.path(), "echoes", "three");
    let server = Serve::new([directory.path(), third.as_path()]).start();
    let index = server.send(&samara_tests::http::Request::post("/v2/repository/index", "")).expect(200).json();
    let mut names: Vec<&str> = index.as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "three", "two"]);
    for name in names {
        let reply = server.infer(name, &[Tensor::fp32("x", &[1], &[4.0])]);
        assert_eq!(outputs(&reply), [Tensor::fp32("y", &[1], &[4.0])]);
    }
}

/// Where it is not watched, so that nothing can mend it.
#[test]
fn a_broken_component_in_a_directory_is_named() {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    fs::write(directory.path().join("broken.wasm"), "no component").unwrap();
    assert_says(&Serve::new([directory.path()]).option("--repository-poll-ms 0").fails(), &["broken.wasm"]);
}

#[test]
fn a_directory_without_components_is_refused() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("README.txt"), "Not a component.").unwrap();
    let message = Serve::new([directory.path()]).option("--repository-poll-ms 0").fails();
    assert_says(&message, &[directory.path().to_str().unwrap()]);
}

/// A component may come from anywhere that knows the interface.
#[test]
fn a_component_without_manifest_is_asked_what_it_is() {
    let directory = tempdir().unwrap();
    let server = Serve::new([guests::write(directory.path(), "echoes", "a model, any model")]).start();
    let metadata = server.get("/v2/models/a%20model,%20any%20model").expect(200).json();
    assert_eq!(metadata["name"], "a model, any model");
    assert_eq!(metadata["versions"], serde_json::json!(["1"]));
    assert_eq!(metadata["inputs"], serde_json::json!([{"name": "x", "datatype": "FP32", "shape": [-1]}]));
    assert_eq!(metadata["outputs"], serde_json::json!([{"name": "y", "datatype": "FP32", "shape": [-1]}]));
}

/// One that does not answer is not waited for.
#[test]
fn a_component_that_never_says_what_it_is_is_given_up() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "loops-at-start", "late");
    let message = Serve::new([path]).option("--deadline-ms 300").fails();
    assert_says(&message, &["late.wasm", "300 ms"]);
}

#[test]
fn compiled_models_and_others_are_served_side_by_side() {
    let directory = tempdir().unwrap();
    let server = Serve::new([models::twice(), guests::write(directory.path(), "echoes", "echo")]).start();
    let input = [Tensor::fp32("x", &[3], &[1.0, 2.0, 3.0])];
    assert_eq!(outputs(&server.infer("twice", &input)), [Tensor::fp32("y", &[3], &[2.0, 4.0, 6.0])]);
    assert_eq!(outputs(&server.infer("echo", &input)), [Tensor::fp32("y", &[3], &[1.0, 2.0, 3.0])]);
    let index: Value = server.send(&samara_tests::http::Request::post("/v2/repository/index", "")).expect(200).json();
    assert!(index.as_array().unwrap().iter().all(|row| row["state"] == "READY"), "{index}");
}
