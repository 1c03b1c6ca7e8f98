//! `--max-elements`: how many elements a tensor may have, by its shape and before it is made.

use samara_tests::guests;
use samara_tests::http::Request;
use samara_tests::process::peak_resident_bytes;
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, binary_request, infer_path, outputs};
use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::{assert_counted, assert_good};

fn serve() -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).option("--max-elements 1000").start();
    (directory, server)
}

#[test]
fn a_shape_of_too_many_elements_is_refused() {
    let (_directory, server) = serve();
    let sizes = [1001, 1 << 32, 1 << 62, u64::MAX];
    let before = peak_resident_bytes(server.process());
    for (count, size) in sizes.into_iter().enumerate() {
        let input = json!({"name": "x", "datatype": "FP32", "shape": [size], "data": [1.0]});
        let request = Request::post_json(&infer_path("good"), &json!({"inputs": [input]}));
        let reply = server.send(&request);
        assert_eq!(reply.status, 413, "{size}: {:?}", reply.body);
        assert_says(&reply.error(), &["`x`", &size.to_string(), "at most 1000"]);
        assert_counted(&server, "good", "elements", count as u64 + 1);
    }
    let grown = peak_resident_bytes(server.process()) - before;
    assert!(grown < 32 << 20, "{grown} bytes more than before");
    assert_good(&server);
}

#[test]
fn binary_and_raw_data_of_too_many_elements_are_refused() {
    let (_directory, server) = serve();
    let elements = vec![0.0; 1001];
    let reply = server.send(&binary_request("good", &[Tensor::fp32("x", &[1001], &elements)]));
    assert_eq!(reply.status, 413, "{:?}", reply.body);
    assert_says(&reply.error(), &["`x`", "1001"]);

    let raw = Request::post(&infer_path("good"), vec![0; 4 * 1001]).header("inference-header-content-length", "0");
    let reply = server.send(&raw);
    assert_eq!(reply.status, 413, "{:?}", reply.body);
    assert_says(&reply.error(), &["`x`", "1001"]);
    assert_counted(&server, "good", "elements", 2);
}

#[test]
fn as_many_as_may_be_are_taken() {
    let (_directory, server) = serve();
    let reply = server.infer("good", &[Tensor::fp32("x", &[1000], &[1.0; 1000])]);
    assert_eq!(outputs(&reply)[0].shape, [1000]);
    assert_counted(&server, "good", "elements", 0);
}
