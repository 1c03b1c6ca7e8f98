//! Queues: bounded by themselves, and by how long one may wait.

use std::thread;
use std::time::{Duration, Instant};

use samara_tests::samara::assert_says;
use samara_tests::tensor::json_request;

use super::{ask, input, serve};

/// A pause in which a request that was sent has come.
const COME: Duration = Duration::from_millis(300);

#[test]
fn each_model_has_a_queue_of_its_own() {
    let (_directory, server) = serve("workers = 1\ndeadline_ms = 4000\n[model.slow]\nqueue = 1\n");
    let running = ask(server.address(), "bad", 0.0);
    thread::sleep(COME);
    let waiting = ask(server.address(), "slow", 0.0);
    thread::sleep(COME);
    let reply = server.infer("slow", &input(0.0)).expect(503);
    assert_says(&reply.error(), &["overloaded", "1 requests are waiting"]);
    assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(server.limits("slow")["queue"], 1);
    let good = ask(server.address(), "good", 1.0);
    assert_eq!(running.join().unwrap().0.status, 504);
    for reply in [waiting, good] {
        let reply = reply.join().unwrap().0;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
    }
}

/// The node's queue is full of one model's requests: another's are taken in nevertheless.
#[test]
fn a_model_that_fills_the_queue_gives_way_to_one_that_does_not() {
    let (_directory, server) = serve("workers = 1\nqueue = 4\ndeadline_ms = 5000\n");
    let running = ask(server.address(), "bad", 0.0);
    thread::sleep(COME);
    let hot: Vec<_> = (0..4).map(|_| ask(server.address(), "slow", 0.0)).collect();
    thread::sleep(COME);
    let good = ask(server.address(), "good", 1.0);
    thread::sleep(COME);
    // It has fewer waiting.
    assert_eq!(server.limits("slow")["queue"], 1);
    assert_eq!(good.join().unwrap().0.status, 200);
    let mut statuses: Vec<_> = hot.into_iter().map(|reply| reply.join().unwrap().0).collect();
    statuses.sort_by_key(|reply| reply.status);
    assert_eq!(statuses.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 200, 200, 503]);
    assert_says(&statuses[3].error(), &["others have their turn"]);
    assert!(statuses[3].header("retry-after").is_some());
    assert_eq!(running.join().unwrap().0.status, 504);
}

#[test]
fn who_has_waited_for_too_long_is_told_at_that_time() {
    let (_directory, server) = serve("workers = 1\ndeadline_ms = 5000\n[model.good]\nqueue_deadline_ms = 700\n");
    let running = ask(server.address(), "bad", 0.0);
    thread::sleep(COME);
    let (reply, taken) = ask(server.address(), "good", 1.0).join().unwrap();
    assert_eq!(reply.status, 503);
    assert_says(&reply.error(), &["700 ms"]);
    assert!(reply.header("retry-after").is_some());
    assert!(taken >= Duration::from_millis(700) && taken < Duration::from_millis(2500), "{taken:?}");
    assert_eq!(server.limits("good")["queue_deadline"], 1);
    assert_eq!(running.join().unwrap().0.status, 504);
}

/// By what requests have taken, it can be told when one comes that it would wait for too long.
#[test]
fn who_would_wait_for_too_long_is_told_at_once_and_when_to_come_again() {
    let (_directory, server) = serve("workers = 1\n[model.bad]\nqueue_deadline_ms = 100\n");
    // It is known to take two seconds from then on.
    server.send(&json_request("bad", &input(0.0)).header("grpc-timeout", "2S")).expect(504);
    let running = server.client();
    let running = thread::spawn(move || {
        let mut client = running;
        client.send(&json_request("bad", &input(0.0)).header("grpc-timeout", "3S"))
    });
    thread::sleep(COME);
    let start = Instant::now();
    let reply = server.infer("bad", &input(0.0)).expect(503);
    assert!(start.elapsed() < Duration::from_millis(90), "{:?}", start.elapsed());
    assert_says(&reply.error(), &["overloaded", "100 ms"]);
    let retry_after = reply.header("retry-after").unwrap();
    assert!(["1", "2"].contains(&retry_after), "{retry_after}");
    assert_eq!(server.limits("bad")["queue_deadline"], 1);
    assert_eq!(running.join().unwrap().status, 504);
}

/// Functions take part as models do.
#[test]
fn a_function_waits_and_is_refused_as_a_model_is() {
    use samara_tests::guests;
    use samara_tests::http::{Client, Request};
    use samara_tests::server::Serve;

    let directory = tempfile::tempdir().unwrap();
    guests::write_handler(directory.path(), "loops");
    let file = directory.path().join("samara.toml");
    let text = "[node]\nworkers = 1\ndeadline_ms = 3000\n[[function]]\ncomponent = \"loops.wasm\"\nqueue = 1\n";
    std::fs::write(&file, text).unwrap();
    let server = Serve::new::<&str>([]).option(&format!("--config {}", file.display())).start();
    let address = server.address();
    let call = || thread::spawn(move || Client::http1(address).send(&Request::get("/loops")));
    let running = call();
    thread::sleep(COME);
    let waiting = call();
    thread::sleep(COME);
    let reply = server.send(&Request::get("/loops")).expect(503);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert!(reply.header("retry-after").is_some());
    let none = server.send(&Request::get("/loops").header("grpc-timeout", "0m")).expect(504);
    assert_says(&String::from_utf8_lossy(&none.body), &["deadline of 0 ms"]);
    server.send(&Request::get("/loops").header("grpc-timeout", "soon")).expect(400);
    assert_eq!(running.join().unwrap().status, 504);
    assert_eq!(waiting.join().unwrap().status, 504);
}
