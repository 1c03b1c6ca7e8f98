//! `--header-timeout-ms` and `--body-timeout-ms`: how long a client may take to say what it wants.

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::Request;
use samara_tests::raw::Raw;
use samara_tests::samara::assert_says;
use samara_tests::server::{Serve, Server};
use tempfile::{TempDir, tempdir};

use super::assert_good;

/// How late a time-out may be on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

const BODY: &str = "POST /v2/models/good/infer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    content-length: 1000\r\n\r\n";

fn serve() -> (TempDir, Server) {
    let directory = tempdir().unwrap();
    guests::write(directory.path(), "echoes", "good");
    let server =
        Serve::new([directory.path()]).option("--header-timeout-ms 700").option("--body-timeout-ms 700").start();
    (directory, server)
}

/// Writes a byte from time to time, for as long as the server bears it.
fn dribble(mut writer: Raw, byte: u8) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < 2 * PATIENCE && writer.write([byte]) {
            thread::sleep(Duration::from_millis(50));
        }
    })
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let (_directory, server) = serve();
    let mut raw = Raw::connect(server.address());
    raw.write(BODY);
    raw.write("{\"inputs\":");
    let start = Instant::now();
    let (status, _, body) = raw.reply().expect("a reply");
    assert_eq!(status, 408, "{body}");
    assert_says(&body, &["\"error\"", "700 ms"]);
    raw.wait_until_closed();
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(server.server_limits()["body_timeout"], 1);
    assert_good(&server);
}

/// The time is for all of it: a byte now and then buys no more.
#[test]
fn a_body_that_comes_drop_by_drop_is_given_up() {
    let (_directory, server) = serve();
    let mut raw = Raw::connect(server.address());
    raw.write(BODY);
    let start = Instant::now();
    let writer = dribble(raw.again(), b' ');
    let reply = raw.reply();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(reply.is_none_or(|(status, ..)| status == 408));
    drop(raw);
    assert_eq!(server.server_limits()["body_timeout"], 1);
    assert_good(&server);
    drop(server);
    writer.join().unwrap();
}

#[test]
fn a_head_that_comes_drop_by_drop_is_given_up() {
    let (_directory, server) = serve();
    let mut raw = Raw::connect(server.address());
    raw.write("GET /v2 HTTP/1.1\r\nhost: x\r\nx-slow: ");
    let start = Instant::now();
    let writer = dribble(raw.again(), b'x');
    let reply = raw.reply();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(reply.is_none_or(|(status, ..)| status == 408));
    drop(raw);
    assert_eq!(server.server_limits()["header_timeout"], 1);
    assert_good(&server);
    drop(server);
    writer.join().unwrap();
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let (_directory, server) = serve();
    let mut raw = Raw::connect(server.address());
    let start = Instant::now();
    raw.wait_until_closed();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_good(&server);
}

/// A client that keeps its connection for later is not slow: it has said all that it began to say.
#[test]
fn a_connection_that_is_kept_is_not_counted_as_slow() {
    let (_directory, server) = serve();
    let mut client = server.client();
    assert_eq!(client.send(&Request::get("/v2/health/live")).status, 200);
    thread::sleep(Duration::from_secs(2));
    // Whether it was closed in the meantime or not.
    assert_eq!(client.send(&Request::get("/v2/health/live")).status, 200);
    assert_eq!(server.server_limits()["header_timeout"], 0);
}

/// Many of them together keep nobody from being served.
#[test]
fn slow_clients_do_not_hold_up_the_others() {
    let (_directory, server) = serve();
    let open = || {
        let mut raw = Raw::connect(server.address());
        raw.write(BODY);
        raw
    };
    let slow: Vec<Raw> = (0..200).map(|_| open()).collect();
    for _ in 0..20 {
        assert_good(&server);
    }
    for mut raw in slow {
        assert!(raw.reply().is_none_or(|(status, ..)| status == 408));
    }
    // On a busy machine, not every head is read in time.
    let counters = server.server_limits();
    let count = |name: &str| counters[name].as_u64().unwrap();
    assert_eq!(count("body_timeout") + count("header_timeout"), 200, "{counters}");
    assert!(count("body_timeout") > 0, "{counters}");
}

/// A client that goes away in the middle is not an error that anybody has to hear of.
#[test]
fn a_client_that_goes_away_does_no_harm() {
    let (_directory, server) = serve();
    for _ in 0..50 {
        let mut raw = Raw::connect(server.address());
        raw.write(BODY);
        raw.write("{\"inp");
    }
    assert_good(&server);
    assert_eq!(server.limits("good")["trap"], 0);
}
