//! Files that hold no model, or not all of one.

use std::fs;

use samara_tests::models;
use samara_tests::samara::assert_says;
use tempfile::tempdir;

use super::refusal;

#[test]
fn a_file_that_is_not_there_is_named() {
    let directory = tempdir().unwrap();
    let message = refusal(directory.path(), &directory.path().join("absent.onnx"), &[]);
    assert_says(&message, &["absent.onnx", "No such file"]);
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("nothing.onnx");
    fs::write(&path, "").unwrap();
    assert_says(&refusal(directory.path(), &path, &[]), &["nothing.onnx", "empty", "ONNX"]);
}

#[test]
fn what_is_not_onnx_is_said_not_to_be() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("other.onnx");
    let component = fs::read(models::twice()).unwrap();
    let others: [(&str, &[u8]); 5] = [
        ("text", b"This is no model at all, but some text.\n"),
        ("JSON", br#"{"inputs": []}"#),
        ("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("a component", &component),
        ("zeros", &[0; 4096]),
    ];
    for (what, content) in others {
        fs::write(&path, content).unwrap();
        let message = refusal(directory.path(), &path, &[]);
        assert_says(&message, &["other.onnx"]);
        assert!(message.contains("ONNX"), "{what}: {message}");
    }
}

#[test]
fn a_directory_is_no_model() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    fs::create_dir(&path).unwrap();
    assert_says(&refusal(directory.path(), &path, &[]), &["model.onnx"]);
}

/// Wherever a file is cut off, its beginning must not pass for a model.
#[test]
fn a_truncated_model_is_refused_at_any_length() {
    let directory = tempdir().unwrap();
    let whole = fs::read(models::card("anomaly-autoencoder").onnx()).unwrap();
    let path = directory.path().join("part.onnx");
    let lengths = [1, 2, 7, 64, 100, 500, 1000, whole.len() / 2, whole.len() - 100, whole.len() - 1];
    for length in lengths {
        fs::write(&path, &whole[..length]).unwrap();
        let message = refusal(directory.path(), &path, &[]);
        assert!(message.contains("part.onnx") || message.contains("graph"), "{length} bytes: {message}");
    }
}

#[test]
fn a_large_truncated_model_is_refused() {
    let directory = tempdir().unwrap();
    let whole = fs::read(models::card("fashion-cnn").onnx()).unwrap();
    let path = directory.path().join("part.onnx");
    for length in [whole.len() / 4, whole.len() / 2, whole.len() - 10] {
        fs::write(&path, &whole[..length]).unwrap();
        let message = refusal(directory.path(), &path, &[]);
        assert_says(&message, &["part.onnx", "truncated"]);
    }
}
