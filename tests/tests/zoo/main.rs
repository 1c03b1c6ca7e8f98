//! The models of `models/`, through `samara serve`, against what ONNX Runtime makes of the same inputs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

use samara_tests::models::{self, assert_right};
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, assert_close, binary_request, outputs};

/// Serves a model, and asks it every vector of its card in each form.
#[track_caller]
fn check(name: &str) {
    let card = models::card(name);
    assert!(!card.vectors.is_empty());
    for vector in &card.vectors {
        let server = Serve::new([card.compiled_for(vector)]).option("--deadline-ms 120000").start();
        assert_right(&server, name, vector, vector.tolerance);
        server.stop();
    }
}

samara_tests::test_each_model!(check);

/// Asks a model that was compiled with options the first vector of its card.
#[track_caller]
fn check_compiled(name: &str, options: &[&str]) {
    let card = models::card(name);
    let vector = &card.vectors[0];
    let server = Serve::new([models::compiled(name, &card.onnx(), options)]).option("--deadline-ms 120000").start();
    let actual = outputs(&server.send(&binary_request(name, &vector.inputs())));
    assert_close(&actual[0], &vector.expected()[0], vector.tolerance);
}

/// The build for hosts without relaxed SIMD computes the same, within what rounding allows.
#[test]
fn plain_simd_is_right_too() {
    check_compiled("fashion-cnn", &["--simd", "baseline"]);
}

/// So do the kernels for each kind of processors, which others run as well.
#[test]
fn kernels_for_other_processors_are_right_too() {
    for tune in ["x86-64", "skylake", "aarch64"] {
        check_compiled("efficientnet-lite0", &["--input", "input=1,3,224,224", "--tune", tune]);
        check_compiled("fashion-cnn", &["--tune", tune, "--simd", "baseline"]);
    }
}

/// All of them in one server, each asked in turn: nobody gets another's answer.
#[test]
fn all_models_side_by_side() {
    let names = ["anomaly-autoencoder", "breast-random-forest", "fashion-cnn"];
    let cards = names.map(models::card);
    let server = Serve::new(cards.iter().map(models::Card::compiled)).start();
    let mut client = server.client();
    for _ in 0..3 {
        for card in &cards {
            let vector = &card.vectors[0];
            let mut actual: Vec<Tensor> = outputs(&client.send(&binary_request(&card.name, &vector.inputs())));
            actual.sort_by(|a, b| a.name.cmp(&b.name));
            for (actual, expected) in actual.iter().zip(&vector.expected()) {
                assert_close(actual, expected, vector.tolerance);
            }
        }
    }
}
