//! One request that is at fault costs its neighbours nothing but time.

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::http::Request;
use samara_tests::raw::Raw;
use samara_tests::samara::assert_says;
use samara_tests::server::Server;
use samara_tests::tensor::{infer_path, json_body, outputs};
use serde_json::json;

use super::{COME, batch_sizes, row, send, send_all, send_in_order, serve, x};

/// Sends a request, and does not wait for its answer.
fn send_and_leave(server: &Server, x: f32) -> Raw {
    let body = json_body(&row(&[x])).to_string();
    let mut raw = Raw::connect(server.address());
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", infer_path("m"), body.len());
    assert!(raw.write(head + &body));
    thread::sleep(COME);
    raw
}

#[test]
fn one_that_traps_fails_alone() {
    let (_directory, server) = serve("traps-below-zero", "max_batch_size = 4\nmax_batch_delay_ms = 20000");
    let replies = send_all(server.address(), [x(1.0), x(2.0), x(-1.0), x(3.0)]);
    for (reply, wanted) in replies.iter().zip([1.0, 2.0, -1.0, 3.0]) {
        if wanted < 0.0 {
            assert_eq!(reply.status, 500);
            assert_says(&reply.error(), &["trapped"]);
        } else {
            assert_eq!(outputs(reply)[0].as_fp32(), [wanted]);
        }
    }
    let statistics = server.statistics("m");
    assert_eq!(batch_sizes(&statistics), [1, 1, 1]);
    assert_eq!((&statistics["execution_count"], &statistics["limits"]["trap"]), (&json!(3), &json!(1)));
    server.logs(&["a batch failed", "requests=4"]);
    let metrics = server.get("/metrics").expect(200);
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert_says(&metrics, &["samara_batch_failures_total{model=\"m\",version=\"1\"} 1"]);
    // And the next batch is none the worse for it.
    let replies = send_all(server.address(), [x(1.0), x(2.0), x(4.0), x(3.0)]);
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(batch_sizes(&server.statistics("m")), [1, 1, 1, 4]);
}

#[test]
fn one_that_is_no_request_is_no_part_of_a_batch() {
    let (_directory, server) = serve("echoes", "max_batch_size = 4\nmax_batch_delay_ms = 20000");
    for broken in [json!({"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}]}), json!([])] {
        let broken = Request::post_json(&infer_path("m"), &broken);
        let replies = send_all(server.address(), [x(1.0), x(2.0), broken, x(3.0)]);
        assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 200, 400, 200]);
        assert_eq!(outputs(&replies[3])[0].as_fp32(), [3.0]);
    }
    let statistics = server.statistics("m");
    assert_eq!(batch_sizes(&statistics), [3, 3]);
    assert_eq!(statistics["inference_stats"]["fail"]["count"], 2);
    assert!(!server.log().contains("a batch failed"), "{}", server.log());
}

/// The guest always gives three rows: of two items, they belong to nobody, and each is run by itself.
#[test]
fn a_model_whose_first_dimension_is_no_batch_answers_all_the_same() {
    let (_directory, server) = serve("remembers", "max_batch_size = 2\nmax_batch_delay_ms = 20000");
    for reply in send_all(server.address(), [x(1.0), x(1.0)]) {
        assert_eq!(outputs(&reply)[0].as_fp32(), [0.0, 0.0, 0.0]);
    }
    assert_eq!(batch_sizes(&server.statistics("m")), [1, 1]);
    server.logs(&["a batch failed", "[3] for 2 items"]);
}

/// Its client is told when the time is over, and the batch goes on for the other.
#[test]
fn the_deadline_of_one_is_not_that_of_the_others() {
    let (_directory, server) =
        serve("takes-long", "max_batch_size = 2\nmax_batch_delay_ms = 20000\ndeadline_ms = 60000");
    let patient = send(server.address(), x(3000.0));
    thread::sleep(COME);
    let hurried = send(server.address(), x(1.0).header("grpc-timeout", "500m"));
    let (reply, taken) = hurried.join().unwrap();
    assert_eq!(reply.status, 504, "{:?}", reply.body);
    assert_says(&reply.error(), &["deadline of 500 ms"]);
    assert!(taken >= Duration::from_millis(500) && taken < Duration::from_millis(1500), "{taken:?}");
    assert!(!patient.is_finished(), "the batch took less than half a second");
    let (reply, _) = patient.join().unwrap();
    assert_eq!(outputs(&reply)[0].as_fp32(), [3000.0]);
    let statistics = server.statistics("m");
    assert_eq!(batch_sizes(&statistics), [2]);
    assert_eq!(
        (&statistics["limits"]["deadline"], &statistics["inference_stats"]["fail"]["count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(statistics["inference_stats"]["success"]["count"], 1);
}

/// The guest would run for a minute and more.
#[test]
fn a_batch_is_stopped_when_all_deadlines_have_passed() {
    let (_directory, server) = serve("takes-long", "max_batch_size = 2\nmax_batch_delay_ms = 20000\ndeadline_ms = 700");
    let start = Instant::now();
    let replies = send_all(server.address(), [x(1e6), x(1e6).header("grpc-timeout", "400m")]);
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [504, 504]);
    assert_says(&replies[0].error(), &["deadline of 700 ms"]);
    assert_says(&replies[1].error(), &["deadline of 400 ms"]);
    server.send(&x(1.0)).expect(200);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(server.limits("m")["deadline"], 2);
    assert!(!server.log().contains("a batch failed"), "{}", server.log());
}

#[test]
fn a_client_that_vanishes_leaves_a_batch_that_has_not_begun() {
    let (_directory, server) = serve("echoes", "max_batch_size = 3\nmax_batch_delay_ms = 20000");
    let first = send_in_order(server.address(), [x(1.0)]);
    drop(send_and_leave(&server, 2.0));
    let others = send_in_order(server.address(), [x(3.0), x(4.0)]);
    let replies = first.into_iter().chain(others).map(|reply| reply.join().unwrap().0);
    assert_eq!(replies.map(|reply| outputs(&reply)[0].as_fp32()[0]).collect::<Vec<_>>(), [1.0, 3.0, 4.0]);
    assert_eq!(batch_sizes(&server.statistics("m")), [3]);
}

#[test]
fn a_batch_goes_on_without_a_client_that_vanishes_and_stops_without_any() {
    let (_directory, server) =
        serve("takes-long", "max_batch_size = 2\nmax_batch_delay_ms = 20000\ndeadline_ms = 60000");
    let vanishing = send_and_leave(&server, 3000.0);
    let staying = send(server.address(), x(2.0));
    thread::sleep(COME);
    drop(vanishing);
    assert_eq!(outputs(&staying.join().unwrap().0)[0].as_fp32(), [2.0]);
    let clients = [send_and_leave(&server, 1e6), send_and_leave(&server, 1e6)];
    let start = Instant::now();
    drop(clients);
    let replies = send_all(server.address(), [x(1.0), x(1.0)]);
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(server.limits("m")["deadline"], 0);
}
