//! From the start of the process to the first answer.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::http::{Connection, Request};
use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::{median, milliseconds, show};
use crate::tensor::{Form, infer_request, outputs_of};
use crate::zoo::Card;

const ROUNDS: usize = 11;
const WARM_REQUESTS: usize = 15;
const MAX_OVERHEAD: Duration = Duration::from_millis(25);

/// How often it is tried to connect.
const RETRY: Duration = Duration::from_micros(100);

/// How long a server may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the server again and again, with a client that has waited since before.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let card = Card::read("efficientnet-lite0")?;
    let components = [samara.component(&card.build)?];
    let vector = card.first()?;
    let request = infer_request(&card.build.name, &vector.inputs, Form::Binary)?;

    // The first start notes the file's hash, and brings everything into the page cache.
    let server = samara.serve(&components)?;
    let answer = outputs_of(&Connection::open(server.address())?.send(&request)?)?;
    ensure!(answer.len() == vector.expected.len(), "{} outputs", answer.len());
    drop(server);

    let (mut firsts, mut warms) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (first, warm) = start(samara, &components, &request)?;
        firsts.push(first);
        warms.push(warm);
    }
    let (first, warm) = (median(&firsts), median(&warms));
    let overhead = first.saturating_sub(warm);
    let list = |times: &[Duration]| times.iter().map(|&time| milliseconds(time)).collect::<Vec<_>>();
    Ok(vec![
        Row::new(
            format!("process start to first HTTP answer, EfficientNet-Lite0, median of {ROUNDS}"),
            format!("{}: {} above warm", show(first), show(overhead)),
        )
        .compared_with(format!("{}, its warm latency over HTTP", show(warm)))
        .bar("≤ warm + 25 ms", overhead <= MAX_OVERHEAD)
        .details(json!({"first_ms": list(&firsts), "warm_ms": list(&warms), "overhead_ms": milliseconds(overhead)})),
    ])
}

/// Starts a server; returns when its first answer was there, and the median latency of those after it.
fn start(samara: &Samara, components: &[PathBuf], request: &Request) -> Result<(Duration, Duration)> {
    let address = free_address()?;
    let begin = Instant::now();
    let mut server = samara.serve_on(components, address)?;
    let mut connection = loop {
        match Connection::open(address) {
            Ok(connection) => break connection,
            Err(_) if server.has_ended() => bail!("the server ended at once; see target/bench/serve.log"),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error),
            Err(_) => thread::sleep(RETRY),
        }
    };
    let reply = connection.send(request)?;
    let first = begin.elapsed();
    outputs_of(&reply)?;
    let mut warm = Vec::new();
    for _ in 0..WARM_REQUESTS {
        let (reply, time) = connection.time(request)?;
        ensure!(reply.status == 200, "status {}", reply.status);
        warm.push(time);
    }
    Ok((first, median(&warm)))
}

/// An address that nobody listens on at the moment.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
