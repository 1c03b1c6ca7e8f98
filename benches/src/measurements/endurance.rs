//! Whether 10,000 requests leave anything behind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde_json::json;

use crate::http::{Connection, Request};
use crate::process::{descriptors, resident_bytes};
use crate::report::Row;
use crate::samara::Samara;
use crate::tensor::{Form, infer_request};
use crate::zoo::Card;

const MODELS: [&str; 3] = ["anomaly-autoencoder", "fashion-cnn", "breast-random-forest"];
const CONNECTIONS: usize = 8;
const FIRST: usize = 1_000;
const ALL: usize = 10_000;
const MAX_GROWTH: f64 = 0.02;

/// After so many requests, a client opens its connection anew.
const REQUESTS_PER_CONNECTION: usize = 50;

/// How long the server may take to notice that connections are closed.
const SETTLE: Duration = Duration::from_millis(500);

/// Looks at the server's process before, during and after.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let (mut components, mut requests): (Vec<PathBuf>, Vec<Request>) = (Vec::new(), Vec::new());
    for name in MODELS {
        let card = Card::read(name)?;
        components.push(samara.component(&card.build)?);
        for form in [Form::Json, Form::Binary] {
            requests.push(infer_request(name, &card.first()?.inputs, form)?);
        }
    }
    let server = samara.serve(&components)?;
    let (address, process) = (server.address(), server.process());
    // The first connections and inferences open what stays open.
    send(address, &requests, CONNECTIONS * requests.len())?;
    let descriptors_before = settled_descriptors(process)?;
    send(address, &requests, FIRST)?;
    let resident_before = resident_bytes(process)?;
    send(address, &requests, ALL - FIRST)?;
    let resident_after = resident_bytes(process)?;
    let descriptors_after = settled_descriptors(process)?;

    let growth = resident_after as f64 / resident_before as f64 - 1.0;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        Row::new(
            format!(
                "resident memory of `serve` after 10,000 requests to {} models, {CONNECTIONS} connections",
                MODELS.len()
            ),
            format!("{:.1} MiB, {:+.2} %", mib(resident_after), growth * 100.0),
        )
        .compared_with(format!("{:.1} MiB after the first 1,000", mib(resident_before)))
        .bar("within 2 %", growth.abs() <= MAX_GROWTH)
        .details(json!({"before": resident_before, "after": resident_after, "growth": growth})),
        Row::new("file descriptors of `serve` after 10,000 requests", descriptors_after.to_string())
            .compared_with(format!("{descriptors_before} before"))
            .bar("none leaked", descriptors_after <= descriptors_before)
            .details(json!({"before": descriptors_before, "after": descriptors_after})),
    ])
}

/// Sends so many requests in all, from as many threads as there are connections; each must be answered with 200.
fn send(address: SocketAddr, requests: &[Request], count: usize) -> Result<()> {
    let each = count / CONNECTIONS;
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CONNECTIONS).map(|client| scope.spawn(move || send_from(address, requests, client, each))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

fn send_from(address: SocketAddr, requests: &[Request], client: usize, count: usize) -> Result<()> {
    let mut connection = Connection::open(address)?;
    for number in 0..count {
        if number > 0 && number % REQUESTS_PER_CONNECTION == 0 {
            connection = Connection::open(address)?;
        }
        let reply = connection.send(&requests[(client + number) % requests.len()])?;
        ensure!(reply.status == 200, "status {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    }
    Ok(())
}

/// The descriptors of a server whose connections are all closed.
fn settled_descriptors(process: u32) -> Result<usize> {
    thread::sleep(SETTLE);
    descriptors(process)
}
