//! The models of `models/`, run by the host on each backend, against what ONNX Runtime makes of the same inputs.

use samara_tests::models::{self, assert_right};
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
            assert_right(&server, name, vector, vector.tolerance.min(1e-4));
        }
        server.stop();
    }
}

samara_tests::test_each_model!(check);
