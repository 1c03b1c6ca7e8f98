//! How long a request waits for others.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use samara_tests::http::Request;
use samara_tests::tensor::infer_path;
use samara_tests::tensor::{json_body, outputs};
use serde_json::json;

use super::{COME, batch_sizes, row, send, send_all, send_in_order, serve, x};

#[test]
fn a_batch_that_does_not_fill_goes_when_its_oldest_has_waited_for_the_delay() {
    let (_directory, server) = serve("echoes", "max_batch_size = 16\nmax_batch_delay_ms = 1000");
    let sent = send_in_order(server.address(), [x(1.0), x(2.0), x(3.0)]);
    let taken: Vec<Duration> = sent.into_iter().map(|reply| reply.join().unwrap().1).collect();
    assert!(taken[0] >= Duration::from_millis(1000) && taken[0] < Duration::from_secs(5), "{taken:?}");
    assert!(taken[2] < Duration::from_millis(900), "it came 400 ms later, and waited as long as the first: {taken:?}");
    assert_eq!(batch_sizes(&server.statistics("m")), [3]);
}

/// Those run together that wait for a worker anyway.
#[test]
fn without_a_delay_nobody_waits_for_others() {
    let (_directory, server) = serve("takes-long", "max_batch_size = 16");
    let start = Instant::now();
    server.send(&x(0.0)).expect(200);
    assert!(start.elapsed() < Duration::from_millis(900));
    let busy = send(server.address(), x(2000.0));
    thread::sleep(COME);
    let replies = send_all(server.address(), (0..5).map(|client| x(client as f32 / 8.0)));
    for (client, reply) in replies.iter().enumerate() {
        assert_eq!(outputs(reply)[0].as_fp32(), [client as f32 / 8.0]);
    }
    assert_eq!(busy.join().unwrap().0.status, 200);
    assert_eq!(batch_sizes(&server.statistics("m")), [1, 1, 5]);
}

#[test]
fn who_has_less_time_than_the_delay_is_answered_in_time() {
    let (_directory, server) = serve("echoes", "max_batch_size = 16\nmax_batch_delay_ms = 60000");
    let timeout = json!({"timeout": 2_000_000});
    let mut body = json_body(&row(&[1.0]));
    body["parameters"] = timeout;
    for request in [x(1.0).header("grpc-timeout", "2S"), Request::post_json(&infer_path("m"), &body)] {
        let start = Instant::now();
        server.send(&request).expect(200);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    let (_directory, server) =
        serve("echoes", "max_batch_size = 16\nmax_batch_delay_ms = 60000\nqueue_deadline_ms = 1000");
    server.send(&x(1.0)).expect(200);
    assert_eq!(server.limits("m")["queue_deadline"], 0);
}

/// The coding hides how long it may take, so that nobody could tell its client in time.
#[test]
fn a_deadline_that_only_the_body_tells_is_kept_to() {
    use std::io::Write;

    let (_directory, server) = serve("takes-long", "max_batch_size = 2\nmax_batch_delay_ms = 300\ndeadline_ms = 60000");
    let mut body = json_body(&row(&[1e6]));
    body["parameters"] = json!({"timeout": 1_000_000});
    let request = Request::post_json(&infer_path("m"), &body).coded("gzip", |body| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    });
    let (hidden, other) = (send(server.address(), request), send(server.address(), x(1.0)));
    let (reply, taken) = hidden.join().unwrap();
    assert_eq!(reply.status, 504, "{:?}", reply.body);
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    assert_eq!(other.join().unwrap().0.status, 200);
    assert_eq!(batch_sizes(&server.statistics("m")), [1]);
}

#[test]
fn a_server_that_stops_has_nobody_wait_for_others() {
    let (_directory, mut server) =
        serve("echoes", "max_batch_size = 16\nmax_batch_delay_ms = 60000\ndeadline_ms = 200000");
    let sent = send_in_order(server.address(), [x(1.0), x(2.0)]);
    let start = Instant::now();
    server.signal(Signal::TERM);
    for reply in sent {
        assert_eq!(reply.join().unwrap().0.status, 200);
    }
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
