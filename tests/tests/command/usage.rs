//! How the command is called.

use samara_tests::samara::{self, assert_says};

#[test]
fn help_names_the_subcommands() {
    let run = samara::run(["--help"]).succeeds();
    let subcommands = ["compile", "serve", "infer", "link", "new", "spin", "inspect"];
    assert_says(&run.stdout, &subcommands);
    for subcommand in subcommands {
        let run = samara::run([subcommand, "--help"]).succeeds();
        assert_says(&run.stdout, &["Usage", "--json"]);
    }
}

#[test]
fn the_version_is_told() {
    let run = samara::run(["--version"]).succeeds();
    assert_eq!(run.stdout.trim(), concat!("samara ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bad_usage_has_a_code_of_its_own() {
    for arguments in [&["fly"][..], &["compile"], &["compile", "a", "b", "c"], &["serve", "--frobnicate"], &["infer"]] {
        let run = samara::run(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        assert_says(&run.stderr, &["Usage"]);
        assert_eq!(run.stdout, "");
    }
}

/// As in `samara inspect MODEL.wasm | head -n 1`.
#[test]
fn whoever_stops_reading_hears_no_more() {
    let component = samara_tests::models::twice();
    let mut command = samara::command();
    command.arg("inspect").arg(&component).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// What the system said is said once.
#[test]
fn a_cause_is_told_once() {
    let cases = [
        &["compile", "absent.onnx"][..],
        &["compile", "absent.onnx", "--labels", "absent.txt"],
        &["serve", "absent.wasm"],
        &["infer", "absent.wasm"],
        &["inspect", "absent.wasm"],
    ];
    for arguments in cases {
        let message = samara::run(arguments).fails();
        assert_eq!(message.matches("No such file").count(), 1, "{arguments:?}: {message}");
    }
}

#[test]
fn a_name_that_is_no_part_of_a_path_is_refused() {
    for name in ["", "a/b", "..", "a b", "é"] {
        let run = samara::run(["compile", "model.onnx", "--name", name]);
        assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
        assert_says(&run.stderr, &["--name"]);
    }
}
