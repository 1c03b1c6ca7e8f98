//! Components whose answers are no answers.

use samara_tests::guests;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{self, Tensor, outputs};
use tempfile::tempdir;

/// A server for one component that misbehaves and one that does not.
fn serve(fixture: &str) -> (tempfile::TempDir, Server) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), fixture, "bad");
    guests::write(directory.path(), "echoes", "good");
    let server = Serve::new([directory.path()]).start();
    (directory, server)
}

fn input() -> [Tensor; 1] {
    [Tensor::fp32("x", &[2], &[1.0, 2.0])]
}

/// The server answers that the model failed, whatever form was asked for, and goes on.
#[track_caller]
fn assert_fails(fixture: &str, texts: &[&str]) {
    let (_directory, server) = serve(fixture);
    for request in [tensor::json_request("bad", &input()), tensor::binary_request("bad", &input())] {
        let reply = server.send(&request);
        assert_eq!(reply.status, 500, "{fixture}: {:?}", reply.body);
        let message = reply.error();
        for text in texts {
            assert!(message.contains(text), "{fixture}: {message}");
        }
    }
    let reply = server.infer("good", &input());
    assert_eq!(outputs(&reply), [Tensor::fp32("y", &[2], &[1.0, 2.0])]);
    assert_eq!(server.statistics("bad")["inference_stats"]["fail"]["count"], 2);
    server.stop();
}

#[test]
fn an_output_of_another_name() {
    assert_fails("names-wrongly", &["`y`"]);
}

#[test]
fn an_output_of_another_datatype() {
    assert_fails("types-wrongly", &["`y`", "FP32", "INT32"]);
}

#[test]
fn an_output_with_less_data_than_its_shape_asks_for() {
    assert_fails("measures-wrongly", &["`y`", "8", "7"]);
}

#[test]
fn an_output_of_another_rank_than_declared() {
    assert_fails("shapes-wrongly", &["`y`"]);
}

#[test]
fn an_output_of_a_shape_that_overflows() {
    assert_fails("overflows", &["`y`"]);
}

#[test]
fn no_output() {
    assert_fails("says-nothing", &["`y`"]);
}

#[test]
fn a_list_outside_the_memory() {
    assert_fails("points-outside", &[]);
}

#[test]
fn a_list_longer_than_the_memory() {
    assert_fails("counts-wrongly", &[]);
}

#[test]
fn a_name_that_is_no_text() {
    assert_fails("babbles", &[]);
}

#[test]
fn a_result_that_is_neither_of_two() {
    assert_fails("invents", &[]);
}

/// Outputs that nobody asked for are no harm, as long as none of them is taken for one that was.
#[test]
fn outputs_that_were_not_declared() {
    let (_directory, server) = serve("says-too-much");
    for request in [tensor::json_request("bad", &input()), tensor::binary_request("bad", &input())] {
        let reply = server.send(&request);
        if reply.status == 200 {
            assert_eq!(outputs(&reply), [Tensor::fp32("y", &[2], &[1.0, 2.0])]);
        } else {
            assert_eq!(reply.status, 500);
            reply.error();
        }
    }
}

/// These are answers: the model says what it does not like, and it is the client's to hear.
#[test]
fn a_refusal_is_passed_on() {
    let (_directory, server) = serve("refuses");
    for x in [0.0, 1.0] {
        let reply = server.infer("bad", &[Tensor::fp32("x", &[1], &[x])]);
        assert_eq!(reply.status, 400);
        assert!(reply.error().contains("x is not to my taste"), "{}", reply.error());
    }
}
