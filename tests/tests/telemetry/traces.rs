//! Traces, as a collector gets them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use prost::Message;
use samara_grpc::inference::ModelInferResponse;
use samara_tests::http::Request;
use samara_tests::samara::assert_says;
use samara_tests::server::Serve;
use samara_tests::tensor::json_request;
use samara_tests::{grpc, guests};
use tempfile::tempdir;

use super::input;

/// `ExportTraceServiceRequest`, as far as it is looked at.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
}

/// A collector, and the spans that it gets.
fn collector() -> (SocketAddr, Receiver<Vec<Span>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, receive) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let send = send.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
                    let head = head.to_ascii_lowercase();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    let mut body = vec![0; length.parse().unwrap()];
                    reader.read_exact(&mut body).unwrap();
                    let export = Export::decode(&*body).unwrap();
                    let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
                    let _ = send.send(scopes.flat_map(|scope| scope.spans).collect());
                    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                }
            });
        }
    });
    (address, receive)
}

fn serve(endpoint: &str) -> (tempfile::TempDir, Serve) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let serve = Serve::new([directory.path()]).option(&format!("--otlp-endpoint {endpoint}"));
    (directory, serve)
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_has_a_span_within_its_clients_trace_and_one_for_each_stage() {
    let (address, spans) = collector();
    let (_directory, serve) = serve(&format!("http://{address}"));
    let server = serve.start();
    let request = json_request("good", &input(1.0)).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    server.send(&request).expect(200);
    // What is left is sent when the server stops.
    thread::sleep(Duration::from_millis(300));
    server.stop();
    let mut spans: Vec<Span> = spans.try_iter().flatten().collect();
    spans.sort_by_key(|span| span.start);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
    let root = spans.iter().find(|span| hex(&span.parent_span_id) == PARENT).unwrap();
    assert_eq!(root.name, "POST /v2/models/good/infer");
    let stages: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == root.span_id).collect();
    let names: Vec<&str> = stages.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["queue", "parse", "instantiate", "infer", "encode", "reset"]);
    for pair in stages.windows(2) {
        assert!(pair[0].end <= pair[1].start && pair[0].start <= pair[0].end, "{stages:?}");
    }
    assert!(root.start <= stages[0].start);
    assert_eq!(spans.len(), 7);
}

/// Its name is what OpenTelemetry wants it to be, and its stages are those of any other.
#[test]
fn a_request_over_grpc_has_the_same_spans() {
    let (address, spans) = collector();
    let (_directory, serve) = serve(&format!("http://{address}"));
    let server = serve.grpc().start();
    let mut request = tonic::Request::new(grpc::raw("good", &input(1.0)));
    request.metadata_mut().insert("traceparent", format!("00-{TRACE}-{PARENT}-01").parse().unwrap());
    server.grpc().call_with::<_, ModelInferResponse>(grpc::INFER, request).unwrap();
    thread::sleep(Duration::from_millis(300));
    server.stop();
    let spans: Vec<Span> = spans.try_iter().flatten().collect();
    let root = spans.iter().find(|span| hex(&span.parent_span_id) == PARENT).unwrap();
    assert_eq!((&*root.name, &*hex(&root.trace_id)), (&grpc::INFER[1..], TRACE));
    assert_eq!(spans.iter().filter(|span| span.parent_span_id == root.span_id).count(), 6);
}

/// Whether a request that comes within a trace is traced is not for this node to say.
#[test]
fn a_client_that_does_not_trace_is_not_traced() {
    let (address, spans) = collector();
    let (_directory, serve) = serve(&format!("http://{address}"));
    let server = serve.start();
    let request = json_request("good", &input(1.0)).header("traceparent", &format!("00-{TRACE}-{PARENT}-00"));
    server.send(&request).expect(200);
    server.stop();
    assert_eq!(spans.try_iter().flatten().count(), 0);
}

#[test]
fn some_of_the_requests_are_traced_where_that_is_asked_for() {
    let (address, spans) = collector();
    let (_directory, serve) = serve(&format!("http://{address}"));
    let server = serve.option("--trace-ratio 0").start();
    server.send(&json_request("good", &input(1.0))).expect(200);
    server.stop();
    assert_eq!(spans.try_iter().flatten().count(), 0);
}

/// Nothing depends on the collector.
#[test]
fn requests_are_answered_while_no_collector_is_there() {
    let (_directory, serve) = serve("http://127.0.0.1:9");
    let server = serve.start();
    for _ in 0..20 {
        server.send(&json_request("good", &input(1.0))).expect(200);
    }
    server.send(&Request::get("/v2/health/ready")).expect(200);
    server.stop();
}

#[test]
fn an_endpoint_that_is_no_url_is_refused() {
    let (_directory, serve) = serve("localhost:4318");
    assert_says(&serve.fails(), &["localhost:4318", "http://"]);
}
