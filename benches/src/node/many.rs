//! A thousand models on one node.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::open_loop::OpenLoop;
use crate::process::resident_bytes;
use crate::report::Row;
use crate::samara::{Samara, Server};
use crate::statistics::show;
use crate::tensor::{Form, infer_request};
use crate::zoo::Card;

const MODEL: &str = "anomaly-autoencoder";
const MODELS: usize = 1000;
const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 8;
const TTL: Duration = Duration::from_millis(2000);
/// How long after the last request every model is at rest.
const REST: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(2);
const RESIDENT_KIB: f64 = 64.0;

/// Serves hard links to one component under a thousand names, and under one.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let card = Card::read(MODEL)?;
    let component = samara.component(&card.build)?;
    // Beside the component: links do not go from one file system to another.
    let folder = tempfile::tempdir_in(component.parent().context("a component without a folder")?)?;
    let one = folder.path().join("one");
    let all = folder.path().join("all");
    let put = |directory: &Path, index: usize| -> Result<()> {
        let directory = directory.join(name(index)).join("1");
        fs::create_dir_all(&directory)?;
        fs::hard_link(&component, directory.join("model.wasm"))?;
        Ok(())
    };
    put(&one, 0)?;
    (0..MODELS).try_for_each(|index| put(&all, index))?;
    let start = |directory: &Path| -> Result<(Server, Duration)> {
        let begun = Instant::now();
        let options = [format!("--idle-ttl-ms={}", TTL.as_millis()), "--log=warn".to_owned()];
        Ok((samara.serve_with(&[directory.to_owned()], &options)?, begun.elapsed()))
    };
    // Machine code that was made before is what a node finds that starts again.
    let (_, first) = start(&all)?;
    let (single, _) = start(&one)?;
    let (server, again) = start(&all)?;
    let unasked = (resident_bytes(server.process())?, resident_bytes(single.process())?);

    // Zipf's law: the nth is asked for 1/n as often as the first.
    let paths: Vec<String> = (0..MODELS)
        .flat_map(|index| {
            let path = format!("/v2/models/{}/infer", name(index));
            std::iter::repeat_n(path, MODELS.div_ceil(index + 1))
        })
        .collect();
    let vector = card.first()?;
    let load = |server: &Server, paths: &[String]| {
        let request = infer_request(MODEL, &vector.inputs, Form::Binary)?;
        OpenLoop::closed(server.address(), "", &request, CONNECTIONS, REQUESTS)
            .over_paths(server.address(), paths)
            .run()
    };
    let replies = load(&server, &paths)?;
    // So that both have done as much.
    load(&single, &[format!("/v2/models/{}/infer", name(0)), format!("/v2/models/{}/infer", name(0))])?;
    thread::sleep(REST);
    let rested = (resident_bytes(server.process())?, resident_bytes(single.process())?);
    let each = |(all, one): (u64, u64)| (all as f64 - one as f64) / 1024.0 / (MODELS - 1) as f64;
    let errors = replies.other_than(&[200]);
    Ok(vec![
        Row::new(format!("{MODELS} models: start until it listens"), show(again))
            .compared_with(format!("{} when their machine code was new", show(first)))
            .bar("≤ 2 s", again <= START)
            .details(json!({"first_ms": first.as_millis() as u64, "again_ms": again.as_millis() as u64})),
        Row::new(
            format!("… resident memory of each at rest, after {REQUESTS} requests"),
            format!("{:.1} KiB", each(rested)),
        )
        .compared_with(format!("{:.1} KiB before any request; a process with one model taken off", each(unasked)))
        .bar("≤ 64 KiB", each(rested) <= RESIDENT_KIB && each(unasked) <= RESIDENT_KIB)
        .details(json!({"unasked": unasked, "rested": rested})),
        Row::new(format!("… {REQUESTS} requests to all of them by Zipf's law: errors"), errors.to_string())
            .compared_with(format!("{:.0} requests/s, p99 {}", replies.rate(), show(replies.p99())))
            .bar("none", errors == 0)
            .details(json!(replies)),
    ])
}

fn name(index: usize) -> String {
    format!("model-{index:04}")
}
