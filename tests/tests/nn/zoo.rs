//! The models of `models/`, run by the host on each backend, against what ONNX Runtime makes of the same inputs.

use samara_tests::models;
use samara_tests::tensor::{assert_close, binary_request, json_request, outputs};
use tempfile::tempdir;

use crate::{backends, compile, has_openvino, serve};

#[track_caller]
fn check(name: &str) {
    let card = models::card(name);
    let directory = tempdir().unwrap();
    let component = compile(directory.path(), name, &card.onnx(), &[]);
    let mut backends = backends(name);
    // OpenVINO has no tree ensembles.
    if has_openvino() && name != "breast-random-forest" {
        backends.push(format!("--nn {name},backend=openvino"));
    }
    for backend in backends {
        let server = serve(&[&component], &backend).option("--deadline-ms 120000").start();
        for vector in &card.vectors {
            for request in [json_request, binary_request].map(|request| request(name, &vector.inputs())) {
                let mut actual = outputs(&server.send(&request));
                actual.sort_by(|a, b| a.name.cmp(&b.name));
                let expected = vector.expected();
                assert_eq!(actual.len(), expected.len(), "{backend} {}", vector.name);
                for (actual, expected) in actual.iter().zip(&expected) {
                    assert_close(actual, expected, vector.tolerance.min(1e-4));
                }
            }
        }
        server.stop();
    }
}

#[test]
fn anomaly_autoencoder() {
    check("anomaly-autoencoder");
}

#[test]
fn breast_random_forest() {
    check("breast-random-forest");
}

#[test]
fn efficientnet_lite0() {
    check("efficientnet-lite0");
}

#[test]
fn fashion_cnn() {
    check("fashion-cnn");
}

#[test]
fn magika() {
    check("magika");
}

#[test]
fn minilm_l6() {
    check("minilm-l6");
}

#[test]
fn ppocrv4_rec() {
    check("ppocrv4-rec");
}

#[test]
fn silero_vad() {
    check("silero-vad");
}
