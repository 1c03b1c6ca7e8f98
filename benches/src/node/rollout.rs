//! A new version that comes in while clients send, and requests divided between two versions.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::open_loop::{OpenLoop, finish};
use crate::http::{Connection, Request};
use crate::report::Row;
use crate::samara::{Samara, Server};
use crate::tensor::{Form, infer_request};
use crate::zoo::Card;

const MODEL: &str = "fashion-cnn";
const CONNECTIONS: usize = 8;
/// Requests while the version comes in, and then while they are divided.
const MEANWHILE: usize = 60_000;
const DIVIDED: usize = 10_000;
/// What the first version gets of them, in percent.
const FIRST: u64 = 75;
const POINTS: f64 = 2.0;
/// How long a version may take to come in.
const PATIENCE: Duration = Duration::from_secs(60);

/// Versions in directories of their own, looked for ten times a second.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let card = Card::read(MODEL)?;
    let component = samara.component(&card.build)?;
    let folder = tempfile::tempdir()?;
    let put = |version: &str| -> Result<()> {
        let directory = folder.path().join(MODEL).join(version);
        fs::create_dir_all(&directory)?;
        fs::copy(&component, directory.join("model.wasm"))?;
        Ok(())
    };
    put("1")?;
    let options = ["--repository-poll-ms=100".to_owned(), "--admin-listen=127.0.0.1:0".to_owned()];
    let server = samara.serve_with(&[folder.path().to_owned()], &options)?;
    let request = infer_request(MODEL, &card.first()?.inputs, Form::Binary)?;
    let path = format!("/v2/models/{MODEL}/infer");
    let load = |count| OpenLoop::closed(server.address(), &path, &request, CONNECTIONS, count);
    let running = load(MEANWHILE).start();
    put("2")?;
    let begun = Instant::now();
    while count(&server, "2")? == 0 {
        if begun.elapsed() > PATIENCE {
            bail!("version 2 did not come in");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let (taken, finished) = (begun.elapsed(), running.is_finished());
    let meanwhile = finish(running)?;
    ensure!(!finished, "the load ended before the version came in");

    let call = Request::post(
        &format!("/v2/repository/models/{MODEL}/split"),
        json!({"split": {"1": FIRST, "2": 100 - FIRST}}).to_string().into_bytes(),
        None,
    );
    let reply = Connection::open(server.admin()?)?.send(&call)?;
    ensure!(reply.status == 200, "split: status {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    let before = [count(&server, "1")?, count(&server, "2")?];
    let divided = load(DIVIDED).run()?;
    let after = [count(&server, "1")?, count(&server, "2")?];
    let (first, second) = ((after[0] - before[0]) as f64, (after[1] - before[1]) as f64);
    let share = 100.0 * first / (first + second);
    let failed = meanwhile.other_than(&[200]) + divided.other_than(&[200]);
    Ok(vec![
        Row::new(
            format!("{MODEL}: failed requests while a version comes in, {CONNECTIONS} connections"),
            format!("{failed} of {}", MEANWHILE + DIVIDED),
        )
        .compared_with(format!("the first request to it {:.1} s after its file was there", taken.as_secs_f64()))
        .bar("0", failed == 0)
        .details(json!({"meanwhile": meanwhile, "divided": divided})),
        Row::new(
            format!("{MODEL}: part of {DIVIDED} requests that the first of two versions gets"),
            format!("{share:.2} %"),
        )
        .compared_with(format!("{FIRST} % set"))
        .bar("within 2 points", (share - FIRST as f64).abs() <= POINTS && first + second == DIVIDED as f64)
        .details(json!({"first": first, "second": second})),
    ])
}

/// How many requests a version has answered; none, where it is not there.
fn count(server: &Server, version: &str) -> Result<u64> {
    let request = Request::get(&format!("/v2/models/{MODEL}/versions/{version}/stats"));
    let reply = Connection::open(server.address())?.send(&request)?;
    if reply.status != 200 {
        return Ok(0);
    }
    let statistics: Value = serde_json::from_slice(&reply.body)?;
    statistics["model_stats"][0]["inference_count"].as_u64().context("no inference_count")
}
