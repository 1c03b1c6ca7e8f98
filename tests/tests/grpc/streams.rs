//! `ModelStreamInfer`: requests that come one after another.

use samara_grpc::inference::ModelInferRequest;
use samara_tests::grpc::{outputs, raw};
use samara_tests::samara::assert_says;
use tonic::Code;

use super::{input, serve};

#[test]
fn replies_come_in_the_order_of_requests_and_what_is_wrong_with_one_is_no_concern_of_the_next() {
    let (_directory, server) = serve(&[]);
    let request = |id: &str, model: &str, x| ModelInferRequest { id: id.to_owned(), ..raw(model, &input(x)) };
    let requests = vec![request("a", "good", 1.0), request("b", "nobody", 2.0), request("c", "good", 3.0)];
    let (replies, end) = server.grpc().stream(requests);
    end.unwrap();
    let ids: Vec<_> = replies.iter().map(|reply| &*reply.infer_response.as_ref().unwrap().id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_says(&replies[1].error_message, &["unknown model \"nobody\""]);
    for (index, x) in [(0, 1.0), (2, 3.0)] {
        assert_eq!(replies[index].error_message, "");
        assert_eq!(outputs(replies[index].infer_response.as_ref().unwrap())[0].as_fp32(), [x]);
    }
    assert_eq!(server.statistics("good")["inference_stats"]["success"]["count"], 2);
}

#[test]
fn a_stream_of_nothing_ends() {
    let (_directory, server) = serve(&[]);
    let (replies, end) = server.grpc().stream(Vec::new());
    end.unwrap();
    assert!(replies.is_empty());
}

/// The time that a message may take begins with it.
#[test]
fn a_stream_may_wait_between_messages() {
    let (_directory, server) = serve(&["--body-timeout-ms 500"]);
    let requests = vec![raw("good", &input(1.0)), raw("good", &input(2.0))];
    let (replies, end) = server.grpc().stream_slowly(requests, std::time::Duration::from_millis(1500));
    end.unwrap();
    assert_eq!(replies.len(), 2);
    assert_eq!(server.server_limits()["body_timeout"], 0);
}

#[test]
fn a_message_over_the_limit_ends_its_stream() {
    let (_directory, server) = serve(&["--max-body-mib 1"]);
    let large = raw("good", &[samara_tests::tensor::Tensor::fp32("x", &[1 << 19], &vec![1.0; 1 << 19])]);
    let (replies, end) = server.grpc().stream(vec![raw("good", &input(1.0)), large]);
    assert_eq!(replies.len(), 1);
    assert_eq!(end.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(server.server_limits()["body_bytes"], 1);
}
