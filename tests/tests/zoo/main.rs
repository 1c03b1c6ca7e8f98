//! The models of `models/`, through `samara serve`, against what ONNX Runtime makes of the same inputs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

use samara_tests::models;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, assert_close, binary_request, json_request, outputs};

/// Serves a model, and asks it every vector of its card in each form.
#[track_caller]
fn check(name: &str) {
    let card = models::card(name);
    assert!(!card.vectors.is_empty());
    for vector in &card.vectors {
        let server = Serve::new([card.compiled_for(vector)]).option("--deadline-ms 120000").start();
        let (inputs, expected) = (vector.inputs(), vector.expected());
        let mut answers = Vec::new();
        for request in [json_request(name, &inputs), binary_request(name, &inputs)] {
            let mut actual = outputs(&server.send(&request));
            actual.sort_by(|a, b| a.name.cmp(&b.name));
            assert_eq!(actual.len(), expected.len(), "{}", vector.name);
            for (actual, expected) in actual.iter().zip(&expected) {
                assert_close(actual, expected, vector.tolerance);
            }
            answers.push(actual);
        }
        assert_eq!(answers[0], answers[1], "{}: JSON and bytes tell different things", vector.name);
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

#[test]
fn every_card_has_its_test() {
    let tested = [
        "anomaly-autoencoder",
        "breast-random-forest",
        "efficientnet-lite0",
        "fashion-cnn",
        "magika",
        "minilm-l6",
        "ppocrv4-rec",
        "silero-vad",
    ];
    assert_eq!(models::card_names(), tested);
}

/// The build for hosts without relaxed SIMD computes the same, within what rounding allows.
#[test]
fn plain_simd_is_right_too() {
    let card = models::card("fashion-cnn");
    let vector = &card.vectors[0];
    let component = models::compiled("fashion-cnn", &card.onnx(), &["--simd", "baseline"]);
    let server = Serve::new([component]).start();
    let actual = outputs(&server.send(&json_request("fashion-cnn", &vector.inputs())));
    assert_close(&actual[0], &vector.expected()[0], vector.tolerance);
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
