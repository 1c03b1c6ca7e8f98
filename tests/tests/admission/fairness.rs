//! Turns: a hot model takes what others leave, and no more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use samara_tests::http::Client;
use samara_tests::tensor::json_request;

use super::{input, serve};

/// Many clients want one model, and one client another. By turns, that one has about half of the worker's time; in the order
/// of arrival it would have a ninth.
#[test]
fn a_hot_model_does_not_starve_a_quiet_one() {
    let counts = share("workers = 1\n");
    let share = counts.1 as f64 / (counts.0 + counts.1) as f64;
    assert!(share > 0.3, "{counts:?}: {share}");
}

#[test]
fn a_weight_is_a_share() {
    let counts = share("workers = 1\n[model.slow]\nweight = 8\n");
    let share = counts.1 as f64 / (counts.0 + counts.1) as f64;
    assert!(share < 0.25, "{counts:?}: {share}");
}

/// How often `slow`, which eight clients want, and `other`, which two want, have answered.
fn share(file: &str) -> (usize, usize) {
    let (_directory, server) = serve(file);
    let (address, stop) = (server.address(), AtomicBool::new(false));
    let stop = &stop;
    thread::scope(|scope| {
        let client = |model: &'static str| {
            scope.spawn(move || {
                let mut client = Client::http1(address);
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.send(&json_request(model, &input(10.0))).expect(200);
                    count += 1;
                }
                count
            })
        };
        let hot: Vec<_> = (0..8).map(|_| client("slow")).collect();
        let quiet: Vec<_> = (0..2).map(|_| client("other")).collect();
        thread::sleep(Duration::from_secs(3));
        stop.store(true, Ordering::Relaxed);
        let sum = |clients: Vec<thread::ScopedJoinHandle<'_, usize>>| {
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        };
        (sum(hot), sum(quiet))
    })
}
