//! A model that nobody asks for, and the one who asks for it then.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::http::Connection;
use crate::process::resident_bytes;
use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::{median, show};
use crate::tensor::{Form, infer_request};
use crate::zoo::Card;

const MODEL: &str = "efficientnet-lite0";
/// Another one, which is asked before.
const SMALL: &str = "anomaly-autoencoder";
const TTL: Duration = Duration::from_millis(500);
/// How long after its last request a model is surely unmapped.
const IDLE: Duration = Duration::from_millis(2000);
/// How often it is left alone.
const ROUNDS: usize = 7;
const WARM: usize = 20;
const LEFT_MIB: f64 = 3.0;
const WAKE: Duration = Duration::from_millis(10);

/// Lets it fall asleep again and again, and looks at the process, and at the first request after.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let (card, small) = (Card::read(MODEL)?, Card::read(SMALL)?);
    let components = [samara.component(&card.build)?, samara.component(&small.build)?];
    let server = samara.serve_with(&components, &[format!("--idle-ttl-ms={}", TTL.as_millis())])?;
    let resident = || resident_bytes(server.process());
    let request = infer_request(MODEL, &card.first()?.inputs, Form::Binary)?;
    // A node that has served something: what its own code takes is not the model's.
    let reply =
        Connection::open(server.address())?.send(&infer_request(SMALL, &small.first()?.inputs, Form::Binary)?)?;
    ensure!(reply.status == 200, "status {}", reply.status);
    thread::sleep(IDLE);
    let before = resident()?;
    let (mut first, mut warm, mut while_warm, mut after) = (Vec::new(), Vec::new(), 0, Vec::new());
    for round in 0..=ROUNDS {
        let mut connection = Connection::open(server.address())?;
        for number in 0..WARM {
            let (reply, time) = connection.time(&request)?;
            ensure!(reply.status == 200, "status {}", reply.status);
            match (round, number) {
                // The very first finds the file not in the kernel's cache.
                (0, _) => {}
                (_, 0) => first.push(time),
                _ => warm.push(time),
            }
        }
        while_warm = resident()?;
        drop(connection);
        thread::sleep(IDLE);
        after.push(resident()?);
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let last = after.last().copied().unwrap_or(before);
    let left = mib(last) - mib(before);
    let wake = median(&first).saturating_sub(median(&warm));
    Ok(vec![
        Row::new(
            format!("{MODEL}, idle for longer than its ttl: resident memory of the process"),
            format!("{:.1} MiB, {left:+.1} MiB", mib(last)),
        )
        .compared_with(format!(
            "{:.1} MiB before it was first mapped, {:.1} MiB while it is",
            mib(before),
            mib(while_warm)
        ))
        .bar("within 3 MB of before", left * 1.048_576 <= LEFT_MIB)
        .details(json!({"before": before, "warm": while_warm, "after": after})),
        Row::new("… its next request", format!("{}, {} more", show(median(&first)), show(wake)))
            .compared_with(format!("{} for a warm one", show(median(&warm))))
            .bar("≤ 10 ms more", wake <= WAKE)
            .details(json!(first.iter().map(Duration::as_micros).map(|us| us as u64).collect::<Vec<_>>())),
    ])
}
